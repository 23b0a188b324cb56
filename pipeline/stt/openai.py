"""A recogniser behind OpenAI's transcriptions: OpenAI itself, or a server that speaks the same.

It takes whole recordings, so each Pause sends the utterance so far, and a newer Pause replaces a request
that is still out. Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Sequence
from typing import Any, get_args

from pipeline import openai_account
from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.providers import Pause, Recognizer, Transcript, Word
from pipeline.settings import Language, Settings

NAME = openai_account.NAME
SHORTEST_MS = 100  # of sound that the API takes; less is no word either
HINT_CHARACTERS = 600  # whisper reads the last 224 tokens of a prompt


def missing(settings: Settings) -> str | None:
    return openai_account.missing(settings, "stt", settings.stt.openai.base_url)


def create(settings: Settings) -> Recognizer:
    return OpenAIRecognizer(settings)


class OpenAIRecognizer:
    """See `pipeline.providers.Recognizer`."""

    name = NAME
    full_pass = False
    punctuates = True

    def __init__(self, settings: Settings) -> None:
        self._account = openai_account.Account(
            "stt", settings, settings.stt.openai, ("whisper", "transcribe")
        )
        self.detail = f"{self._account.model} at {self._account.where}"

    async def start(self) -> None:
        await self._account.start()

    async def close(self) -> None:
        await self._account.close()

    def knows(self, language: str) -> bool:
        return language in get_args(Language)

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        utterance = _Utterance(self._account, language, hints)
        feeder = asyncio.create_task(utterance.feed(audio), name="openai-stt-feed")
        try:
            while (transcript := await utterance.next()) is not None:
                yield transcript
        finally:
            feeder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeder


class _Utterance:
    """The recording so far, and at most one request for it."""

    def __init__(self, account: openai_account.Account, language: str, hints: Sequence[str]) -> None:
        self._account = account
        self._language = language
        self._prompt = ", ".join(hints)[:HINT_CHARACTERS]
        self._pcm = bytearray()
        self._owed = 0  # pauses without a final
        self._request: asyncio.Task[None] | None = None
        # Bounded by the words of the answers: one partial a word.
        self._out: asyncio.Queue[Transcript | Exception | None] = asyncio.Queue()

    async def next(self) -> Transcript | None:
        """The next transcript; None: all that was owed has come. Raises what went wrong."""
        item = await self._out.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def feed(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        new = False  # sound since the last pause
        try:
            async for piece in audio:
                new = isinstance(piece, AudioChunk)
                if isinstance(piece, AudioChunk):
                    self._pcm += piece.samples.tobytes()
                else:
                    await self._ask()
            if new:
                await self._ask()
            if self._request is not None:
                await self._request
            self._out.put_nowait(None)
        except Exception as error:  # the microphone's
            self._out.put_nowait(error)
        finally:
            await self._drop()

    async def _ask(self) -> None:
        await self._drop()
        self._owed += 1
        self._request = asyncio.create_task(self._answer(bytes(self._pcm)), name="openai-stt-request")

    async def _drop(self) -> None:
        if self._request is not None:
            self._request.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._request

    async def _answer(self, pcm: bytes) -> None:
        try:
            final = Transcript("final", "", language=self._language)
            if len(pcm) >= 2 * MIC_RATE * SHORTEST_MS // 1000:
                final = await self._transcribed(pcm)
            for _ in range(self._owed):
                self._out.put_nowait(final)
            self._owed = 0
        except Exception as error:
            self._out.put_nowait(self._account.translated(error))

    async def _transcribed(self, pcm: bytes) -> Transcript:
        model = self._account.model
        request: dict[str, Any] = {
            "model": model,
            "file": ("speech.wav", _wav(pcm), "audio/wav"),
            "language": self._language,
        }
        if self._prompt:
            request["prompt"] = self._prompt
        transcriptions = self._account.client.audio.transcriptions
        if "transcribe" in model:
            return await self._streamed(await transcriptions.create(**request, stream=True))
        if model.startswith("whisper"):
            request |= {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
        answer = await transcriptions.create(**request)
        if not isinstance(getattr(answer, "text", None), str):
            raise self._account.bad_response("no transcript")
        words = tuple(
            Word(word.word, round(1000 * word.start), round(1000 * word.end), 1.0)
            for word in getattr(answer, "words", None) or ()
        )
        return Transcript("final", answer.text.strip(), words=words, language=self._language)

    async def _streamed(self, stream: Any) -> Transcript:
        """Partials as the server writes them, then the final."""
        text = ""
        async with stream:
            async for event in stream:
                if event.type == "transcript.text.delta":
                    text += event.delta
                    said = text.lstrip()
                    self._out.put_nowait(Transcript("partial", said, sure=len(said), language=self._language))
                elif event.type == "transcript.text.done":
                    return Transcript("final", event.text.strip(), language=self._language)
        raise self._account.bad_response("a transcript that stops in the middle")


def _wav(pcm: bytes) -> bytes:
    """int16 mono at MIC_RATE as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(MIC_RATE)
        out.writeframes(pcm)
    return file.getvalue()
