"""What the tests of all recognisers have in common: what they hear, and how they are listened to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from pipeline.audio import AudioChunk
from pipeline.providers import Pause, Recognizer, Transcript
from pipeline.settings import FasterWhisperSettings, OpenAISttSettings, Secrets, Settings, SttSettings
from tests.providers.tiny_whisper import make
from tests.sounds import chunks, padded, speech
from tests.vendors.openai_server import OpenAIServer

SAID = "we moved the database to a new server"
KEY = "sk-very-secret"

Piece = AudioChunk | Pause


def settings_for(vendor: OpenAIServer, folder: Path) -> Settings:
    """With which all of them can run: a tiny Whisper in `folder`, OpenAI on this machine."""
    whisper = make(folder / "whisper", [" we", " moved", " it"])
    return Settings(
        stt=SttSettings(
            faster_whisper=FasterWhisperSettings(model=str(whisper), threads=1),
            openai=OpenAISttSettings(base_url=vendor.base_url),
        ),
        secrets=Secrets(openai_api_key=KEY),
    )


def sentence(text: str = SAID) -> list[Piece]:
    return list(chunks(padded(speech(text), 300, 120)))


async def microphone(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


async def heard(
    ears: Recognizer, pieces: Iterable[Piece], language: str = "en", hints: Sequence[str] = ()
) -> list[Transcript]:
    return await listened(ears, microphone(pieces), language, hints)


async def listened(
    ears: Recognizer, audio: AsyncIterator[Piece], language: str = "en", hints: Sequence[str] = ()
) -> list[Transcript]:
    async with aclosing(ears.transcribe(audio, language=language, hints=hints)) as stream:  # type: ignore[type-var]
        return [transcript async for transcript in stream]


def kinds(transcripts: list[Transcript], *but: str) -> list[str]:
    return [transcript.kind for transcript in transcripts if transcript.kind not in but]
