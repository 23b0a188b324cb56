"""Recognisers that hear over a WebSocket: what is ours of the time to the first words and to the last.

    python -m bench --only live

The vendors are stand-ins on this machine that answer at once, so what is measured is ours: the socket, the
messages, what is made of them. A hand-shake takes HANDSHAKE_MS, as over the internet; a line that waits from
the utterance before saves it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from pipeline.audio import AudioChunk
from pipeline.choice import plugin
from pipeline.providers import Pause, Recognizer
from tests.sounds import chunks, noise
from tests.vendors.assemblyai_server import AssemblyAIServer
from tests.vendors.deepgram_server import DeepgramServer

SERVERS = {"deepgram": DeepgramServer, "assemblyai": AssemblyAIServer}
HANDSHAKE_MS = 150.0
SPOKEN_MS = 1000.0
TIMES = 12


def run(quick: bool) -> dict[str, Any]:
    return {name: asyncio.run(_vendor(name, 3 if quick else TIMES)) for name in SERVERS}


async def _vendor(name: str, times: int) -> dict[str, Any]:
    found: dict[str, Any] = {"handshake_ms": HANDSHAKE_MS}
    async with SERVERS[name]() as vendor:
        vendor.opens_after_ms, vendor.word_ms = HANDSHAKE_MS, 100
        for line in ("new", "kept"):
            ears: Recognizer = plugin("stt", name).create(vendor.settings())
            await ears.start()
            if line == "kept":
                await _utterance(ears)
            rows = []
            for _ in range(times):
                rows.append(await _utterance(ears))
                if line == "new":
                    await ears.close()
                    ears = plugin("stt", name).create(vendor.settings())
                    await ears.start()
            await ears.close()
            found[line] = {
                key: round(statistics.median(row[key] for row in rows), 1) for key in ("first_ms", "final_ms")
            }
    return found


async def _utterance(ears: Recognizer) -> dict[str, float]:
    """At the speed of speech. ms from its first sample to the first words, from the pause to the final."""
    began = paused = time.perf_counter()
    found: dict[str, float] = {}

    async def microphone() -> AsyncIterator[AudioChunk | Pause]:
        nonlocal paused
        for number, chunk in enumerate(chunks(noise(SPOKEN_MS))):
            await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - time.perf_counter()))
            yield chunk
        paused = time.perf_counter()
        yield Pause()

    async with aclosing(ears.transcribe(microphone(), language="en")) as stream:  # type: ignore[type-var]
        async for transcript in stream:
            now = time.perf_counter()
            found.setdefault("first_ms", 1000 * (now - began))
            if transcript.kind == "final":
                found["final_ms"] = 1000 * (now - paused)
    return found
