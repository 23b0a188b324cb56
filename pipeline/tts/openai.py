"""A voice behind OpenAI's speech: OpenAI itself, or a server that speaks the same. Streamed, without marks.

Source: https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, get_args

from pipeline import modes, openai_account
from pipeline.errors import ProviderError
from pipeline.providers import Speech, Voice, VoiceStyle
from pipeline.settings import Language, Settings
from pipeline.tts.decoding import Decoder
from pipeline.tts.onset import Onset

NAME = openai_account.NAME
VOICE = "alloy"


def missing(settings: Settings) -> str | None:
    return openai_account.missing(settings, "tts", settings.tts.openai.base_url)


def create(settings: Settings) -> Voice:
    return OpenAIVoice(settings)


class OpenAIVoice:
    """See `pipeline.providers.Voice`. It takes the language from the text."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._own = settings.tts.openai
        self._account = openai_account.Account("tts", settings, self._own, ("tts",))
        self.model = self._account.model
        self.charges = self._account.charges
        self.detail = f"{self.model} at {self._account.where}"

    async def start(self) -> None:
        await self._account.start()

    async def close(self) -> None:
        await self._account.close()

    def knows(self, language: str) -> bool:
        return language in get_args(Language)

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        """See `pipeline.providers.Expecting`."""
        self._account.open_ahead()

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        if not self.knows(language):
            raise ProviderError("tts", NAME, f"has no voice for “{language}”", "unsupported_language")
        if not text.strip():
            return  # the API refuses it
        speech = self._account.client.audio.speech.with_streaming_response
        heard_s = 0.0
        with self._account.request(lambda: {"characters": len(text), "seconds": heard_s}):
            async with speech.create(**self._request(text, style)) as response:
                kind = response.headers.get("content-type", "")
                if kind.startswith(("text/", "application/json")):
                    raise self._account.bad_response(f"{kind}, not with sound")
                decoder = Decoder(kind if self._own.format == "pcm" else self._own.format, self._own.pcm_rate)
                onset: Onset | None = None
                async for block in _with_end(response.iter_bytes()):
                    samples = decoder.push(block) if block else decoder.flush()
                    if not len(samples):
                        continue
                    heard_s += len(samples) / decoder.rate
                    onset = onset or Onset(decoder.rate)
                    if len(sound := onset.push(samples)):
                        yield Speech(sound, decoder.rate)

    def _request(self, text: str, style: VoiceStyle) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "voice": modes.voice_of(style, NAME, self._own.voices) or VOICE,
            "input": text,
            "response_format": self._own.format,
        }
        if (
            style.instructions and self._own.instructions and not self.model.startswith("tts-1")
        ):  # refuses them
            request["instructions"] = style.instructions
        if style.rate != 1.0:
            request["speed"] = min(4.0, max(0.25, style.rate))
        return request


async def _with_end(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The blocks, and b"" after the last."""
    async for block in blocks:
        if block:
            yield block
    yield b""
