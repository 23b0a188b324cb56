"""How many tokens a text may have."""

from __future__ import annotations

import pytest

from pipeline.providers import Message, ToolCall
from pipeline.tokens import OVERHEAD, estimate, estimate_all


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("cache", 2), ("你好吗", 3), ("안녕", 2), ("ok 好", 2)]
)
def test_four_letters_are_a_token_and_a_character_of_chinese_is(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_a_request_is_its_messages_and_their_calls() -> None:
    messages = [Message("user", "cache"), Message("assistant", "", calls=(ToolCall("c", "look", "{}  "),))]
    assert estimate_all(messages) == 2 * OVERHEAD + 2 + 2
