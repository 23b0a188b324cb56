"""Voices that fail in the middle of a phrase, and the next ones that take over: on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pipeline import events as ev
from pipeline import modes
from pipeline.chain import ChainVoice
from pipeline.chain.links import Links
from pipeline.settings import ChainSettings
from tests.session.call import WORD_MS, Voice
from tests.session.chains import (
    ANSWER,
    DOWN,
    END,
    FAST,
    MOST_SILENCE_MS,
    counted,
    fell_over,
    longest_gap_ms,
    talk,
    voice,
    words,
)
from tests.session.wild import Way, WildVoice


def test_a_voice_that_dies_in_mid_phrase_is_followed_from_the_first_word_that_was_not_whole() -> None:
    dying, following = WildVoice([Way(ends="error", after=5)]), Voice()
    call = talk(tts=voice(dying, following))
    # The fifth word's sound was there, but nothing said that this was all of it.
    assert following.spoken == ["was asked before so that it need not be fetched again"]
    assert words(call) == ANSWER
    assert fell_over(call) == [("first", "second", "unreachable")]
    sounded_ms = call.last_sound_ms() - call.first_sound_ms()
    assert sounded_ms == pytest.approx(len(ANSWER.split()) * WORD_MS, abs=30)
    assert longest_gap_ms(call, END) < 100


def test_a_voice_that_hangs_in_mid_phrase_is_followed_before_there_is_a_second_of_silence() -> None:
    hanging = WildVoice([Way(ends="hang", after=5)])
    call = talk(tts=voice(hanging, Voice()))
    assert words(call) == ANSWER
    assert fell_over(call) == [("first", "second", "slow")]
    assert longest_gap_ms(call, END) <= MOST_SILENCE_MS
    assert hanging.open_streams == 0


def test_a_voice_that_is_late_is_joined_by_the_next_and_closed(wait_ms: int) -> None:
    late = WildVoice([Way(delay_ms=3000)])
    call = talk(tts=voice(late, Voice()))
    assert words(call) == ANSWER
    assert fell_over(call) == [("first", "second", "slow")]
    assert call.first_sound_ms() - END <= wait_ms + MOST_SILENCE_MS
    assert late.open_streams == 0


def test_a_late_voice_that_is_there_before_the_next_one_goes_on() -> None:
    late, later = Voice(delay_ms=900), WildVoice([Way(delay_ms=500)])
    call = talk(tts=voice(late, later))
    assert later.begun == 1
    assert later.open_streams == 0
    assert not call.of(ev.FellOver)
    assert words(call) == ANSWER


@pytest.mark.parametrize("unhurried", [True, False])
def test_a_voice_that_only_computes_slowly_is_not_changed_for_another_in_mid_talk(unhurried: bool) -> None:
    class Computing(Voice):
        async def speak(self, text: str, **how: Any) -> Any:
            self.delay_ms = 1500 if self.spoken else 100  # a longer sentence, or a machine with more to do
            async for piece in super().speak(text, **how):
                yield piece

    slow, other = Computing(), Voice()
    slow.unhurried = unhurried
    call = talk(tts=voice(slow, other, settings=ChainSettings()), count=2)
    assert bool(call.of(ev.FellOver)) == bool(other.spoken) == (not unhurried)


def test_a_voice_with_sound_in_reserve_may_be_silent_for_as_long_as_that_lasts() -> None:
    class Blockwise(Voice):
        """All but the last words at once, those 1.5 s later: nobody hears that."""

        async def speak(self, text: str, **how: Any) -> Any:
            async for number, piece in counted(super().speak(text, **how)):
                if number == 11:
                    await asyncio.sleep(1.5)
                yield piece

    call = talk(tts=voice(Blockwise(), Voice()))
    assert not call.of(ev.FellOver)
    assert longest_gap_ms(call, END) < 100


def test_the_voice_that_takes_over_has_its_own_style_at_the_calls_own_speed() -> None:
    following = Voice()
    chain = ChainVoice(
        Links("tts", [("openai", WildVoice([Way(ends="error")])), ("espeak", following)], FAST)
    )
    talk(tts=chain, mode="interview", persona="mei", speed=0.8)
    own = modes.style("interview", "mei", "espeak", "en")
    assert own.voice != modes.style("interview", "mei", "openai", "en").voice
    assert following.styles[0] == replace(own, rate=pytest.approx(0.8 * own.rate))


def test_a_voice_that_does_not_know_the_language_is_passed_over_without_a_word() -> None:
    class English(Voice):
        def knows(self, language: str) -> bool:
            return language == "en"

    english, polyglot = English(), Voice()
    call = talk(tts=voice(english, polyglot), language="de")
    assert (english.spoken, polyglot.spoken) == ([], [ANSWER])
    assert not call.of(ev.FellOver)


def test_where_words_are_not_marked_a_broken_phrase_goes_on_at_a_word_and_loses_none() -> None:
    class Breaking(Voice):
        async def speak(self, text: str, **how: Any) -> Any:
            async for number, piece in counted(super().speak(text, **how)):
                if len(self.spoken) > 1 and number == 9:
                    raise DOWN
                yield piece

    following = Voice()
    call = talk(tts=voice(Breaking(marks=False), following), count=2)
    (rest,) = following.spoken
    assert ANSWER.endswith(rest)
    assert 7 <= len(ANSWER.split()) - len(rest.split()) <= 9  # it had said nine; its pace was known
    assert call.texts()[3] == ("assistant", ANSWER)
