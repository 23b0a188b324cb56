"""Calls that share a model which is slow, fails or stands still: whoever has spoken is answered anyway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from random import Random
from typing import Any

import numpy as np
import pytest

from pipeline import events as ev
from pipeline.audio import MIC_CHUNK, AudioChunk
from pipeline.providers import Pause, Transcript, Word
from pipeline.stt import growing
from pipeline.stt.batching import Batcher
from pipeline.stt.growing import Heard, Part
from tests import sounds as made
from tests import virtual
from tests.session.call import Call, FakeProvider, Mind, Sound, Voice
from tests.session.chains import QUIET, ears
from tests.session.wild import Way, WildEars

SAID = (
    "what is a cache",
    "I have worked as a back end engineer for five years.",
    "and then we added a version to every key because",
    "no, thank you.",
    "yeah",
    "mhm",
)
LAST = SAID[1]
GAPS_MS = (120, 250, 400, 700, 1200, 2500, 6000)
WILD_MS = 25_000  # for so long they talk over each other
LAST_MS = 45_000  # after some silence they say one thing more
LENGTH_MS = 75_000
ANSWERED_WITHIN_MS = 15_000  # the longest patience, the longest wait for words, and a slow voice
LOUD = 300  # RMS of 20 ms of a word
WORD_CHUNKS = 15


class Late:
    """An executor on virtual time: what it is given takes from a moment to longer than anybody waits."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._scale = chance.choice([0.3, 1, 2, 4])

    def submit(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        shortest_s, longest_s = self._chance.choices(
            [(0.05, 0.4), (0.5, 3.0), (3.0, 20.0), (90.0, 90.0)], [75, 18, 6, 1]
        )[0]
        takes_s = self._scale * self._chance.uniform(shortest_s, longest_s)
        asyncio.get_running_loop().call_later(takes_s, lambda: done.set_result(work(*given)))
        return done


class SlowEars(FakeProvider):
    """Whisper's way to a model, and a model that counts words. A `Recognizer` and its `growing.Decoder`."""

    full_pass = False
    punctuates = True
    every_s = 1.0
    timed = True

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._fails = chance.choice([0, 0, 0.1])
        self._ends_after_s = chance.choice([0, 0.5])  # as a request to a vendor, when it is called off
        self._batcher = Batcher(Late(chance), self._run, 8, chance.choice([1, 2]))  # type: ignore[arg-type]

    def knows(self, language: str) -> bool:
        return True

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        async with aclosing(growing.transcribe(self, audio, language)) as transcripts:
            async for transcript in transcripts:
                yield transcript

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        try:
            return await self._batcher.do(part.samples, "", owed=part.owed)
        except asyncio.CancelledError:
            await asyncio.sleep(self._ends_after_s)
            raise

    def _run(self, recordings: Sequence[np.ndarray]) -> list[Heard]:
        if self._chance.random() < self._fails:
            raise RuntimeError("the model failed")
        return [self._heard(samples) for samples in recordings]

    @staticmethod
    def _heard(samples: np.ndarray) -> Heard:
        frames = samples[: len(samples) // MIC_CHUNK * MIC_CHUNK].reshape(-1, MIC_CHUNK).astype(np.float32)
        voiced = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > LOUD)
        words = tuple(Word(" cache", 20 * int(at), 20 * int(at) + 200, 1.0) for at in voiced[::WORD_CHUNKS])
        return Heard("".join(word.text for word in words), words)


def spoken(chance: Random) -> list[Sound]:
    """Sentences, murmurs and noises, with short pauses and long ones, and at the end one sentence."""
    sounds, at_ms = [], 500
    while at_ms < WILD_MS:
        noise = chance.random() < 0.12
        piece = made.noise(chance.choice([60, 400, 2500])) if noise else made.speech(chance.choice(SAID))
        sounds.append(Sound(at_ms, piece))
        at_ms += 1000 * len(piece) // 16_000 + chance.choice(GAPS_MS)
    return [*sounds, Sound(LAST_MS, made.speech(LAST))]


@pytest.mark.parametrize("seed", [0, 1, 2, 6, 8])
def test_whoever_has_spoken_is_answered_however_slow_the_recogniser(seed: int) -> None:
    chance = Random(seed)
    replies = ["Yes. I see. And why is that so?", "Well that is a very good question indeed. Tell me."]

    async def talk() -> list[Call]:
        slow = SlowEars(chance)
        following = WildEars([Way("yes", chance.choice([30, 1500, 6000]), ends=chance.choice(["", "error"]))])
        heard_by = ears(slow, following) if chance.random() < 0.5 else slow
        calls = [
            Call(
                heard_by,
                Mind([chance.choice(replies)], first_ms=chance.choice([0, 300, 2000])),
                Voice(delay_ms=chance.choice([0, 200, 1500])),
                *spoken(chance),
                settings=QUIET,
                mode=chance.choice(["chat", "interview"]),
            )
            for _ in range(2)
        ]
        if heard_by is not slow:
            await heard_by.start()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual.VirtualLoop)
        for _ in range(chance.choice([0, 8])):
            loop.call_later(chance.uniform(0, LENGTH_MS / 1000), loop.stand_still, chance.choice([0.3, 1.5]))
        await asyncio.gather(*(call.play(LENGTH_MS) for call in calls))
        return calls

    ended_ms = LAST_MS + 1000 * len(made.speech(LAST)) // 16_000
    for call in virtual.run(talk()):
        answered_ms = [seen.at_ms - ended_ms for seen in call.of(ev.AudioStarted)]
        assert any(0 < at_ms < ANSWERED_WITHIN_MS for at_ms in answered_ms), answered_ms
        assert call.of(ev.FloorChanged)[-1].event.phase == "listening"
        assert not {"recognise", "utterance-feed"} & call.tasks
