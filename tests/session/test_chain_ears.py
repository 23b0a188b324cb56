"""Recognisers that fail in the middle of an utterance, and the next ones that take over: on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.providers import Pause, Transcript
from tests import virtual
from tests.session.call import Ears
from tests.session.chains import (
    ANSWER,
    DOWN,
    END,
    MOST_SILENCE_MS,
    QUESTION,
    counted,
    ears,
    fell_over,
    talk,
    usual_wait_ms,
)
from tests.session.wild import Way, WildEars
from tests.sounds import silence


@pytest.fixture(scope="module")
def wait_ms() -> int:
    return usual_wait_ms()


def test_ears_that_die_at_the_pause_are_followed_on_the_whole_sound(wait_ms: int) -> None:
    call = talk(stt=ears(WildEars([Way(ends="error")]), Ears([[QUESTION]])))
    assert call.texts() == [("user", QUESTION), ("assistant", ANSWER)]
    assert fell_over(call) == [("first", "second", "unreachable")]
    assert call.first_sound_ms() - END <= wait_ms + MOST_SILENCE_MS
    assert len(call.of(ev.Transcribed)) == 1
    assert not call.of(ev.Trouble)


def test_ears_that_die_in_mid_utterance_are_followed_before_it_ends(wait_ms: int) -> None:
    class Dying(Ears):
        async def transcribe(self, audio: Any, **how: Any) -> Any:
            async for number, _ in counted(audio):
                if number == 10:
                    raise DOWN
            yield

    class Counting(Ears):
        samples = 0

        async def transcribe(self, audio: Any, **how: Any) -> Any:
            async for transcript in super().transcribe(self._count(audio), **how):
                yield transcript

        async def _count(self, audio: Any) -> Any:
            async for piece in audio:
                self.samples += len(getattr(piece, "samples", ()))
                yield piece

    alone, following = Counting([[QUESTION]]), Counting([[QUESTION]])
    talk(stt=alone)
    call = talk(stt=ears(Dying([]), following))
    assert call.texts()[0] == ("user", QUESTION)
    assert following.samples == alone.samples
    assert call.first_sound_ms() - END == pytest.approx(wait_ms, abs=20)


def test_ears_that_hang_at_the_pause_are_joined_and_closed(wait_ms: int) -> None:
    hanging = WildEars([Way(ends="hang")])
    call = talk(stt=ears(hanging, Ears([[QUESTION]])))
    assert call.texts()[0] == ("user", QUESTION)
    assert fell_over(call) == [("first", "second", "slow")]
    assert call.first_sound_ms() - END <= wait_ms + MOST_SILENCE_MS
    assert hanging.open_streams == 0
    assert not call.of(ev.TranscriptionFailed)


def test_late_ears_that_answer_before_the_next_ones_answer_alone() -> None:
    late = Ears([[QUESTION]], delay_ms=900)
    later = WildEars([Way("something else", delay_ms=500)])
    call = talk(stt=ears(late, later))
    assert [seen.event.text for seen in call.of(ev.Transcribed)] == [QUESTION]
    assert later.open_streams == 0
    assert not call.of(ev.FellOver)


def test_each_pause_is_answered_once_whoever_answers_it() -> None:
    """Two pauses; the first ears answer one of them."""

    async def sound() -> Any:
        for at in range(2):
            yield AudioChunk(silence(20), MIC_RATE, 320 * at)
            yield Pause()
            await asyncio.sleep(0.3)

    async def finals() -> list[tuple[str, str]]:
        first = WildEars([Way("one", ends="error", after=1)], full_pass=True)
        chain = ears(first, Ears([["one two"]]))
        heard = [one async for one in chain.transcribe(sound(), language="en")]
        return [(one.kind, one.text) for one in heard if one.kind != "partial"]

    # The second has no better pass of its own: what it says at once stands for it.
    assert virtual.run(finals()) == [
        ("final", "one"), ("full", "one"), ("final", "one two"), ("full", "one two")
    ]  # fmt: skip


def test_a_caption_does_not_shrink_while_the_next_ears_catch_up() -> None:
    class Word(Ears):
        """A partial for each word, every 0.1 s of sound; each may be the last."""

        partials: Sequence[str] = ()
        dies_after = 99

        async def transcribe(self, audio: Any, **how: Any) -> Any:
            async for number, piece in counted(audio):
                if isinstance(piece, Pause):
                    yield Transcript("final", self.partials[-1])
                elif number // 5 == self.dies_after:
                    raise DOWN
                elif number % 5 == 4 and number // 5 < len(self.partials):
                    yield Transcript("partial", self.partials[number // 5])

    dying, following = Word([]), Word([])
    dying.partials, dying.dies_after = ["what", "what is ah", "what is"], 3
    following.partials = ["what", "what is", "what is a", "what is a cache"]
    call = talk(stt=ears(dying, following))
    shown = [seen.event.transcript.text for seen in call.of(ev.Partial) if seen.event.transcript.sure == 0]
    # A recogniser may take back what it has said itself.
    assert shown == ["what", "what is ah", "what is", "what is", "what is a", "what is a cache"]
