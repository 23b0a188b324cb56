"""How long after its first phrase a voice is heard: what is ours in that, beside the vendor's own time.

    python -m bench --only voices

The vendors are stand-ins on this machine whose first byte comes after VENDOR_MS; Piper has a tiny model of
random weights, so its figure says nothing about a trained one. What is on disk was said once before.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import modes
from pipeline.languages import say
from pipeline.phrase_cache import Remembering
from pipeline.providers import Expecting, Voice
from pipeline.sentences import Sentences
from pipeline.settings import (
    OpenAITtsSettings,
    PiperSettings,
    Secrets,
    Settings,
    TtsCacheSettings,
    TtsSettings,
)
from pipeline.tts.elevenlabs import ElevenLabs
from pipeline.tts.espeak import Espeak
from pipeline.tts.openai import OpenAIVoice
from pipeline.tts.piper import Piper
from tests.providers import tiny_piper
from tests.vendors.elevenlabs_server import ElevenLabsServer
from tests.vendors.openai_server import OpenAIServer

VENDOR_MS = 150.0  # until its first byte
TOKEN_MS = 15.0
PHRASE = say("nudge", "en")[0]  # one of our own, as only those are kept on disk
# Replies as language models write them, some of them without a mark for long.
REPLIES = (
    "That makes sense. What did you measure before you changed it?",
    "I like how you described the migration because it shows that you thought about the people who run it.",
    "You mentioned that the team was small when you started and grew quickly, which is common. What changed?",
    "Could you walk me through the moment when you realised that the design would not scale any further?",
    "It sounds like you had to convince several people who did not agree with you. What worked in the end?",
    "Great example! Tell me what you would do differently today.",
    "I would be curious how you handled the talk with your manager when the deadline moved once more.",
    "So the cache was stale while the database was already updated, right? How did users notice?",
    "One thing that would make this answer stronger is a number for how much faster it became.",
    "Let's move on and talk about how you work with other people in a team.",
)


def run(quick: bool) -> dict[str, Any]:
    return asyncio.run(_run(5 if quick else 60))


async def _run(rounds: int) -> dict[str, Any]:
    found: dict[str, Any] = {"phrases": _phrases()}
    espeak = Espeak()
    found["espeak"] = await _measured(espeak, rounds)
    with tempfile.TemporaryDirectory() as folder:
        tiny_piper.make(Path(folder), "en_US-lessac-medium")
        piper = Piper(Settings(tts=TtsSettings(piper=PiperSettings(folder=folder))))
        found["piper"] = await _measured(piper, rounds)
    async with OpenAIServer() as openai, ElevenLabsServer() as elevenlabs:
        openai.speech.first_ms = elevenlabs.work.first_ms = VENDOR_MS
        own = OpenAITtsSettings(base_url=openai.base_url)
        settings = Settings(tts=TtsSettings(openai=own), secrets=Secrets(openai_api_key="any"))
        found["openai"] = await _measured(OpenAIVoice(settings), rounds, VENDOR_MS)
        found["elevenlabs"] = await _measured(ElevenLabs(elevenlabs.settings()), rounds, VENDOR_MS)
        with tempfile.TemporaryDirectory() as folder:
            settings = elevenlabs.settings()
            cache = TtsCacheSettings(folder=folder)
            settings = settings.model_copy(update={"tts": settings.tts.model_copy(update={"cache": cache})})
            voice = ElevenLabs(settings)
            found["disk"] = await _measured(Remembering(voice, settings, voice.charges), rounds)
    return found


async def _measured(voice: Voice, rounds: int, vendor_ms: float = 0.0) -> dict[str, Any]:
    """ms from the phrase to its first sound, less the vendor's own. The first round is not counted."""
    await voice.start()
    style = modes.style("interview", "", voice.name)
    took_ms: list[float] = []
    for _ in range(rounds + 1):
        if isinstance(voice, Expecting):
            voice.expect(language="en", style=style)
        await asyncio.sleep(0.1)  # the mind thinks
        began = time.perf_counter()
        async with aclosing(voice.speak(PHRASE, language="en", style=style)) as stream:  # type: ignore[type-var]
            await anext(aiter(stream))
            took_ms.append(1000 * (time.perf_counter() - began) - vendor_ms)
            async for _ in stream:
                pass
    await voice.close()
    del took_ms[0]
    return {
        "n": rounds,
        "came": rounds,
        "median_ms": round(float(np.median(took_ms)), 1),
        "p95_ms": round(float(np.percentile(took_ms, 95)), 1),
    }


def _phrases() -> dict[str, Any]:
    """Of a mind that gives a word every TOKEN_MS: from the first to the first phrase."""
    took_ms: list[float] = []
    for reply in REPLIES:
        cutter = Sentences("en")
        words = (reply + " And").split(" ")
        for number, word in enumerate(words):
            if cutter.push(word + " "):
                took_ms.append(number * TOKEN_MS)
                break
    return {
        "n": len(REPLIES),
        "came": len(took_ms),
        "median_ms": round(float(np.median(took_ms)), 1),
        "p95_ms": round(float(np.percentile(took_ms, 95)), 1),
    }
