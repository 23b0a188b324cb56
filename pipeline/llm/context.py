"""A conversation that is longer than a model can read at once: which 400 says so, and what is asked instead.

    llama.cpp   type exceed_context_size_error, with n_prompt_tokens and n_ctx
    OpenAI      code context_length_exceeded
    vLLM        "This model's maximum context length is 2048 tokens. However, you requested 3016 tokens ..."
    LM Studio   "... the model is loaded with context length of only 2048 tokens ..."

Ollama cuts by itself, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.providers import Message
from pipeline.tokens import estimate_all

if TYPE_CHECKING:
    import openai

CODES = ("context_length_exceeded", "exceed_context_size_error")
WORDS = re.compile(r"context[ _](length|size|window)|maximum context", re.IGNORECASE)
STEP = 6  # messages that are left out at once: what follows begins the same, and is cached, for a while
SPARE = 0.9  # of the room that there should be: an estimate is one


class Context:
    """Of one model. `tokens`: estimated, that a request may have; None: as many as it likes."""

    def __init__(self, tokens: int | None = None) -> None:
        self.tokens = tokens

    def fitted(self, messages: Sequence[Message]) -> list[Message]:
        """Those that fit: the system prompt, what stays if there is room for it, and as many of the newest as
        there is room for then, at least one."""
        prompt = [message for message in messages if message.role == "system"]
        stays = [message for message in messages if message.stays]
        said = [message for message in messages if message.role != "system" and not message.stays]
        while len(said) > 1 and not self._fit([*prompt, *stays, *said]):
            del said[: min(STEP, len(said) - 1)]
            while len(said) > 1 and said[0].role == "tool":  # its call is gone
                del said[0]
        return [*prompt, *stays, *said] if self._fit([*prompt, *stays, *said]) else [*prompt, *said]

    def _fit(self, messages: Sequence[Message]) -> bool:
        return self.tokens is None or estimate_all(messages) <= self.tokens

    def refused(self, error: openai.APIStatusError, messages: Sequence[Message], answer: int) -> bool:
        """Whether this says that these messages are too long, and learns from it.

        Args:
            answer: tokens that are to be left for it.
        """
        body: Mapping[str, Any] = error.body if isinstance(error.body, dict) else {}
        if error.code not in CODES and error.type not in CODES and not WORDS.search(error.message):
            return False
        had, most = body.get("n_prompt_tokens"), body.get("n_ctx")
        asked = estimate_all(messages)
        share = 0.5
        if isinstance(had, int) and isinstance(most, int) and 0 < most <= had:
            share = SPARE * max(most - answer, most // 2) / had
        self.tokens = int(asked * share)
        return True
