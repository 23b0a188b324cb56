"""The part of an utterance whose words are not settled yet, and where in it nobody speaks.

Levels are kept for every 20 ms. What is quiet is judged between the floor and the voice in these, so that a
hum or a hiss beneath the voice hides no pause.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio import MIC_CHUNK, MIC_RATE

FRAME = MIC_CHUNK  # samples
SILENT_DB = -70.0  # dBFS; below it nothing is told apart
RANGE_DB = 45.0  # beneath the voice, what is quieter is all the same
FLOOR = 10  # percentile of the levels: what is beneath the voice
LOUD = 10  # frames, 200 ms, that are louder than what counts as the voice's level
QUIET = 0.3  # of the way from the floor to the voice, in dB
FLAT_DB = 12.0  # floor and voice closer together than this: no pause can be told


class Recording:
    """int16, mono, MIC_RATE. Places are samples since the utterance's first."""

    def __init__(self) -> None:
        self.start = 0  # of what is kept
        self.end = 0
        self._sound = bytearray()
        self._levels: list[float] = []  # dBFS of each whole frame since `start`

    def push(self, samples: np.ndarray) -> None:
        self._sound += samples.tobytes()
        self.end += len(samples)
        fresh = np.frombuffer(bytes(self._sound[2 * FRAME * len(self._levels) :]), np.int16)
        frames = fresh[: len(fresh) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32) / 32768
        power = np.maximum((frames**2).mean(axis=1), 10 ** (SILENT_DB / 10))
        self._levels += (10 * np.log10(power)).tolist()

    def sound(self, end: int) -> np.ndarray:
        """From `start` to `end`, int16 (n,), a copy."""
        return np.frombuffer(bytes(self._sound[: 2 * (end - self.start)]), np.int16)

    def drop(self, place: int) -> None:
        """Forgets what is before the frame of `place`."""
        frames = (place - self.start) // FRAME
        del self._sound[: 2 * FRAME * frames]
        del self._levels[:frames]
        self.start += FRAME * frames

    def voiced_s(self, first: int, last: int) -> float:
        """Seconds there that are not quiet."""
        return float((~self._quiet()[self._frame(first) : self._frame(last)]).sum()) * FRAME / MIC_RATE

    def pauses(self, shortest_s: float) -> list[tuple[int, int]]:
        """Beginnings and ends of what is quiet for so long and has voice behind it."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], self._quiet().astype(np.int8), [0]])))
        return [
            (self.start + int(begin) * FRAME, self.start + int(end) * FRAME)
            for begin, end in edges.reshape(-1, 2)
            if end < len(self._levels) and (end - begin) * FRAME >= shortest_s * MIC_RATE
        ]

    def quietest(self, first: int, last: int) -> tuple[float, int]:
        """The lowest level there, in dBFS, and its place."""
        low = self._frame(first)
        frame = low + int(np.argmin(self._levels[low : self._frame(last) + 1] or [0.0]))
        return self._levels[frame], self.start + frame * FRAME

    def _frame(self, place: int) -> int:
        return min(max(0, (place - self.start) // FRAME), max(0, len(self._levels) - 1))

    def _quiet(self) -> np.ndarray:
        """bool per frame."""
        levels = np.sort(self._levels or [SILENT_DB])
        voice = levels[max(0, len(levels) - LOUD)]
        floor = max(levels[len(levels) * FLOOR // 100], voice - RANGE_DB)
        limit = floor + QUIET * (voice - floor) if voice - floor >= FLAT_DB else SILENT_DB
        return np.array(self._levels) <= limit
