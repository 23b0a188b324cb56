"""Every plug-in of the product, set up to be examined: one that has a vendor, against its server in tests."""

from __future__ import annotations

import asyncio
import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from pipeline.choice import plugin
from pipeline.contract import suite
from pipeline.contract.bench import Subject
from pipeline.contract.checks import STAGES
from pipeline.contract.suite import Result
from pipeline.errors import Stage
from pipeline.settings import FasterWhisperSettings, PiperSettings, Settings, SttSettings, TtsSettings
from server.logs import CHATTY
from tests.providers import tiny_piper, tiny_whisper
from tests.vendors.assemblyai_server import AssemblyAIServer
from tests.vendors.deepgram_server import DeepgramServer
from tests.vendors.elevenlabs_server import ElevenLabsServer
from tests.vendors.openai_stages import LocalStage, OpenAIStage

VENDORS: dict[str, Callable[[], Any] | None] = {  # None: it has none
    "stt:pocketsphinx": None,
    "stt:faster_whisper": None,
    "stt:openai whisper-1": partial(OpenAIStage, "stt"),
    "stt:openai gpt-4o-transcribe": partial(OpenAIStage, "stt", "gpt-4o-transcribe"),
    "stt:deepgram": DeepgramServer,
    "stt:assemblyai": AssemblyAIServer,
    "llm:scripted": None,
    "llm:openai": partial(OpenAIStage, "llm"),
    "llm:local": LocalStage,
    "tts:espeak": None,
    "tts:openai": partial(OpenAIStage, "tts"),
    "tts:elevenlabs": ElevenLabsServer,
    "tts:piper": None,
}


def subject(plug_in: str) -> Subject:
    stage, name = stage_of(plug_in), plug_in.partition(":")[2].split()[0]
    return Subject(stage, plugin(stage, name), settings(name), VENDORS[plug_in], name)


def stage_of(plug_in: str) -> Stage:
    return next(stage for stage in STAGES if plug_in.startswith(stage))


def settings(name: str) -> Settings:
    """For those without a vendor."""
    if name == "faster_whisper":
        own = FasterWhisperSettings(
            model=str(tiny_whisper.make(folder(name), [" we", " moved", " it"])), threads=1
        )
        return Settings(stt=SttSettings(faster_whisper=own))
    if name == "piper":
        for voice in ("en_US-amy-medium", "de_DE-thorsten-medium"):
            tiny_piper.make(folder(name), voice)
        return Settings(tts=TtsSettings(piper=PiperSettings(folder=str(folder(name)), threads=1)))
    return Settings()


@cache
def folder(name: str) -> Path:
    """For a tiny model with random weights, which says or hums the same each time. Gone at the end."""
    made = Path(tempfile.mkdtemp(prefix=f"viva-{name}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def examined(each: Subject) -> dict[str, Result]:
    """The result of every check, with the log as a server has it."""

    async def run() -> dict[str, Result]:
        return {result.check: result async for result in suite.examine(each)}

    levels = {name: logging.getLogger(name).level for name in CHATTY}
    try:
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        return asyncio.run(run())
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
