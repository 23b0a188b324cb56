"""What was said is said once more, and what a noise has ended before it was heard is begun again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import events as ev
from pipeline.session import Session
from tests.session.call import Call, Ears, Mind, Sound, Voice, speech
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
ANSWER = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
NOISE = "ha"  # opens the gate; no recogniser finds a word in it
BEGUN_MS = 500 + 1000 * len(spoken(QUESTION)) // 16_000


def answered(ears: Ears, *sounds: Sound) -> Call:
    """A reply has been heard to its end after 5 s."""
    return Call(ears, Mind([ANSWER]), Voice(), *sounds).at(100, lambda session: session.reply())


def phases(call: Call, from_ms: int, to_ms: int) -> list[str]:
    return [seen.event.phase for seen in call.of(ev.FloorChanged) if from_ms <= seen.at_ms < to_ms]


def test_it_comes_also_while_a_noise_is_taken_for_a_voice() -> None:
    call = answered(Ears([[""]]), speech(6000, NOISE)).at(6300, lambda session: session.repeat()).run(14_000)
    assert "hearing" in phases(call, 6000, 6300)
    assert call.voice.spoken == [ANSWER, ANSWER]
    assert call.texts() == [("assistant", ANSWER)]


def test_whoever_speaks_has_it_behind_their_words() -> None:
    ears = Ears([[QUESTION]], delay_ms=200)
    call = answered(ears, speech(6000, QUESTION)).at(6600, lambda session: session.repeat()).run(14_000)
    assert call.voice.spoken == [ANSWER, ANSWER]
    assert call.texts() == [("assistant", ANSWER), ("user", QUESTION)]


def test_in_the_middle_of_it_all_of_it_begins_again() -> None:
    call = answered(Ears([])).at(6000, lambda session: session.repeat())
    call.at(7000, lambda session: session.repeat()).run(14_000)
    assert call.voice.spoken == [ANSWER, ANSWER, ANSWER]
    assert call.texts() == [("assistant", ANSWER)]


def test_a_client_can_tell_it_from_a_reply() -> None:
    call = answered(Ears([])).at(6000, lambda session: session.repeat()).run(12_000)
    assert [seen.event.metadata for seen in call.of(ev.ReplyCreated)] == [None, {"viva": "repeat"}]


def type_it(session: Session) -> None:
    session.say(QUESTION)
    session.reply()


@pytest.mark.parametrize(
    ("ask", "asked_ms", "sounds"),
    [
        (type_it, 2000, ()),
        (Session.greet, 2000, ()),
        (Session.commit, BEGUN_MS + 150, (speech(500, QUESTION),)),
    ],
    ids=["typed", "greeting", "done"],
)
def test_a_noise_before_its_first_sound_costs_no_reply(
    ask: Callable[[Session], None], asked_ms: int, sounds: tuple[Sound, ...]
) -> None:
    ears = Ears([[QUESTION], [""]] if sounds else [[""]])
    call = Call(
        ears,
        Mind([ANSWER]),
        Voice(delay_ms=1500),
        *sounds,
        speech(asked_ms + 300, NOISE),
        greet=ask is Session.greet,
        mode="interview",
    )
    call.at(asked_ms, ask).run(12_000)
    assert [seen.event.status for seen in call.of(ev.ReplyDone)] == ["cancelled", "completed"]
    assert call.texts()[-1] == ("assistant", ANSWER)
    assert not call.of(ev.Trouble)


def test_a_noise_before_its_first_sound_costs_no_repetition() -> None:
    call = answered(Ears([[""]]), speech(6300, NOISE))
    call.at(5900, lambda session: setattr(call.voice, "delay_ms", 1500))
    call.at(6000, lambda session: session.repeat()).run(16_000)
    assert [seen.event.status for seen in call.of(ev.ReplyDone)] == ["completed", "cancelled", "completed"]
    assert call.texts() == [("assistant", ANSWER)]


def test_words_before_its_first_sound_are_answered_in_its_place() -> None:
    other = "no wait what is an index"
    call = Call(
        Ears([[other]]),
        Mind(["an index finds it"]),
        Voice(delay_ms=1500),
        speech(2300, other),
        mode="interview",
    )
    call.at(2000, type_it).run(12_000)
    assert [text for _, text in call.texts() if text] == [QUESTION, other, "an index finds it"]
    assert [message.text for message in call.mind.asked[-1][1:]] == [QUESTION, other]
