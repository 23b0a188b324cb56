"""Word errors and times of the embedded recogniser on ten interview sentences.

Spoken by flite, fed at the speed of speech with 300 ms of silence before and 100 ms after, then a Pause.
Run: python -m bench.ears [voice ...]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pipeline.audio import AudioChunk
from pipeline.providers import Pause, Recognizer
from pipeline.settings import Settings
from pipeline.stt import pocketsphinx
from tests.sounds import chunks, padded, speech

SENTENCES = (
    "i have worked as a software engineer for seven years",
    "in my last job i was responsible for the payment system of an online store",
    "we moved the database to a new server without any downtime",
    "the biggest challenge was to find out why the service became slow every evening",
    "i talked to the team and we decided to write more tests before the next release",
    "i would start with a simple design and measure it before adding a cache",
    "when two people disagree i try to understand what each of them really needs",
    "my manager asked me to finish the project three weeks earlier than planned",
    "a queue between the two services keeps them working when one of them fails",
    "i am looking for a place where i can learn from experienced people",
)


def word_errors(said: str, heard: str) -> int:
    """Words replaced, left out or added (Levenshtein's distance over words)."""
    reference, hypothesis = said.split(), heard.split()
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


async def _sentence(ears: Recognizer, said: str, voice: str) -> dict[str, Any]:
    """One sentence at the speed of speech; times in ms after the Pause."""
    paused_at = 0.0

    async def microphone() -> AsyncIterator[AudioChunk | Pause]:
        nonlocal paused_at
        begun = time.perf_counter()
        for number, chunk in enumerate(chunks(padded(speech(said, voice), 300, 100))):
            await asyncio.sleep(max(0.0, begun + number * 0.02 - time.perf_counter()))
            yield chunk
        paused_at = time.perf_counter()
        yield Pause()

    found: dict[str, Any] = {"said": said}
    async for transcript in ears.transcribe(microphone(), language="en"):
        if transcript.kind != "partial":
            found[transcript.kind] = transcript.text
            found[f"{transcript.kind}_ms"] = 1000 * (time.perf_counter() - paused_at)
            found[f"{transcript.kind}_errors"] = word_errors(said, transcript.text)
    return found


async def measure(voice: str = "rms", sentences: Sequence[str] = SENTENCES) -> dict[str, Any]:
    begun = time.perf_counter()
    ears = pocketsphinx.create(Settings())
    await ears.start()
    load_s = time.perf_counter() - begun
    try:
        rows = [await _sentence(ears, said, voice) for said in sentences]
    finally:
        await ears.close()
    words = sum(len(said.split()) for said in sentences)
    figures: dict[str, Any] = {"voice": voice, "sentences": rows, "load_s": load_s}
    for kind in ("final", "full"):
        times = sorted(row[f"{kind}_ms"] for row in rows)
        figures[kind] = {
            "word_error_percent": 100 * sum(row[f"{kind}_errors"] for row in rows) / words,
            "median_ms": statistics.median(times),
            "max_ms": times[-1],
        }
    return figures


def run(voices: Sequence[str] = ("rms", "slt")) -> dict[str, Any]:
    """Measures and prints a table; returns the figures by voice."""
    found = {voice: asyncio.run(measure(voice)) for voice in voices}
    print("voice  pass   word errors  median ms  max ms")
    for voice, figures in found.items():
        for kind in ("final", "full"):
            of = figures[kind]
            print(
                f"{voice:6} {kind:6} {of['word_error_percent']:9.1f} %"
                f" {of['median_ms']:10.0f} {of['max_ms']:7.0f}"
            )
    return found


if __name__ == "__main__":
    run(sys.argv[1:] or ("rms", "slt"))
