"""The conversation's items, with the ids and states that OpenAI Realtime gives them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.providers import Message

Role = Literal["system", "user", "assistant"]
Status = Literal["in_progress", "completed", "incomplete"]
Kind = Literal["message", "function_call", "function_call_output"]


def new_id(prefix: str) -> str:
    """A fresh id such as "item_5f1c…" (prefixes: item, resp, event, sess, call, conv)."""
    return f"{prefix}_{secrets.token_hex(10)}"


@dataclass(slots=True)
class Item:
    """A message, or a function's call or output. Of a reply, `text` is what was heard so far, never what was
    generated; of a call it is the arguments (JSON), of an output what came out."""

    id: str
    role: Role | None  # None: a function's call or output
    status: Status = "in_progress"
    text: str | None = None  # None: spoken and not yet transcribed
    spoken: bool = True  # audio, not typed text
    interrupted: bool = False  # user: began by breaking into a reply
    note: Mapping[str, Any] | None = None  # assistant: what the mind noted
    figures: Mapping[str, Any] | None = (
        None  # user: how the answer to it came about, see `events.TurnMeasured`
    )
    audio_ms: int = 0  # length of its sound: said (user) or heard (assistant)
    kind: Kind = "message"
    call_id: str = ""  # of a function's call, and of its output
    name: str = ""  # of the function that is called
    steps: tuple[
        Message, ...
    ] = ()  # of the reply that began with this: the server's own tools and what they said
    words: list[tuple[int, int]] = field(
        default_factory=list
    )  # a reply's: ms at which one began to be heard,
    # and how many characters of `text` come before it
