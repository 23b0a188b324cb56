"""Speech for measuring, made on the spot by flite (Debian's package of that name)."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.audio import MIC_RATE, VOICE_CHUNK, VOICE_RATE, Resampler
from server.media.opus import opus_decoder, opus_encoder

WINDOW = MIC_RATE * 5 // 1000
SHORT = 20  # windows, 100 ms: a sound of less, with a pause of more behind it, is not yet the word
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


def voice_begins_ms(sound: np.ndarray) -> float:
    """Where the first word begins: at the first voiced 5 ms, but for what stands alone before it.

    flite's kal begins a "w" with 55 ms of faint buzz, 22 dB below the word, and 165 ms of nothing."""
    voiced = _voiced(sound)
    before_pauses = np.flatnonzero(np.diff(voiced) > SHORT)
    alone = before_pauses[voiced[before_pauses] - voiced[0] < SHORT]
    return 5.0 * float(voiced[alone[-1] + 1] if len(alone) else voiced[0])


def coded(sound: np.ndarray) -> np.ndarray:
    """What arrives of it when a caller sends it as Opus; 16 kHz, 6 ms late, up to 20 ms longer."""
    up, encoder, decoder = Resampler(MIC_RATE, VOICE_RATE), opus_encoder(VOICE_RATE), opus_decoder(MIC_RATE)
    sent = np.concatenate([up.push(sound), up.flush()])
    sent = np.concatenate([sent, np.zeros(-len(sent) % VOICE_CHUNK, np.int16)])
    pieces = [decoder.decode(encoder.encode(piece)) for piece in sent.reshape(-1, VOICE_CHUNK)]
    return np.concatenate(pieces)


def last_voiced_ms(sound: np.ndarray) -> float:
    """Where its last voiced 5 ms begin."""
    return 5.0 * float(_voiced(sound)[-1])


def _voiced(sound: np.ndarray) -> np.ndarray:
    windows = sound[: len(sound) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64)
    return np.flatnonzero(np.sqrt((windows**2).mean(axis=1)) > VOICED)
