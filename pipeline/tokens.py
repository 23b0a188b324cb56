"""How many tokens a text has, roughly: for usage figures where a mind does not count them itself."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.providers import Message

CHARACTERS = 4  # a token, where words have spaces between them; elsewhere about one
OVERHEAD = 4  # tokens that a message costs beside its text


def estimate(text: str) -> int:
    """Rounded up."""
    # CJK and what stands above it
    dense = 0 if text.isascii() else sum(letter >= "\u2e80" for letter in text)
    return dense + -(-(len(text) - dense) // CHARACTERS)


def estimate_all(messages: Iterable[Message]) -> int:
    """Of a request."""
    return sum(
        OVERHEAD + estimate(message.text + "".join(call.name + call.arguments for call in message.calls))
        for message in messages
    )
