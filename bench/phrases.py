"""Speech for measuring, made on the spot by flite (Debian's package of that name)."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.audio import MIC_RATE, Resampler

WINDOW = MIC_RATE * 5 // 1000
VOICED = 32768 * 10 ** (-40 / 20)


@cache
def flite(text: str, voice: str = "rms") -> np.ndarray:
    """`text` in that voice, int16 at 16 kHz, without the silence around it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "said.wav")
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True, timeout=60)
        with wave.open(str(path)) as file:
            rate, data = file.getframerate(), file.readframes(file.getnframes())
    resampler = Resampler(rate, MIC_RATE)
    sound = np.concatenate([resampler.push(np.frombuffer(data, np.int16)), resampler.flush()])
    voiced = _voiced(sound)
    return sound[voiced[0] * WINDOW : (voiced[-1] + 1) * WINDOW]


def silence(ms: int) -> np.ndarray:
    return np.zeros(MIC_RATE * ms // 1000, np.int16)


def last_voiced_ms(sound: np.ndarray) -> float:
    """Where its last voiced 5 ms begin."""
    return 5.0 * float(_voiced(sound)[-1])


def _voiced(sound: np.ndarray) -> np.ndarray:
    windows = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64)
    return np.flatnonzero(np.sqrt((windows**2).mean(axis=1)) > VOICED)
