"""The conversation's items, with the ids and states that OpenAI Realtime gives them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]
Status = Literal["in_progress", "completed", "incomplete"]


def new_id(prefix: str) -> str:
    """A fresh id such as "item_5f1c…" (prefixes: item, resp, event, sess, call)."""
    return f"{prefix}_{secrets.token_hex(10)}"


@dataclass(slots=True)
class Item:
    """One message. Of a reply, `text` is what was heard so far, never what was generated."""

    id: str
    role: Role
    status: Status = "in_progress"
    text: str | None = None  # None: spoken and not yet transcribed
    spoken: bool = True  # audio, not typed text
    interrupted: bool = False  # user: began by breaking into a reply
    note: Mapping[str, Any] | None = None  # assistant: what the mind noted
    figures: Mapping[str, Any] | None = (
        None  # user: how the answer to it came about, see `events.TurnMeasured`
    )
    audio_ms: int = 0  # length of its sound: said (user) or heard (assistant)
