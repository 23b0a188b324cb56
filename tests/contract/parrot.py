"""A plug-in of somebody else's: ears, mind and voice behind a server that speaks lines of JSON.

It knows of the product what a stranger knows: the values and Protocols of `pipeline.providers`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError, Stage
from pipeline.notices import Spent, tell
from pipeline.providers import (
    Message,
    Pause,
    Piece,
    ReplyOptions,
    Speech,
    Token,
    Transcript,
    Usage,
    VoiceStyle,
    VoiceWord,
    Word,
)
from pipeline.settings import Settings

RATE = 24_000  # Hz
WORD_SAMPLES = RATE * 60 // 1000
CODES = {401: "auth", 403: "forbidden", 429: "rate_limited"}


class PlugIn:
    """What an entry point names: `missing` and `create`."""

    def __init__(self, provider: type[Parrot]) -> None:
        self._provider = provider

    def missing(self, settings: Settings) -> str | None:
        return None if "address" in settings.plugins.get("parrot", {}) else "set address in [plugins.parrot]"

    def create(self, settings: Settings) -> Parrot:
        return self._provider(settings.plugins["parrot"])


class Parrot:
    """What its three stages have in common."""

    stage: Stage
    name = "parrot"
    detail = "a parrot"

    def __init__(self, own: dict[str, Any]) -> None:
        self._host, _, port = own["address"].partition(":")
        self._port = int(port)
        self._key = own["key"]
        self._timeout_s = own.get("timeout_s", 5.0)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def knows(self, language: str) -> bool:
        return language in ("en", "de")

    def refuse_unknown(self, language: str) -> None:
        if not self.knows(language):
            raise self.error("unsupported_language", f"does not know “{language}”")

    async def answers(self, question: str) -> AsyncIterator[str]:
        """Word by word. Raises ProviderError."""
        reader, writer = await self.connected()
        try:
            writer.write(json.dumps({"key": self._key, "question": question}).encode() + b"\n")
            head = await self._line(reader)
            if head["status"] != 200:
                raise self.refused(head)
            while (word := (await self._line(reader))["word"]) is not None:
                yield word
        except TimeoutError:
            raise self.error("timeout", f"said nothing for {self._timeout_s:g} s") from None
        except OSError as error:
            raise self.error("unreachable", "flew away") from error
        except (ValueError, KeyError, TypeError) as error:
            raise self.error("bad_response", "said something that is no word") from error
        finally:
            self.disconnect(writer)

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.open_connection(self._host, self._port)
        except (TimeoutError, OSError) as error:
            raise self.error("unreachable", "is not there") from error

    def disconnect(self, writer: asyncio.StreamWriter) -> None:
        writer.close()

    def refused(self, head: dict[str, Any]) -> ProviderError:
        code = CODES.get(head["status"], "bad_response")
        return self.error(code, f"answered {head['status']}", head.get("retry_after_s"))

    def error(self, code: str, message: str, retry_after_s: float | None = None) -> ProviderError:
        return ProviderError(self.stage, self.name, message, code, retry_after_s)

    async def _line(self, reader: asyncio.StreamReader) -> Any:
        async with asyncio.timeout(self._timeout_s):
            line = await reader.readline()
        if not line:
            raise ConnectionError
        return json.loads(line)


class ParrotEars(Parrot):
    stage: Stage = "stt"
    full_pass = False
    punctuates = False

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        self.refuse_unknown(language)
        samples = asked = 0
        async for piece in audio:
            if isinstance(piece, AudioChunk):
                samples += len(piece.samples)
                continue
            asked = samples
            async for transcript in self.heard(samples):
                yield transcript
        if samples > asked:
            async for transcript in self.heard(samples):
                yield transcript

    async def heard(self, samples: int) -> AsyncIterator[Transcript]:
        """An answer to a pause."""
        tell(Spent("stt", self.name, "", "seconds", samples / MIC_RATE))
        texts: list[str] = []
        async for text in self.answers("what was said?"):
            texts.append(text)
            yield Transcript("partial", " ".join(texts))
        yield self.final(texts, 1000 * samples // MIC_RATE)

    def final(self, texts: Sequence[str], length_ms: int) -> Transcript:
        step_ms = length_ms // max(1, len(texts))
        words = (Word(text, n * step_ms, (n + 1) * step_ms, 1.0) for n, text in enumerate(texts))
        return Transcript("final", " ".join(texts), words=tuple(words))


class ParrotMind(Parrot):
    stage: Stage = "llm"
    wants_full = False

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        count = 0
        try:
            async for word in self.answers(messages[-1].text):
                count += 1
                yield Token(f"{word} ")
            yield Usage(0, count)
        finally:
            tell(Spent("llm", self.name, "", "output_tokens", count))


class ParrotVoice(Parrot):
    stage: Stage = "tts"

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        """A tone for each word that comes, marked with the words of the text."""
        self.refuse_unknown(language)
        if not text.strip():
            return
        tell(Spent("tts", self.name, "", "characters", len(text)))
        places = self.places(text)
        number = 0
        async for _ in self.answers(text):
            marks = [VoiceWord(number * WORD_SAMPLES, *place) for place in places[number : number + 1]]
            yield Speech(self.tone(number), RATE, tuple(marks))
            number += 1

    @staticmethod
    def places(text: str) -> list[tuple[int, int]]:
        """Where each word begins and ends."""
        return [match.span() for match in re.finditer(r"\S+", text)]

    @staticmethod
    def tone(number: int) -> np.ndarray:
        wave = np.where(np.arange(WORD_SAMPLES) // (20 + number) % 2, 3000, -3000)
        return wave.astype(np.int16)


ears, mind, voice = PlugIn(ParrotEars), PlugIn(ParrotMind), PlugIn(ParrotVoice)
