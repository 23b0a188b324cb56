"""Providers that do whatever a plug-in may do, bugs included, each by a plan made beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.audio import VOICE_RATE, AudioChunk
from pipeline.errors import ProviderError, Stage
from pipeline.providers import (
    Message,
    Note,
    Pause,
    Piece,
    ReplyOptions,
    Speech,
    ToolCall,
    Transcript,
    Usage,
    VoiceStyle,
    VoiceWord,
    Word,
)
from tests.session.call import WORD_MS, FakeProvider

FOREVER_S = 1e6


@dataclass(frozen=True)
class Way:
    """How one stream goes."""

    text: str = "yes."
    delay_ms: int = 0
    calls: str = ""  # a function, after the text
    ends: str = ""  # "": well; "error", "deaf": ProviderError; "bug": another; "hang"; "empty": nothing comes
    after: int = 0  # pieces that come before that end


async def _end(way: Way, stage: Stage) -> None:
    if way.ends == "error":
        raise ProviderError(stage, "wild", "no connection", "unreachable")
    if way.ends == "deaf":
        raise ProviderError(stage, "wild", "knows another language", "unsupported_language")
    if way.ends == "bug":
        raise RuntimeError("a bug in a plug-in")
    if way.ends == "hang":
        await asyncio.sleep(FOREVER_S)


@dataclass
class _Wild(FakeProvider):
    ways: list[Way]
    begun: int = 0
    open_streams: int = 0
    texts: list[str] = field(default_factory=list)

    def knows(self, language: str) -> bool:
        return True

    def _next(self) -> Way:
        self.begun += 1
        return self.ways[(self.begun - 1) % len(self.ways)]


@dataclass
class WildEars(_Wild):
    full_pass: bool = False
    punctuates: bool = False

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        way, pauses = self._next(), 0
        self.open_streams += 1
        try:
            async for piece in audio:
                if isinstance(piece, Pause):
                    await asyncio.sleep(way.delay_ms / 1000)
                    if way.ends and pauses >= way.after:
                        await _end(way, "stt")
                    pauses += 1
                    text = "" if way.ends == "empty" else way.text
                    yield Transcript("partial", text)
                    words = tuple(Word(word, 0, 0, 1.0) for word in text.split())
                    yield Transcript("final", text, words=words, language=language)
                    if self.full_pass:
                        yield Transcript("full", text, words=words, language=language)
        finally:
            self.open_streams -= 1


@dataclass
class WildMind(_Wild):
    wants_full: bool = False

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        way = self._next()
        self.open_streams += 1
        try:
            await asyncio.sleep(way.delay_ms / 1000)
            yield Note({"turn": self.begun})
            pieces = [] if way.ends == "empty" else way.text.split(" ")
            for index, word in enumerate(pieces):
                if way.ends and index >= way.after:
                    break
                yield word + " "
                await asyncio.sleep(way.delay_ms / 10_000)
            if way.calls and messages[-1].role != "tool":
                for piece in ("", '{"word": ', '"cache"}'):
                    yield ToolCall("call_1", way.calls, piece)
                    await asyncio.sleep(way.delay_ms / 10_000)
            await _end(way, "llm")
            yield Usage(10, len(pieces))
        finally:
            self.open_streams -= 1


@dataclass
class WildVoice(_Wild):
    """WORD_MS of tone a word, each beginning and ending at zero, and a mark at each."""

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        way = self._next()
        self.texts.append(text)
        self.open_streams += 1
        length = VOICE_RATE * WORD_MS // 1000
        tone = (8000 * np.sin(np.arange(length) * 2 * np.pi * 440 / VOICE_RATE)).astype(np.int16)
        try:
            await asyncio.sleep(way.delay_ms / 1000)
            if way.ends == "empty":
                return
            at = 0
            for index, word in enumerate(text.split(" ")):
                if way.ends and index >= way.after:
                    await _end(way, "tts")
                yield Speech(tone, VOICE_RATE, (VoiceWord(index * length, at, at + len(word)),))
                at += len(word) + 1
        finally:
            self.open_streams -= 1
