"""Sounds for tests, made here: int16, mono, 16 kHz. Seeded, so that every run hears the same."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk, Resampler

FLITE_VOICES = ("rms", "slt", "kal", "awb")


def ms(count: float) -> int:
    """Milliseconds in samples."""
    return round(count * MIC_RATE / 1000)


def silence(length_ms: float) -> np.ndarray:
    return np.zeros(ms(length_ms), np.int16)


def sawtooth(length_ms: float, hz: float = 120, peak: float = 0.3) -> np.ndarray:
    """Voice for webrtcvad in all modes, for Silero only at times: use `speech` to open a gate."""
    phase = np.arange(ms(length_ms)) * hz / MIC_RATE
    return to_int16(peak * (2 * (phase % 1) - 1))


def noise(length_ms: float, level_db: float = -30, seed: int = 1) -> np.ndarray:
    """White noise of that RMS level in dBFS."""
    return at_level(np.random.default_rng(seed).standard_normal(ms(length_ms)), level_db)


def hum(length_ms: float, level_db: float = -25, hz: float = 50) -> np.ndarray:
    """Mains hum: the fundamental and three harmonics, falling."""
    t = np.arange(ms(length_ms)) / MIC_RATE
    return at_level(sum(np.sin(2 * np.pi * hz * n * t) / n**2 for n in (1, 2, 3, 5)), level_db)


def clicks(length_ms: float, per_second: float = 6, peak: float = 0.5, seed: int = 2) -> np.ndarray:
    """Typing: a press and a weaker release, each a few ms of dull decaying noise, at uneven distances."""
    random = np.random.default_rng(seed)
    sound = np.zeros(ms(length_ms))
    at = 0.05
    while at * 1000 < length_ms - 150:
        for offset, strength in ((0.0, 1.0), (random.uniform(0.06, 0.1), 0.5)):
            burst = random.standard_normal(ms(12)) * np.exp(-np.arange(ms(12)) / ms(2.5))
            burst = np.convolve(burst, np.ones(3) / 3, "same")
            start = round((at + offset) * MIC_RATE)
            sound[start : start + len(burst)] += strength * burst / np.abs(burst).max()
        at += random.uniform(0.6, 1.4) / per_second
    return to_int16(peak * sound)


def click() -> np.ndarray:
    """One of them, 20 ms."""
    return clicks(300, per_second=1)[ms(45) : ms(65)]


def music(length_ms: float, level_db: float = -25, seed: int = 3) -> np.ndarray:
    """Chords with a bass, a kick and a hi-hat at 110 beats a minute, from a small speaker (0.25-3.5 kHz)."""
    random = np.random.default_rng(seed)
    total, beat = ms(length_ms), round(MIC_RATE * 60 / 110)
    sound = np.zeros(total + beat * 2)
    t = np.arange(beat * 2) / MIC_RATE
    chords = ((220, 277.2, 329.6), (174.6, 220, 261.6), (130.8 * 2, 329.6, 392), (196, 246.9, 293.7))
    for index, start in enumerate(range(0, total, beat * 2)):
        chord = chords[index % 4]
        notes = sum(
            np.sin(2 * np.pi * hz * n * t) / n**1.5 for hz in (*chord, chord[0] / 2) for n in range(1, 7)
        )
        sound[start : start + len(t)] += notes * np.minimum(1, t / 0.01) * np.exp(-t * 1.2)
        for drum in (start, start + beat):
            kick = np.sin(2 * np.pi * 60 * t[:beat] * (1 + np.exp(-t[:beat] * 30))) * np.exp(-t[:beat] * 12)
            hat = random.standard_normal(ms(30)) * np.exp(-np.arange(ms(30)) / ms(6))
            sound[drum : drum + beat] += (4 * kick)[: len(sound) - drum]
            sound[drum + beat // 2 : drum + beat // 2 + len(hat)] += hat
    spectrum = np.fft.rfft(sound[:total])
    hz = np.fft.rfftfreq(total, 1 / MIC_RATE)
    spectrum /= np.sqrt(1 + (250 / np.maximum(hz, 1)) ** 4) * np.sqrt(1 + (hz / 3500) ** 6)
    return at_level(np.fft.irfft(spectrum, total), level_db)


def speech(text: str, voice: str = "rms") -> np.ndarray:
    """`text` spoken by flite, without the silence around it. Kept in the temporary folder."""
    key = hashlib.sha256(f"{voice}|{text}".encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir(), "viva-test-speech", f"{key}.npy")
    if kept.exists():
        return np.load(kept)
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "said.wav")
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=30)
        with wave.open(str(path)) as file:
            rate, data = file.getframerate(), file.readframes(file.getnframes())
    resampler = Resampler(rate, MIC_RATE)
    sound = np.concatenate([resampler.push(np.frombuffer(data, np.int16)), resampler.flush()])
    sound = sound[first_voiced(sound) : last_voiced(sound)]
    half_written = kept.with_name(f"{key}.{id(sound)}.npy")
    np.save(half_written, sound)
    half_written.replace(kept)
    return sound


def padded(sound: np.ndarray, before_ms: float = 500, after_ms: float = 1500) -> np.ndarray:
    """`sound` between digital silences."""
    return np.concatenate([silence(before_ms), sound, silence(after_ms)])


def chunks(sound: np.ndarray, at: int = 0) -> Iterator[AudioChunk]:
    """`sound` as the microphone hands it on: 20 ms at a time, the last one filled up with zeros."""
    sound = np.concatenate([sound, np.zeros(-len(sound) % MIC_CHUNK, np.int16)])
    for start in range(0, len(sound), MIC_CHUNK):
        yield AudioChunk(sound[start : start + MIC_CHUNK], MIC_RATE, at + start)


def voiced(sound: np.ndarray, above_db: float = -40) -> np.ndarray:
    """bool per 5 ms: what the project's figures call voiced, an RMS above -40 dBFS."""
    windows = sound[: len(sound) // ms(5) * ms(5)].reshape(-1, ms(5)).astype(np.float64)
    return np.sqrt((windows**2).mean(axis=1)) / 32768 > 10 ** (above_db / 20)


def first_voiced(sound: np.ndarray) -> int:
    """The first sample of the first voiced window."""
    return int(np.flatnonzero(voiced(sound))[0]) * ms(5)


def last_voiced(sound: np.ndarray) -> int:
    """The sample after the last voiced window."""
    return (int(np.flatnonzero(voiced(sound))[-1]) + 1) * ms(5)


def at_level(sound: np.ndarray, level_db: float) -> np.ndarray:
    """Scaled to that RMS level in dBFS."""
    return to_int16(sound / np.sqrt((sound**2).mean()) * 10 ** (level_db / 20))


def quieter(sound: np.ndarray, by_db: float) -> np.ndarray:
    return to_int16(sound / 32768 * 10 ** (-by_db / 20))


def mixed(*sounds: np.ndarray) -> np.ndarray:
    """Added up, as long as the longest."""
    total = np.zeros(max(map(len, sounds)))
    for sound in sounds:
        total[: len(sound)] += sound / 32768
    return to_int16(total)


def to_int16(sound: np.ndarray) -> np.ndarray:
    return np.clip(np.round(sound * 32767), -32768, 32767).astype(np.int16)
