"""A recogniser behind OpenAI's transcriptions: OpenAI itself, or a server that speaks the same.

It takes whole recordings: what is open of the utterance (`growing`) is sent at each Pause. whisper-1 says
when each word was spoken; the gpt-4o models do not, but write their answer as it comes. Every second sent
costs money, so between pauses little is sent.
Source: https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

from __future__ import annotations

import asyncio
import io
import re
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, get_args

import numpy as np

from pipeline import openai_account
from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer, Transcript, Word
from pipeline.settings import Language, Settings
from pipeline.stt import growing
from pipeline.stt.growing import Heard, Part
from pipeline.stt.hallucinations import is_made_up, without_circles

NAME = openai_account.NAME
HINT_CHARACTERS = 400  # whisper reads the last 224 tokens of a prompt: these and
BEFORE_CHARACTERS = 200  # what was said before
ENDED_WITHIN_S = 0.05  # an answer, after all of it was said
OPENING = " ¿¡([{“«"  # what belongs to the word behind it


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
        self.charges = self._account.charges
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
        if not self.knows(language):
            raise ProviderError("stt", NAME, f"is not told of “{language}”", "unsupported_language")
        decoder = _Transcriptions(self._account, language, hints)
        async with aclosing(growing.transcribe(decoder, audio, language)) as transcripts:
            async for transcript in transcripts:
                yield transcript


class _Transcriptions:
    """One utterance's requests. See `pipeline.stt.growing.Decoder`."""

    every_s = 8.0  # longer than most people speak without a pause, which is answered anyway

    def __init__(self, account: openai_account.Account, language: str, hints: Sequence[str]) -> None:
        self._account = account
        self._language = language
        self._hints = ", ".join(hints)[:HINT_CHARACTERS]
        self.timed = account.model.startswith("whisper")

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        model = self._account.model
        request: dict[str, Any] = {
            "model": model,
            "file": ("speech.wav", _wav(part.samples), "audio/wav"),
            "language": self._language,
        }
        prompt = " ".join(filter(None, [self._hints, part.before[-BEFORE_CHARACTERS:].strip()]))
        if prompt:
            request["prompt"] = prompt
        transcriptions = self._account.client.audio.transcriptions
        with self._account.request(lambda: {"seconds": len(part.samples) / MIC_RATE}):
            if "transcribe" in model:
                return await self._streamed(await transcriptions.create(**request, stream=True), said)
            if self.timed:
                granularities = ["word", "segment"]
                request |= {"response_format": "verbose_json", "timestamp_granularities": granularities}
            return self._heard(await transcriptions.create(**request))

    async def _streamed(self, stream: Any, said: Callable[[str], None]) -> Heard:
        text = ""
        async with stream:
            async for event in stream:
                if event.type == "transcript.text.delta":
                    text += event.delta
                    said(text.strip())
                elif event.type == "transcript.text.done":
                    whole = event.text.strip()
                    with suppress(TimeoutError):  # else the connection is not kept for the next request
                        async with asyncio.timeout(ENDED_WITHIN_S):
                            async for _ in stream:
                                pass
                    return Heard("" if is_made_up(whole, self._language) else whole)
        raise self._account.bad_response("a transcript that stops in the middle")

    def _heard(self, answer: Any) -> Heard:
        text = getattr(answer, "text", None)
        if not isinstance(text, str):
            page = isinstance(answer, str) and answer.lstrip().startswith("<")
            raise self._account.bad_response("text/html" if page else "no transcript")
        timed = getattr(answer, "words", None)
        if not timed:
            return Heard("" if is_made_up(text, self._language) else text.strip())
        words = _words(text.strip(), timed)
        for segment in getattr(answer, "segments", None) or ():
            silence, likely = getattr(segment, "no_speech_prob", 0.0), getattr(segment, "avg_logprob", 0.0)
            if is_made_up(segment.text, self._language, silence, likely):
                first, last = 1000 * segment.start, 1000 * segment.end
                words = [word for word in words if not first <= (word.start_ms + word.end_ms) / 2 <= last]
        kept = without_circles(words, self._language)
        return Heard("".join(word.text for word in kept), tuple(kept))


def _words(text: str, words: Sequence[Any]) -> list[Word]:
    """The text cut up where its words begin: they come without their stops and spaces."""
    starts, at = [], 0
    for word in words:
        found = re.compile(re.escape(word.word.strip()), re.IGNORECASE).search(text, at)
        first = found.start() if found else at
        while first > at and text[first - 1] in OPENING:
            first -= 1
        starts.append(first)
        at = found.end() if found else at
    starts = [0, *starts[1:], len(text)]
    return [
        Word(text[first:last], round(1000 * word.start), round(1000 * word.end), 1.0)
        for word, first, last in zip(words, starts, starts[1:], strict=False)
        if text[first:last]
    ]


def _wav(samples: np.ndarray) -> bytes:
    """int16 mono at MIC_RATE as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(MIC_RATE)
        out.writeframes(samples.tobytes())
    return file.getvalue()
