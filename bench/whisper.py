"""Recognisers that take whole recordings: what a pause waits for, what is sent, what a batch brings.

    BENCH_WHISPER=small:cuda:float16:30 python -m bench --only whisper

Whisper has random weights here, in the right shapes: it costs what a trained one costs, and says the same
sentence to everything. What was really said is therefore known from the timeline of the speech. The size is
one of tiny, base, small, medium, large-v3; the device cpu or cuda; the type one of CTranslate2's; then the
seconds that it looks at.
"""

from __future__ import annotations

import asyncio
import io
import os
import statistics
import tempfile
import time
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np

from pipeline.audio import MIC_RATE
from pipeline.providers import Recognizer, Word
from pipeline.settings import OpenAISttSettings, Settings, SttSettings
from pipeline.stt import growing
from pipeline.stt import openai as hosted
from pipeline.stt.batching import Batcher
from pipeline.stt.growing import Heard, Part
from pipeline.stt.whisper import Row, Whisper
from tests.providers.spoken import Spoken, answered, breaths_ms, microphone, sentences, sound, words_in
from tests.providers.tiny_whisper import SIZES, make
from tests.sounds import noise
from tests.vendors.openai_server import OpenAIServer

LENGTHS_S = (5, 15, 45)
SENTENCE = [f" w{number}" for number in range(15)]  # about what is said in five seconds
ROW_S = 5.0
BATCH = 8
ROUNDS = 3
BRIEF_S = 10  # stt.faster_whisper.window_s, for comparison


class Knowing:
    """Decodes with the model, and then says what was really said. A `pipeline.stt.growing.Decoder`."""

    every_s = 1.0
    timed = True

    def __init__(self, whisper: Whisper, batcher: Batcher[Row, Heard], words: list[Spoken]) -> None:
        self._whisper = whisper
        self._batcher = batcher
        self._words = words
        self.owed_s: list[float] = []  # of sound
        self.ahead_s: list[float] = []

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        (self.owed_s if part.owed else self.ahead_s).append(len(part.samples) / MIC_RATE)
        row = self._whisper.row(part.samples, "en", "", part.before, detect=False)
        await self._batcher.do(row, row.goes_with, owed=part.owed)
        words = tuple(
            Word(text, round(1000 * first), round(1000 * last), 1.0)
            for text, first, last in words_in(self._words, part.samples)
        )
        return Heard("".join(word.text for word in words), words)


def run(quick: bool) -> dict[str, Any]:
    chosen = os.environ.get("BENCH_WHISPER", "tiny:cpu:int8:30")
    size, device, kind, window_s = chosen.split(":")
    lengths = LENGTHS_S[:2] if quick else LENGTHS_S
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), SENTENCE, ROW_S, SIZES[size])
        model = faster_whisper.WhisperModel(folder, device=device, compute_type=kind, local_files_only=True)
    whisper = Whisper(model, 1, ["en"], int(window_s))
    whisper.run([Row(noise(1000), "en")])  # the first one takes longer
    found: dict[str, Any] = {"model": chosen, "batch": BATCH}
    found |= {f"{seconds} s": asyncio.run(_tail(whisper, seconds)) for seconds in lengths}
    rounds = 1 if quick else ROUNDS
    found["throughput"] = _throughput(whisper, rounds)
    found["brief"] = _throughput(Whisper(model, 1, ["en"], BRIEF_S), rounds) | {"window_s": BRIEF_S}
    for hosted_model in ("whisper-1", "gpt-4o-mini-transcribe"):
        found[hosted_model] = {
            f"{seconds} s": asyncio.run(_sent(hosted_model, seconds)) for seconds in lengths
        }
    return found


async def _tail(whisper: Whisper, seconds: float) -> dict[str, Any]:
    """Speech in real time, and one pause, at its end."""
    words = sentences(seconds)
    samples = sound(words)
    with ThreadPoolExecutor(1) as thread:
        batcher = Batcher(thread, whisper.run, BATCH)
        decoder = Knowing(whisper, batcher, words)
        began = 0.0

        async def audio() -> Any:
            nonlocal began
            async for piece in microphone(samples):
                yield piece
            began = time.perf_counter()

        final = ""
        async for transcript in growing.transcribe(decoder, audio(), "en"):
            final = transcript.text
        final_ms = 1000 * (time.perf_counter() - began)
        tail, whole = (
            Row(each, "en") for each in (samples[-round(decoder.owed_s[-1] * MIC_RATE) :], samples)
        )
        took_ms = [_took_ms(whisper, row) for row in (tail, whole)]
    return {
        "whole": final == " ".join(word.text for word in words),
        "tail_s": round(decoder.owed_s[-1], 1),
        "final_ms": round(final_ms),
        "decode_ms": took_ms[0],
        "decode_whole_ms": took_ms[1],
        "decoded_ahead_s": round(sum(decoder.ahead_s), 1),
    }


def _clock(whisper: Whisper) -> Callable[[], float]:
    """CPU time where that is what it takes: what else a machine does is not in it."""
    return time.process_time if whisper.device == "cpu" else time.perf_counter


def _took_ms(whisper: Whisper, row: Row) -> int:
    began = _clock(whisper)()
    whisper.run([row])
    return round(1000 * (_clock(whisper)() - began))


def _throughput(whisper: Whisper, rounds: int) -> dict[str, Any]:
    """Recordings of five seconds, one after another and as a batch."""
    rows = [Row(noise(1000 * ROW_S, seed=number), "en") for number in range(BATCH)]
    alone, together = [], []
    clock = _clock(whisper)
    whisper.run(rows)
    for _ in range(rounds):
        began = clock()
        for row in rows:
            whisper.run([row])
        between = clock()
        whisper.run(rows)
        alone.append(between - began)
        together.append(clock() - between)
    alone_s, together_s = statistics.median(alone), statistics.median(together)
    return {
        "one_at_a_time_per_s": round(BATCH / alone_s, 2),
        "batch_per_s": round(BATCH / together_s, 2),
        "times": round(alone_s / together_s, 2),
    }


async def _sent(model: str, seconds: float) -> dict[str, Any]:
    """What a vendor is sent when every breath is a pause that waits for an answer."""
    words = sentences(seconds)
    async with OpenAIServer() as vendor:
        vendor.heard = lambda file: words_in(words, _samples(file))
        own = OpenAISttSettings(base_url=vendor.base_url, model=model)
        ears: Recognizer = hosted.create(Settings(stt=SttSettings(openai=own)))
        finals = await answered(ears, sound(words), breaths_ms(words))
        await ears.close()
        sent = [len(_samples(seen.file)) / MIC_RATE for seen in vendor.requests("transcriptions")]
    return {
        "whole": finals[-1].text == " ".join(word.text for word in words),
        "pauses": len(finals),
        "sent_at_last_s": round(sent[-1], 1),
        "sent_at_most_s": round(max(sent), 1),
        "sent_s": round(sum(sent), 1),
        "spoken_s": round(words[-1].end / 1000, 1),
    }


def _samples(file: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(file)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
