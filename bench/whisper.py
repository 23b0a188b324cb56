"""Recognisers that take whole recordings: what a pause waits for, what is sent, what a batch brings.

    BENCH_WHISPER=small:cuda:float16:30 python -m bench --only whisper
    BENCH_WHISPER=/a/folder:cpu:int8:0 python -m bench --only whisper

Named by its size (tiny, base, small, medium, large-v3) Whisper has random weights here, in the right shapes:
it costs what a trained one costs, and says the same sentence to everything. What was really said is therefore
known from the timeline of the speech. A folder has trained weights, for English at least: then what it makes
of sentences is compared with them. The device is cpu or cuda; the type one of CTranslate2's; then
stt.faster_whisper.window_s.
"""

from __future__ import annotations

import asyncio
import io
import os
import statistics
import tempfile
import time
import wave
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np

from bench.corpus import COMPLETE, SENTENCES, SPEECH_DB, spoken, voice_of
from bench.ears import word_errors
from pipeline.audio import MIC_RATE
from pipeline.languages import fold
from pipeline.providers import Recognizer, Word
from pipeline.settings import OpenAISttSettings, Settings, SttSettings
from pipeline.speakable import speakable
from pipeline.stt import growing
from pipeline.stt import openai as hosted
from pipeline.stt.batching import Batcher
from pipeline.stt.faster_whisper import processors, shared_out
from pipeline.stt.growing import Heard, Part
from pipeline.stt.whisper import WINDOW_S, Row, Whisper
from tests.providers.spoken import Spoken, answered, breaths_ms, microphone, sentences, sound, words_in
from tests.providers.tiny_whisper import SIZES, make
from tests.sounds import FLITE_VOICES, mixed, noise, padded, speech
from tests.vendors.openai_server import OpenAIServer

LENGTHS_S = (5, 15, 45)
SENTENCE = [f" w{number}" for number in range(15)]  # about what is said in five seconds
ROW_S = 5.0
BATCH = 8
ROUNDS = 3
BATCHES = (1, 2, 4, 8)


class Knowing:
    """Decodes with the model, and then says what was really said. A `pipeline.stt.growing.Decoder`."""

    every_s = 1.0
    timed = True

    def __init__(self, whisper: Whisper, batcher: Batcher[Row, Heard | None], words: list[Spoken]) -> None:
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
    chosen = os.environ.get("BENCH_WHISPER", "tiny:cpu:int8:0")
    named, device, kind, window_s = chosen.rsplit(":", 3)
    trained = Path(named).expanduser().is_dir()
    lengths = LENGTHS_S[:2] if quick else LENGTHS_S
    threads, workers = shared_out(processors())
    with tempfile.TemporaryDirectory() as made:
        folder = Path(named).expanduser() if trained else make(Path(made), SENTENCE, ROW_S, SIZES[named])
        stock = _loaded(folder, device, kind, processors(), 1)  # one after another it is fastest so
        model = _loaded(folder, device, kind, threads, workers if device == "cpu" else 1)
    whisper = Whisper(model, 1, ["en"], int(window_s))
    whole = Whisper(model, 1, ["en"], WINDOW_S)
    whisper.run([Row(noise(1000), "en")])  # the first one takes longer
    name = f"{Path(named).name}:{device}:{kind}:{window_s}"
    found: dict[str, Any] = {"model": name, "trained": trained, "batch": BATCH}
    found |= {f"{seconds} s": asyncio.run(_tail(whisper, seconds)) for seconds in lengths}
    spoken = [
        padded(speech(said, voice), 300, 100)
        for said, voice in zip(COMPLETE[:BATCH], FLITE_VOICES * BATCH, strict=False)
    ]
    sounds = spoken if trained else [noise(1000 * ROW_S, seed=number) for number in range(BATCH)]
    found["throughput"] = _throughput(whisper, whole, stock, sounds, 1 if quick else ROUNDS)
    found["waits"] = _shortest_waits(whisper, sounds, 1 if quick else ROUNDS)
    if trained:
        found["words"] = {"fitted": _word_errors(whisper, quick), "whole": _word_errors(whole, quick)}
    for hosted_model in ("whisper-1", "gpt-4o-mini-transcribe"):
        found[hosted_model] = {
            f"{seconds} s": asyncio.run(_sent(hosted_model, seconds)) for seconds in lengths
        }
    return found


def _loaded(folder: Path, device: str, kind: str, threads: int, workers: int) -> Any:
    return faster_whisper.WhisperModel(
        str(folder),
        device=device,
        compute_type=kind,
        cpu_threads=threads,
        num_workers=workers,
        local_files_only=True,
    )


async def _tail(whisper: Whisper, seconds: float) -> dict[str, Any]:
    """Speech in real time, and one pause, at its end."""
    words = sentences(seconds)
    samples = sound(words)
    with ThreadPoolExecutor(whisper.workers) as threads:
        batcher = Batcher(threads, whisper.run, BATCH, whisper.workers)
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
            _row(whisper, each) for each in (samples[-round(decoder.owed_s[-1] * MIC_RATE) :], samples)
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


