"""Word errors and times of the embedded recogniser on ten interview sentences, and what lost packets cost.

Spoken by flite, fed at the speed of speech with 300 ms of silence before and 100 ms after, then a Pause. With
losses: as Opus through the server's jitter buffer and concealment, as fast as it is decoded.
Run: python -m bench.ears [voice ...]
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from pipeline.audio import MIC_RATE, VOICE_CHUNK, VOICE_RATE, AudioChunk, Resampler
from pipeline.providers import Pause, Recognizer
from pipeline.settings import Settings
from pipeline.stt import pocketsphinx
from server.media.jitter import Arrived, JitterBuffer, Lost
from server.media.opus import CLOCK_RATE, opus_decoder, opus_encoder, packet_samples
from tests.sounds import chunks, mixed, noise, padded, speech

LINES = (  # share of packets lost; noise in dBFS, 0: none
    ("0 %", 0.0, 0.0),
    ("0 % and noise at -80 dBFS", 0.0, -80.0),
    ("1 %", 0.01, 0.0),
    ("5 %", 0.05, 0.0),
)
PACKET = CLOCK_RATE // 50  # ticks of the RTP clock
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


def received(sound: np.ndarray, loss: float, seed: int) -> np.ndarray:
    """What the pipeline hears of it when that share of its packets is lost. Each carries a coarse copy of the
    one before, as browsers send them once they are told of losses."""
    up, encoder, decoder = Resampler(MIC_RATE, VOICE_RATE), opus_encoder(VOICE_RATE), opus_decoder(MIC_RATE)
    encoder.protect(True)
    buffer, dice = JitterBuffer(packet_samples), random.Random(seed)
    sent = np.concatenate([up.push(sound), up.flush()])
    heard: list[np.ndarray] = []
    for number in range(len(sent) // VOICE_CHUNK):
        payload = encoder.encode(sent[number * VOICE_CHUNK : (number + 1) * VOICE_CHUNK])
        if number and dice.random() < loss:
            continue
        for output in buffer.push(number, number * PACKET, payload, number * 0.02):
            if isinstance(output, Arrived):
                heard.append(decoder.decode(output.payload))
            elif isinstance(output, Lost):
                heard.append(decoder.conceal(output.samples * MIC_RATE // CLOCK_RATE, output.next_payload))
            else:
                heard.append(np.zeros(output.samples * MIC_RATE // CLOCK_RATE, np.int16))
    return np.concatenate(heard)


async def _heard(ears: Recognizer, sound: np.ndarray) -> str:
    """The best transcript of it."""

    async def microphone() -> AsyncIterator[AudioChunk | Pause]:
        for chunk in chunks(sound):
            yield chunk
        yield Pause()

    text = ""
    async for transcript in ears.transcribe(microphone(), language="en"):
        text = transcript.text
    return text


async def with_losses(voice: str = "rms", times: int = 2) -> dict[str, Any]:
    """Word errors by share of packets lost; the sentences `times` times, other packets lost each time. As a
    control the sound with noise that nobody hears: so much the recogniser differs by itself."""
    ears = pocketsphinx.create(Settings())
    await ears.start()
    sounds = [(said, padded(speech(said, voice), 300, 200)) for said in SENTENCES]
    figures: dict[str, Any] = {}
    try:
        for name, loss, noise_db in LINES:
            errors = words = 0
            for seed in range(times if loss or noise_db else 1):
                for number, (said, sound) in enumerate(sounds):
                    if noise_db:
                        sound = mixed(sound, noise(1000 * len(sound) / MIC_RATE, noise_db, seed))
                    text = await _heard(ears, received(sound, loss, 100 * seed + number))
                    errors, words = errors + word_errors(said, text), words + len(said.split())
            figures[name] = {"words": words, "errors": errors, "percent": 100 * errors / words}
    finally:
        await ears.close()
    return figures


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
    losses = asyncio.run(with_losses())
    print("voice  pass   word errors  median ms  max ms")
    for voice, figures in found.items():
        for kind in ("final", "full"):
            of = figures[kind]
            print(
                f"{voice:6} {kind:6} {of['word_error_percent']:9.1f} %"
                f" {of['median_ms']:10.0f} {of['max_ms']:7.0f}"
            )
    for share, figures in losses.items():
        print(f"packets lost {share}: {figures['percent']:.1f} % of {figures['words']} words wrong")
    return {**found, "losses": losses}


if __name__ == "__main__":
    run(sys.argv[1:] or ("rms", "slt"))
