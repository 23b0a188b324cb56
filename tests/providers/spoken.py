"""Speech of which every word's place is known, and a model that hears it as Whisper would: for the seams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import numpy as np

from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk
from pipeline.providers import Pause, Recognizer, Transcript, Word
from pipeline.stt.growing import Heard, Part
from tests.sounds import at_level, chunks, ms

DIGIT, DIGITS = 64, 4  # every 20 ms bear their number, to that base, too soft to be heard
EDGE_MS = 15  # a word rises and falls so long
CLIPPED = 0.1  # a word of which more is missing is misheard
NEW_MS = 1500  # before the end of the sound, a word may still be taken for another


@dataclass(frozen=True)
class Spoken:
    """One word's place, in ms."""

    text: str
    start: int
    end: int


def timeline(lengths_ms: Sequence[int], gaps_ms: Sequence[int], *, words: Sequence[str] = ()) -> list[Spoken]:
    """Words of these lengths, each behind its gap."""
    placed, at = [], 0
    for number, (length, gap) in enumerate(zip(lengths_ms, gaps_ms, strict=True)):
        at += gap
        text = words[number % len(words)] if words else f"word{number}"
        placed.append(Spoken(text, at, at + length))
        at += length
    return placed


def sound(words: Sequence[Spoken], hiss_db: float = -75.0, after_ms: int = 400) -> np.ndarray:
    """int16: a burst for each word over a hiss."""
    random = np.random.default_rng(1)
    total = ms(words[-1].end + after_ms) if words else ms(after_ms)
    total += -total % MIC_CHUNK
    mixed = at_level(random.standard_normal(total), hiss_db).astype(np.float64)
    for word in words:
        burst = at_level(random.standard_normal(ms(word.end - word.start)), -20).astype(np.float64)
        edge = np.minimum(1, np.arange(len(burst)) / ms(EDGE_MS))
        mixed[ms(word.start) : ms(word.start) + len(burst)] += burst * edge * edge[::-1]
    frames = mixed.reshape(-1, MIC_CHUNK)
    for digit in range(DIGITS):
        frames[:, digit] = np.arange(len(frames)) // DIGIT**digit % DIGIT
    return np.clip(np.round(mixed), -32768, 32767).astype(np.int16)


def place_ms(samples: np.ndarray) -> int:
    """Where in the speech these samples begin."""
    number = sum(int(samples[digit]) * DIGIT**digit for digit in range(DIGITS))
    return 1000 * number * MIC_CHUNK // MIC_RATE


def words_in(words: Sequence[Spoken], samples: np.ndarray) -> list[tuple[str, float, float]]:
    """What can be heard there, with times in s: for a server that is sent the samples."""
    start = place_ms(samples)
    end = start + 1000 * len(samples) // MIC_RATE
    return [
        (f" {word.text}", (word.start - start) / 1000, (word.end - start) / 1000)
        for word in words
        if word.start >= start and word.end <= end
    ]


def sentences(seconds: float, seed: int = 1) -> list[Spoken]:
    """Four words a second, a breath of 300 ms after every eight or so."""
    random = Random(seed)
    lengths: list[int] = []
    gaps: list[int] = []
    while sum(lengths) + sum(gaps) < 1000 * seconds:
        lengths.append(random.randint(120, 320))
        gaps.append(300 if random.random() < 0.12 else random.choice([0, 10, 30]))
    return timeline(lengths, gaps)


def breaths_ms(words: Sequence[Spoken], after_ms: int = 100) -> list[int]:
    """Places in the longer gaps: where the floor would ask."""
    return [
        one.end + after_ms for one, next_one in pairwise(words) if next_one.start - one.end > 2 * after_ms
    ]


@dataclass
class Listener:
    """A `pipeline.stt.growing.Decoder` that knows the words, and what it was given.

    Half heard words come out wrong, in the background also the newest now and then; times are off by up to
    `jitter_ms`."""

    words: Sequence[Spoken]
    every_s: float = 1.0
    timed: bool = True
    jitter_ms: int = 0
    takes_s: float = 0.1  # of time, whatever is decoded
    seed: int = 0
    parts: list[Part] = field(default_factory=list)
    cancelled: int = 0
    failing: Callable[[Part], bool] = lambda _: False

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        self.parts.append(part)
        random = Random(self.seed * 1000 + len(self.parts))
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failing(part):
            raise RuntimeError("the model failed")
        length_ms = len(part.samples) * 1000 // MIC_RATE
        heard = self._heard(place_ms(part.samples), length_ms, part.owed, random)
        text = "".join(word.text for word in heard)
        return Heard(text, tuple(heard) if self.timed else ())

    def _heard(self, start: int, length: int, owed: bool, random: Random) -> list[Word]:
        heard = []
        for word in self.words:
            inside = min(word.end, start + length) - max(word.start, start)
            if inside <= 0.1 * (word.end - word.start):
                continue
            text = f" {word.text}"
            unsure = self.timed and not owed and word.end > start + length - NEW_MS and random.random() < 0.5
            if inside < (1 - CLIPPED) * (word.end - word.start) or unsure:
                text += f"x{len(self.parts)}"
            jitter = [random.randint(-self.jitter_ms, self.jitter_ms) for _ in range(2)]
            begin = max(0, word.start - start + jitter[0])
            heard.append(Word(text, begin, max(begin, word.end - start + jitter[1]), 1.0))
        return heard


async def microphone(samples: np.ndarray, pauses_ms: Sequence[int] = ()) -> AsyncIterator[AudioChunk | Pause]:
    """In real time, 20 ms each, with Pauses at these places."""
    left = sorted(pauses_ms)
    for at in range(0, len(samples), MIC_CHUNK):
        while left and left[0] <= 1000 * at // MIC_RATE:
            del left[0]
            yield Pause()
        await asyncio.sleep(0.02)
        yield AudioChunk(samples[at : at + MIC_CHUNK], MIC_RATE, at)
    for _ in left:
        yield Pause()


async def answered(
    ears: Recognizer, samples: np.ndarray, pauses_ms: Sequence[int], language: str = "en"
) -> list[Transcript]:
    """The finals, where nobody goes on before a pause was answered; as fast as it goes."""
    final = asyncio.Event()

    async def said() -> AsyncIterator[AudioChunk | Pause]:
        left = sorted(pauses_ms)
        for number, chunk in enumerate(chunks(samples)):
            if left and 20 * number >= left[0]:
                del left[0]
                final.clear()
                yield Pause()
                await final.wait()
            yield chunk

    finals = []
    async with aclosing(ears.transcribe(said(), language=language)) as stream:  # type: ignore[type-var]
        async for transcript in stream:
            if transcript.kind == "final":
                finals.append(transcript)
                final.set()
    return finals
