"""Recognisers that fail in the middle of an utterance, and the next ones that take over: on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.notices import Spent
from pipeline.providers import Pause, Transcript
from pipeline.settings import ChainSettings
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
)
from tests.session.wild import Way, WildEars
from tests.sounds import silence


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
        chain = ears(first, Ears([["two"]]))
        heard = [one async for one in chain.transcribe(sound(), language="en")]
        return [(one.kind, one.text) for one in heard if one.kind != "partial"]

    # The second hears what came after the first pause only, behind the words that answered that; it has no
    # better pass of its own: what it says at once stands for it.
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


# ---------------------------------------------------------------- ahead of its turn


class Vendor(WildEars):
    charges = Spent("stt", "vendor", "", "seconds", 0.0)


class Embedded(Ears):
    """Needs a fifth of a sound's length to hear it."""

    heard = 0  # pieces of sound

    async def transcribe(self, audio: Any, **how: Any) -> Any:
        async for transcript in super().transcribe(self._decoded(audio), **how):
            yield transcript

    async def _decoded(self, audio: Any) -> Any:
        async for piece in audio:
            if isinstance(piece, AudioChunk):
                self.heard += 1
                await asyncio.sleep(len(piece.samples) / MIC_RATE / 5)
            yield piece


def answer(first: Any, embedded: Any, spoken_s: float) -> tuple[str, float]:
    """What is heard of so much speech, and how many ms after it; both have been asked before."""

    async def speaking(seconds: float, paused: list[float]) -> Any:
        for number in range(round(50 * seconds)):
            yield AudioChunk(silence(20), MIC_RATE, 320 * number)
            await asyncio.sleep(0.02)
        paused.append(asyncio.get_running_loop().time())
        yield Pause()

    async def heard() -> tuple[str, float]:
        chain = ears(first, embedded, settings=ChainSettings())
        for seconds in (0.1, 0.1, spoken_s):
            paused: list[float] = []
            stream = chain.transcribe(speaking(seconds, paused), language="en")
            finals = [
                (one.text, asyncio.get_running_loop().time()) async for one in stream if one.kind == "final"
            ]
        ((text, at_s),) = finals
        return text, 1000 * (at_s - paused[0])

    return virtual.run(heard())


@pytest.mark.parametrize(("spoken_s", "waits_ms"), [(1.0, 600), (3.0, 850), (12.0, 600)])
def test_the_embedded_ears_are_about_ready_when_their_turn_comes(spoken_s: float, waits_ms: int) -> None:
    """After a second of speech they work 350 ms ahead; a long one they have heard along."""
    vendor, embedded = Vendor([*[Way(delay_ms=200)] * 2, Way(ends="hang")]), Embedded([["me"]])
    assert answer(vendor, embedded, spoken_s) == ("me", pytest.approx(waits_ms, abs=5))


def test_nobody_listens_to_the_embedded_ears_before_their_turn() -> None:
    vendor, embedded = Vendor([Way(delay_ms=200)] * 2 + [Way("you", delay_ms=590)]), Embedded([["me"]])
    assert answer(vendor, embedded, 1.0) == ("you", pytest.approx(590))
    assert embedded.heard == 50, "they had heard it all"


def test_the_embedded_ears_rest_while_the_vendor_answers_as_usual() -> None:
    vendor, embedded = Vendor([Way("you", delay_ms=200)]), Embedded([["me"]])
    assert answer(vendor, embedded, 3.0) == ("you", pytest.approx(200))
    assert not embedded.heard


def test_ears_on_this_machine_do_not_stand_in_the_way_of_each_other() -> None:
    local, embedded = WildEars([Way("you", delay_ms=590)]), Embedded([["me"]])
    assert answer(local, embedded, 12.0) == ("you", pytest.approx(590))
    assert not embedded.heard
