"""What a model thinks aloud is not heard, however the stream is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.thoughts import Thoughts

REPLY = "Well, a < b. <think>is a word, too</think>."


def heard(pieces: list[str]) -> str:
    thoughts = Thoughts()
    return "".join([*map(thoughts.said, pieces), thoughts.rest()])


@given(st.text(alphabet="<think>/ \nab").filter(lambda text: "</think>" not in text), st.data())
def test_a_thought_before_the_reply_is_taken_out_wherever_the_stream_is_cut(
    thought: str, data: st.DataObject
) -> None:
    whole = f"\n<think>{thought}</think>\n\n{REPLY}"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert heard(pieces) == REPLY


@given(st.lists(st.text(alphabet="<think>/ ab")))
def test_whatever_does_not_begin_with_one_is_heard_as_it_is(pieces: list[str]) -> None:
    whole = "".join(pieces)
    if not whole.lstrip().startswith("<think>"):
        assert heard(pieces) == whole


@pytest.mark.parametrize("text", ["<think>for ever", "<think></think>", "<think>a</think>\n"])
def test_of_thoughts_alone_nothing_is_heard(text: str) -> None:
    assert heard(list(text)) == ""


def test_a_reply_without_any_waits_for_nothing() -> None:
    thoughts = Thoughts()
    assert [thoughts.said(piece) for piece in ("Hel", "lo.", " <", "3")] == ["Hel", "lo.", " <", "3"]
