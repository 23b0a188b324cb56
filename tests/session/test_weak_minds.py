"""A small model says nothing, turns in a circle, or knows no end: what a person hears of that."""

from __future__ import annotations

import pytest

from pipeline import events as ev
from pipeline.languages import say
from pipeline.providers import CutShort, Piece, Token
from tests.session.call import Call, Ears, Mind, Voice

WHOLE = "That was a clear answer. What did you learn from it?"


def answered(reply: str | list[Piece], *, text_only: bool = False, token_ms: int = 0) -> Call:
    """A typed turn and the reply to it."""
    call = Call(Ears([]), Mind([reply], token_ms=token_ms), Voice(), text_only=text_only)
    call.at(100, lambda session: session.say("Hello."))
    return call.at(110, lambda session: session.reply()).run(8000)


def said(call: Call) -> str:
    return call.texts()[-1][1] or ""


@pytest.mark.parametrize("reply", [[], [Token(" \n")], [Token("🙂"), Token(" ")]])
def test_a_mind_with_nothing_to_say_is_no_silence(reply: list[Piece]) -> None:
    call = answered(reply)
    assert said(call).startswith(tuple(say("apology", "en")))
    assert call.one(ev.Trouble).event.code == "bad_response"
    assert call.first_sound_ms() < 2000


def test_what_can_only_be_read_is_an_answer_in_writing() -> None:
    call = answered([Token("🙂")], text_only=True)
    assert said(call) == "🙂"
    assert not call.of(ev.Trouble)


def test_half_a_sentence_at_the_end_of_what_a_model_may_write_is_not_spoken() -> None:
    call = answered([Token(f"{WHOLE} I have never"), Token(" seen a"), CutShort("max_output_tokens")])
    assert said(call).strip() == WHOLE


def test_half_a_sentence_is_better_than_none() -> None:
    call = answered([Token("I have never"), Token(" seen a"), CutShort("max_output_tokens")])
    assert said(call).strip() == "I have never seen a"


def test_half_a_sentence_in_writing_is_what_was_asked_for() -> None:
    pieces = [Token(f"{WHOLE} I have never"), CutShort("max_output_tokens")]
    assert said(answered(pieces, text_only=True)) == f"{WHOLE} I have never"


def test_a_reply_that_turns_in_a_circle_ends() -> None:
    circle = "I am happy for you. I am really happy for you. " * 10
    call = answered(circle, token_ms=20)
    assert said(call).strip() == "I am happy for you. I am really happy for you."
    assert call.mind.open_streams == 0, "nobody pays for the rest"
    assert not call.of(ev.Trouble)


def test_a_sentence_once_more_is_left_out() -> None:
    call = answered("Well. We talked about caches. We talked about caches. And what came then?")
    assert said(call).split() == "Well. We talked about caches. And what came then?".split()


def test_little_words_may_be_said_again() -> None:
    call = answered("No.\nNo.\nNo.\nNo.\nNever again.")
    assert said(call).split() == "No. No. No. No. Never again.".split()


def test_a_word_over_and_over_ends_the_reply_too() -> None:
    call = answered([Token("Your cats are nice. "), *[Token("Pixel, ")] * 100], token_ms=20)
    assert said(call).strip() == "Your cats are nice."
    assert call.mind.open_streams == 0
    alone = answered([Token("pixel, ")] * 100, token_ms=20)
    assert 4 <= len(said(alone).split()) <= 8