def _row(whisper: Whisper, sound: np.ndarray) -> Row:
    return whisper.row(sound, "en", "", "", detect=False)


def _throughput(
    whisper: Whisper, whole: Whisper, stock: Any, sounds: Sequence[np.ndarray], rounds: int
) -> dict[str, Any]:
    """Recordings a second: faster-whisper's own way; in the whole window; in one that fits; as a batch; and
    from as many calls as are in a batch, or in one for each worker, that ask at the same moment. A second of
    the clock, as many calls need all processors at once; and a second of a processor's time."""
    rows, whole_rows = ([_row(each, sound) for sound in sounds] for each in (whisper, whole))
    ways: dict[str, Callable[[], object]] = {
        "stock": lambda: [_stock(stock, sound) for sound in sounds],
        "whole_window": lambda: [whole.run([row]) for row in whole_rows],
        "one_at_a_time": lambda: [whisper.run([row]) for row in rows],
        "batch": lambda: [whisper.run(list(kin)) for kin in _kin(rows)],
        "calls": lambda: asyncio.run(_waits(whisper, sounds, BATCH)),
        "more_calls": lambda: asyncio.run(_waits(whisper, [*sounds] * whisper.workers, BATCH)),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter(), time.process_time()
            way()
            took[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    found: dict[str, Any] = {"processors": processors(), "workers": whisper.workers}
    for name, each in took.items():
        recordings = len(sounds) * (whisper.workers if name == "more_calls" else 1)
        clock_s, cpu_s = (statistics.median(of) / recordings for of in zip(*each, strict=True))
        found |= {f"{name}_per_s": round(1 / clock_s, 2), f"{name}_per_cpu_s": round(1 / cpu_s, 2)}
    for name, way, other in (
        ("window_times", "one_at_a_time", "whole_window"),
        ("batch_times", "batch", "one_at_a_time"),
        ("calls_times", "calls", "one_at_a_time"),
        ("more_calls_times", "more_calls", "one_at_a_time"),
        ("times", "more_calls", "stock"),
    ):
        found[name] = round(found[f"{way}_per_s"] / found[f"{other}_per_s"], 2)
    return found


def _kin(rows: Sequence[Row]) -> list[list[Row]]:
    """What goes together."""
    kinds = dict.fromkeys(row.goes_with for row in rows)
    return [[row for row in rows if row.goes_with == kind] for kind in kinds]


def _stock(model: Any, sound: np.ndarray) -> str:
    segments, _ = model.transcribe(
        sound.astype(np.float32) / 32768,
        language="en",
        beam_size=1,
        temperature=0.0,
        without_timestamps=True,
        word_timestamps=True,
        condition_on_previous_text=False,
    )
    return "".join(segment.text for segment in segments)


def _shortest_waits(
    whisper: Whisper, sounds: Sequence[np.ndarray], rounds: int
) -> dict[int, dict[str, float]]:
    """By the largest batch, of some rounds the best: wall time on a machine that does other things too."""
    found: dict[int, list[dict[str, float]]] = {batch: [] for batch in BATCHES}
    for _ in range(rounds):
        for batch, each in found.items():
            each.append(asyncio.run(_waits(whisper, sounds, batch)))
    return {batch: min(each, key=lambda of: of["mean_s"]) for batch, each in found.items()}


async def _waits(whisper: Whisper, sounds: Sequence[np.ndarray], batch: int) -> dict[str, float]:
    """Seconds until each of as many calls has its final, asked for at the same moment."""
    began = time.perf_counter()
    ends: list[float] = []
    with ThreadPoolExecutor(whisper.workers) as threads:
        batcher = Batcher(threads, whisper.run, batch, whisper.workers)

        async def call(row: Row) -> None:
            await batcher.do(row, row.goes_with, owed=True)
            ends.append(time.perf_counter() - began)

        await asyncio.gather(*(call(_row(whisper, sound)) for sound in sounds))
    return {"mean_s": round(statistics.mean(ends), 2), "last_s": round(ends[-1], 2)}


def _word_errors(whisper: Whisper, quick: bool) -> dict[str, Any]:
    """Of sentences as the floor hands them on, plain and with noise 15 dB below the voice."""
    found: dict[str, Any] = {}
    for name, noise_db in (("plain", -75.0), ("noise", SPEECH_DB - 15)):
        errors = words = again = 0
        for number, said in enumerate((*SENTENCES, *COMPLETE)[:: 8 if quick else 1]):
            sound = padded(spoken(said, voice_of(number)), 300, 100)
            row = _row(whisper, mixed(sound, noise(1000 * len(sound) / MIC_RATE, noise_db, number)))
            (heard,) = whisper.run([row])
            if heard is None:
                again += 1
                (heard,) = whisper.run([row.again])
            assert heard is not None
            errors += word_errors(_plain(said), _plain(heard.text))
            words += len(said.split())
        found[name] = {"percent": round(100 * errors / words, 1), "words": words, "again": again}
    return found


def _plain(text: str) -> str:
    """Without what only one of two writers would write: stops, digits, filled pauses."""
    words = fold(speakable(text, "en").text, "en").replace("-", " ").split()
    return " ".join(word for word in words if word not in ("um", "uh"))


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
