"""A recogniser, a mind and a voice that take no time: what is left is what the system itself adds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache

import numpy as np

from pipeline.audio import VOICE_RATE, AudioChunk
from pipeline.providers import (
    Message,
    Note,
    Pause,
    ReplyOptions,
    Speech,
    Token,
    Transcript,
    Usage,
    VoiceStyle,
    VoiceWord,
    Word,
)

WORD_S = 0.25
REPLY = " ".join(f"word{number}" for number in range(24)) + "."


class _Zero:
    name = "zero"
    detail = "answers at once, for measuring"

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def knows(self, language: str) -> bool:
        return True


class ZeroEars(_Zero):
    """Hears the same question each time."""

    full_pass = False
    punctuates = False

    def __init__(self, text: str = "what is a cache", final_s: float = 0.0) -> None:
        self._text = text
        self._final_s = final_s  # from a pause to its words

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        words = tuple(Word(word, 0, 0, 1.0) for word in self._text.split())
        async for piece in audio:
            if isinstance(piece, Pause):
                await asyncio.sleep(self._final_s)
                yield Transcript("final", self._text, words=words, language=language)


class ZeroMind(_Zero):
    wants_full = False

    async def reply(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncIterator[Token | Note | Usage]:
        yield Token(REPLY)


@cache
def buzz(seconds: float) -> np.ndarray:
    """int16 at VOICE_RATE: of one loudness, so that ducking shows, and of a pitch that wanders as a voice's
    does (a pure tone is like any vowel of its pitch, which no echo is)."""
    count = int(seconds * VOICE_RATE)
    chance = np.random.default_rng(5)
    points = np.arange(0, count + 2400, 2400)
    pitch = np.interp(np.arange(count), points, chance.uniform(100, 220, len(points)))
    return (8000 * (2 * (np.cumsum(pitch) / VOICE_RATE % 1) - 1)).astype(np.int16)


class ZeroVoice(_Zero):
    """A quarter of a second for each word."""

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        length = int(WORD_S * VOICE_RATE)
        words = text.split(" ")
        sound = buzz(WORD_S * len(words))
        at = 0
        for index, word in enumerate(words):
            piece = sound[index * length : (index + 1) * length]
            yield Speech(piece, VOICE_RATE, (VoiceWord(index * length, at, at + len(word)),))
            at += len(word) + 1
