"""The silence that a vendor sends before a phrase's first sound, cut off: nobody is to wait for it."""

from __future__ import annotations

import numpy as np

LOUD = 104  # of 32768: -50 dBFS; what is below at the start is silence
LEAD_MS = 5  # kept before the first sound, so that it is not cut off


class Onset:
    """One phrase at `rate` Hz. `cut`: how many samples are missing now at its beginning."""

    def __init__(self, rate: int) -> None:
        self.cut = 0
        self._lead = rate * LEAD_MS // 1000
        self._held: np.ndarray | None = np.zeros(0, np.int16)  # silence so far; None: it has ended

    def push(self, samples: np.ndarray) -> np.ndarray:
        """int16 (n,) in, int16 (m,) out; m = 0 as long as all is silent."""
        if self._held is None:
            return samples
        held = np.concatenate([self._held, samples])
        loud = (held > LOUD) | (held < -LOUD)
        heard = bool(loud.any())
        begin = max(0, (int(loud.argmax()) if heard else len(held)) - self._lead)
        self.cut += begin
        self._held = None if heard else held[begin:]
        return held[begin:] if heard else held[:0]
