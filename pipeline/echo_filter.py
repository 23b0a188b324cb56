"""What the loudspeaker adds to the microphone, learned as a filter and taken away.

A partitioned frequency-domain Kalman filter: it steps far where it knows little and the microphone holds
nothing else, and hardly at all while somebody speaks over the echo, so it needs no detector for that.
Source: Enzner and Vary, "Frequency-domain adaptive Kalman filter for acoustic echo control", 2006;
partitioned as in Kuech, Mabande, Enzner, 2014.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio import MIC_CHUNK

SIZE = 2 * MIC_CHUNK  # samples of an FFT: overlap-save, one chunk new, one chunk old
PARTITIONS = 12  # of 20 ms: what the room answers within 240 ms
KEEPS = 0.998  # of the state from chunk to chunk: how fast a room, or a drifting clock, may change
DIES_AWAY = 0.55  # the response's power from partition to partition, as first guessed
SPOKEN_OVER = 0.5  # smoothing of the microphone's other content, from chunk to chunk


class EchoFilter:
    """Takes chunks of 320 samples at 16 kHz, both sides at a scale of -1..1."""

    def __init__(self, coupling: float) -> None:
        bins = SIZE // 2 + 1
        # Newest first, PARTITIONS rows from `_newest` on; each row stands there twice, so that none moves.
        self._all_far = np.zeros((2 * PARTITIONS, bins), np.complex64)
        self._all_power = np.zeros((2 * PARTITIONS, bins), np.float32)
        self._newest = 0
        self._path = np.zeros((PARTITIONS, bins), np.complex64)
        self._unsure = np.repeat(
            (coupling * DIES_AWAY ** np.arange(PARTITIONS, dtype=np.float32))[:, None], bins, axis=1
        ).astype(np.float32)
        self._other = np.zeros(bins, np.float32)  # power of what is no echo
        self._last_far = np.zeros(MIC_CHUNK, np.float32)
        self._turn = 0

    def rest(self) -> None:
        """Nothing has been played for longer than a room answers."""
        self._all_far[:] = 0
        self._all_power[:] = 0
        self._last_far[:] = 0

    def push(self, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """float32 (320,) each: the echo in `near`, as far as `far`, already delayed, explains it."""
        spectrum = np.fft.rfft(np.concatenate([self._last_far, far]))
        self._last_far = far.copy()
        self._newest = (self._newest - 1) % PARTITIONS
        twice = [self._newest, self._newest + PARTITIONS]
        self._all_far[twice] = spectrum
        self._all_power[twice] = spectrum.real**2 + spectrum.imag**2
        predicted = np.einsum("pb,pb->b", self._path, self._far)
        echo = np.fft.irfft(predicted)[MIC_CHUNK:].astype(np.float32)
        self._learn(near - echo)
        return echo

    @property
    def _far(self) -> np.ndarray:
        return self._all_far[self._newest : self._newest + PARTITIONS]

    @property
    def _far_power(self) -> np.ndarray:
        return self._all_power[self._newest : self._newest + PARTITIONS]

    def _learn(self, rest: np.ndarray) -> None:
        error = np.fft.rfft(np.concatenate([np.zeros(MIC_CHUNK, np.float32), rest])).astype(np.complex64)
        power = error.real**2 + error.imag**2
        self._other = np.maximum(SPOKEN_OVER * self._other + (1 - SPOKEN_OVER) * power, 1e-7)
        far, far_power = self._far, self._far_power
        step = self._unsure / (0.5 * np.einsum("pb,pb->b", self._unsure, far_power) + self._other)
        change = step * np.conj(far)
        self._path += change * error
        keeps = KEEPS**2
        self._unsure *= keeps * (1 - 0.5 * step * far_power)
        self._unsure += (1 - keeps) * (self._path.real**2 + self._path.imag**2)
        # Each partition in turn is brought back to what 20 ms of response can be.
        self._turn = (self._turn + 1) % PARTITIONS
        taps = np.fft.irfft(self._path[self._turn])
        taps[MIC_CHUNK:] = 0
        self._path[self._turn] = np.fft.rfft(taps)
