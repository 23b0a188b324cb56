"""A voice behind OpenAI's speech: OpenAI itself, or a server that speaks the same. Streamed, without marks.

Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, get_args

import numpy as np

from pipeline import openai_account
from pipeline.errors import ProviderError
from pipeline.providers import Speech, Voice, VoiceStyle
from pipeline.settings import Language, Settings

NAME = openai_account.NAME
RATE = 24_000  # Hz, of "pcm": 16 bit, little endian, mono
VOICE = "alloy"
ONSET = 104  # of 32768: -50 dBFS; what is below at the start is silence
LEAD_IN = RATE * 5 // 1000  # samples kept before the onset, so that it is not cut off


def missing(settings: Settings) -> str | None:
    return openai_account.missing(settings, "tts", settings.tts.openai.base_url)


def create(settings: Settings) -> Voice:
    return OpenAIVoice(settings)


class OpenAIVoice:
    """See `pipeline.providers.Voice`. It takes the language from the text."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._account = openai_account.Account("tts", settings, settings.tts.openai, ("tts",))
        self.detail = f"{self._account.model} at {self._account.where}"

    async def start(self) -> None:
        await self._account.start()

    async def close(self) -> None:
        await self._account.close()

    def knows(self, language: str) -> bool:
        return language in get_args(Language)

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        if not self.knows(language):
            raise ProviderError("tts", NAME, f"has no voice for “{language}”", "unsupported_language")
        if not text.strip():
            return  # the API refuses it
        request: dict[str, Any] = {
            "model": self._account.model,
            "voice": style.voice or VOICE,
            "input": text,
            "response_format": "pcm",
        }
        if style.instructions and not self._account.model.startswith("tts-1"):  # which refuses them
            request["instructions"] = style.instructions
        if style.rate != 1.0:
            request["speed"] = min(4.0, max(0.25, style.rate))
        speech = self._account.client.audio.speech.with_streaming_response
        sound = _Sound()
        with self._account.request(lambda: {"characters": len(text), "seconds": sound.received / RATE}):
            async with speech.create(**request) as response:
                kind = response.headers.get("content-type", "")
                if kind.startswith(("text/", "application/json")):
                    raise self._account.bad_response(f"{kind}, not with sound")
                async for block in response.iter_bytes():
                    if len(samples := sound.push(block)):
                        yield Speech(samples, RATE)


class _Sound:
    """Blocks of a network as samples: a sample may be split between two, and silence comes first."""

    def __init__(self) -> None:
        self.received = 0  # samples, silence included
        self._rest = b""  # an odd byte
        self._held: np.ndarray | None = np.zeros(0, np.int16)  # silence so far; None: it has ended

    def push(self, block: bytes) -> np.ndarray:
        """int16 (n,) at RATE, possibly empty."""
        data = self._rest + block
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
        self.received += len(samples)
        if self._held is None:
            return samples
        held = np.concatenate([self._held, samples])
        loud = np.flatnonzero(np.abs(held.astype(np.int32)) > ONSET)
        if not len(loud):
            self._held = held[-LEAD_IN:]
            return held[:0]
        self._held = None
        return held[max(0, int(loud[0]) - LEAD_IN) :]
