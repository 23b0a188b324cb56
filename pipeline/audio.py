"""Samples, and the two rates everything inside the pipeline runs at."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np

MIC_RATE = 16_000  # Hz, what the gate and every recogniser hear
VOICE_RATE = 24_000  # Hz, what the playout holds and the Opus encoder takes
CHUNK_MS = 20
MIC_CHUNK = MIC_RATE * CHUNK_MS // 1000  # 320 samples
VOICE_CHUNK = VOICE_RATE * CHUNK_MS // 1000  # 480 samples


class AudioChunk(NamedTuple):
    """A piece of one continuous stream. 50 a second for each call: a dataclass costs three times as much."""

    samples: np.ndarray  # int16, shape (n,), mono
    rate: int  # Hz
    at: int  # samples at `rate` since the stream began


class Resampler:
    """Mono int16 from one rate to another, continuous over calls (FFmpeg's swresample)."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._swr = (
            None
            if source_rate == target_rate
            else av.AudioResampler(format="s16", layout="mono", rate=target_rate)
        )

    def push(self, samples: np.ndarray) -> np.ndarray:
        """int16 (n,) at `source_rate` in; int16 (m,) at `target_rate` out, a filter's delay behind."""
        if self._swr is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.reshape(1, -1)), format="s16", layout="mono"
        )
        frame.sample_rate = self.source_rate
        frame.pts = None
        return self._join(self._swr.resample(frame))

    def flush(self) -> np.ndarray:
        """What the filter still holds; int16 (m,)."""
        return np.zeros(0, np.int16) if self._swr is None else self._join(self._swr.resample(None))

    @staticmethod
    def _join(frames: list[av.AudioFrame]) -> np.ndarray:
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)
