"""Providers that fail in the middle of a call, and the next ones that take over: on virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import events as ev
from pipeline.chain import ChainEars, ChainMind, ChainVoice
from pipeline.chain.links import Links
from pipeline.errors import Stage
from pipeline.settings import ChainSettings, Settings
from tests.session.call import WORD_MS, Call, Ears, Mind, Voice, speech
from tests.session.wild import Way, WildEars, WildMind, WildVoice
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
ANSWER = "a cache keeps what was asked before so that it need not be fetched again"
QUIET = Settings.model_validate({"turns": {"nudges": 0}})
FAST = ChainSettings(untried_late_ms=800)  # nothing has to prove first how fast it is
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
MOST_SILENCE_MS = 1000


def links(stage: Stage, *providers: Any, settings: ChainSettings = FAST) -> Links:
    names = ("first", "second", "third")
    return Links(stage, list(zip(names, providers, strict=False)), settings)


def fell_over(call: Call) -> list[tuple[str, str, str]]:
    return [(seen.event.failed, seen.event.to, seen.event.code) for seen in call.of(ev.FellOver)]


def turn(at_ms: int) -> Any:
    return speech(at_ms, QUESTION)


def usual_wait_ms() -> int:
    """From the end of speech to the answer, where nothing fails."""
    call = Call(Ears([[QUESTION]]), Mind([ANSWER]), Voice(), turn(500), settings=QUIET).run(6000)
    return call.first_sound_ms() - END


def longest_gap_ms(call: Call, from_ms: int) -> int:
    """The longest silence inside what is said after that moment."""
    import numpy as np

    loud = np.flatnonzero(np.abs(call.out[from_ms * 24 :].astype(int)) > 200)
    return int(np.diff(loud).max()) // 24


# ---------------------------------------------------------------- voice


def voices(*ways: Any) -> ChainVoice:
    return ChainVoice(links("tts", *ways))


def test_a_voice_that_dies_in_mid_phrase_is_followed_from_the_first_word_that_was_not_whole() -> None:
    dying, next_one = WildVoice([Way(ends="error", after=5)]), Voice()
    call = Call(Ears([[QUESTION]]), Mind([ANSWER]), voices(dying, next_one), turn(500), settings=QUIET)
    call.run(10_000)
    # The fifth word's sound was there, but nothing said that this was all of it.
    assert next_one.spoken == ["was asked before so that it need not be fetched again"]
    assert call.texts()[1] == ("assistant", ANSWER)
    assert fell_over(call) == [("first", "second", "unreachable")]
    words = [seen.event.text.strip() for seen in call.of(ev.Heard)]
    assert " ".join(words) == ANSWER
    sounded_ms = call.last_sound_ms() - call.first_sound_ms()
    assert sounded_ms == pytest.approx(len(ANSWER.split()) * WORD_MS, abs=30)
    assert longest_gap_ms(call, END) < 100


def test_a_voice_that_hangs_in_mid_phrase_is_followed_before_there_is_a_second_of_silence() -> None:
    hanging, next_one = WildVoice([Way(ends="hang", after=5)]), Voice()
    call = Call(Ears([[QUESTION]]), Mind([ANSWER]), voices(hanging, next_one), turn(500), settings=QUIET)
    call.run(10_000)
    assert call.texts()[1] == ("assistant", ANSWER)
    assert fell_over(call) == [("first", "second", "slow")]
    assert longest_gap_ms(call, END) <= MOST_SILENCE_MS
    assert hanging.open_streams == 0


# ---------------------------------------------------------------- mind


def minds(*ways: Any) -> ChainMind:
    return ChainMind(links("llm", *ways))


def test_a_mind_that_breaks_off_is_followed_by_one_that_goes_on_from_its_last_word() -> None:
    breaking, next_one = (
        WildMind([Way(ANSWER, ends="error", after=5)]),
        Mind([" ".join(ANSWER.split()[5:])] * 9),
    )
    call = Call(Ears([[QUESTION]]), minds(breaking, next_one), Voice(), turn(500), settings=QUIET).run(10_000)
    assert call.texts()[1] == ("assistant", ANSWER)
    assert [message.role for message in next_one.asked[0][-2:]] == ["assistant", "user"]
    assert next_one.asked[0][-2].text == "a cache keeps what was "
    assert fell_over(call) == [("first", "second", "unreachable")]
    assert longest_gap_ms(call, END) < 100


# ---------------------------------------------------------------- ears


def ears(*ways: Any) -> ChainEars:
    return ChainEars(links("stt", *ways))


def test_ears_that_die_at_the_pause_are_followed_on_the_whole_sound() -> None:
    chain = ears(WildEars([Way(ends="error")]), Ears([[QUESTION]]))
    call = Call(chain, Mind([ANSWER]), Voice(), turn(500), settings=QUIET).run(8000)
    assert call.texts()[:2] == [("user", QUESTION), ("assistant", ANSWER)]
    assert fell_over(call) == [("first", "second", "unreachable")]
    assert call.first_sound_ms() - END <= usual_wait_ms() + MOST_SILENCE_MS
    assert not call.of(ev.Trouble)
