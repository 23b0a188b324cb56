"""A laptop without echo cancellation: what its loudspeaker plays comes back through its microphone."""

from __future__ import annotations

import numpy as np

from pipeline.audio import MIC_CHUNK, MIC_RATE, VOICE_CHUNK, VOICE_RATE, Resampler
from tests.sounds import ms

FINE_RATE = 3 * MIC_RATE  # what a drifting clock is read from


class Room:
    """20 ms of the agent's voice in, 20 ms of echo out; seeded.

    Args:
        gain_db: the echo's level relative to what was handed out.
        delay_ms: network, buffers and air together.
        reverb_ms: in which the room's response, decaying noise, falls by 60 dB; 0: none.
        clip: full scale being 1, the loudspeaker's limit (before `gain_db`); above a third of it it bends.
        drift_ppm: by which the microphone's clock is faster than ours.
        noise_db: the room's own noise, RMS in dBFS; None: none.
        lost: share of the chunks that are lost on their way to the loudspeaker, and concealed as silence.
    """

    def __init__(
        self,
        gain_db: float,
        delay_ms: float,
        *,
        reverb_ms: float = 250,
        clip: float | None = None,
        drift_ppm: float = 0,
        noise_db: float | None = None,
        lost: float = 0,
        seed: int = 1,
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._gain = 10 ** (gain_db / 20)
        self._clip = clip
        self._step = FINE_RATE / MIC_RATE * (1 - drift_ppm * 1e-6)  # fine samples per heard sample
        self._noise = None if noise_db is None else 10 ** (noise_db / 20)
        self._lost = lost
        self._response = self._room_response(reverb_ms)
        self._past = np.zeros(len(self._response) - 1)
        self._down, self._up = Resampler(VOICE_RATE, MIC_RATE), Resampler(MIC_RATE, FINE_RATE)
        # Some ms in front, against the filters' own delay.
        self._fine = np.zeros(round((delay_ms + 10) * FINE_RATE / 1000))
        self._at = 0.0

    def _room_response(self, reverb_ms: float) -> np.ndarray:
        """The direct sound, then noise of the same power in all, falling by 60 dB in `reverb_ms`."""
        if not reverb_ms:
            return np.ones(1)
        t = np.arange(ms(reverb_ms))
        tail = self._random.standard_normal(len(t)) * 10 ** (-3 * t / len(t))
        tail[: ms(2)] = 0
        response = tail / np.sqrt((tail**2).sum())
        response[0] = 1
        return response / np.sqrt(2)

    def hear(self, played: np.ndarray | None) -> np.ndarray:
        """int16 (480,) at 24 kHz, None being silence; int16 (320,) at 16 kHz."""
        if played is None or (self._lost and self._random.random() < self._lost):
            played = np.zeros(VOICE_CHUNK, np.int16)
        fine = self._up.push(self._down.push(played)) / 32768
        self._fine = np.concatenate([self._fine, fine])
        at = self._at + np.arange(MIC_CHUNK) * self._step
        sound = np.interp(at, np.arange(len(self._fine)), self._fine)
        self._at = at[-1] + self._step
        done = int(self._at) - 1
        self._fine, self._at = self._fine[done:], self._at - done
        if self._clip is not None:
            sound = np.clip(
                self._clip * np.tanh(sound / self._clip * 1.2), -0.8 * self._clip, 0.8 * self._clip
            )
        whole = np.concatenate([self._past, sound])
        self._past = whole[MIC_CHUNK:]
        size = 1 << (len(whole) + len(self._response)).bit_length()
        echo = np.fft.irfft(np.fft.rfft(whole, size) * np.fft.rfft(self._response, size), size)
        echo = echo[len(self._response) - 1 :][:MIC_CHUNK] * self._gain
        if self._noise is not None:
            echo = echo + self._noise * self._random.standard_normal(MIC_CHUNK)
        return np.clip(np.round(echo * 32768), -32768, 32767).astype(np.int16)
