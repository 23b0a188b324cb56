"""A voice-like sound of which every moment can be told from every other, and where it is found again."""

from __future__ import annotations

import numpy as np

from pipeline.audio import MIC_RATE, VOICE_RATE


def babble(seconds: float, seed: int = 5) -> np.ndarray:
    """int16 at 24 kHz: a buzz of changing pitch whose loudness changes at random every 60 ms."""
    chance = np.random.default_rng(seed)
    count = round(seconds * VOICE_RATE)
    phase = np.cumsum(_wandering(chance, count, 2400, 100, 220)) / VOICE_RATE
    loudness = _wandering(chance, count, 1440, 0.03, 1.0)
    return (6000 * loudness * (2 * (phase % 1) - 1)).astype(np.int16)


def _wandering(chance: np.random.Generator, count: int, every: int, low: float, high: float) -> np.ndarray:
    points = np.arange(0, count + every, every)
    return np.interp(np.arange(count), points, chance.uniform(low, high, len(points)))


def loudness(sound: np.ndarray, rate: int) -> np.ndarray:
    """RMS per 10 ms."""
    size = rate // 100
    windows = sound[: len(sound) // size * size].reshape(-1, size).astype(np.float64)
    return np.sqrt((windows**2).mean(axis=1))


def found(said: np.ndarray, heard: np.ndarray, second: float, expected: int) -> tuple[float, float]:
    """Where the second of `said` (24 kHz) after `second` is in `heard` (16 kHz).

    Returns its displacement in ms from sample `expected`, at most 400, and how alike the two are (0..1).
    """
    pattern = loudness(said, VOICE_RATE)[round(second * 100) : round(second * 100) + 100]
    envelope = loudness(heard, MIC_RATE)
    base = expected // (MIC_RATE // 100)
    alike = {
        shift: float(np.corrcoef(pattern, envelope[base + shift : base + shift + len(pattern)])[0, 1])
        for shift in range(-40, 41)
        if base + shift >= 0 and base + shift + len(pattern) <= len(envelope)
    }
    best = max(alike, key=lambda shift: alike[shift])
    return best * 10.0, alike[best]
