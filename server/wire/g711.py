"""G.711, the sound of telephony: 8 bits a sample, by table (ITU-T G.711)."""

from __future__ import annotations

from functools import cache

import numpy as np

BIAS = 0x84  # of mu-law: the segments' shift, 33 in 14 bits


def _mu_law_levels() -> np.ndarray:
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    size = (((code & 0x0F) << 3) + BIAS << ((code & 0x70) >> 4)) - BIAS
    return np.where(code & 0x80, -size, size).astype(np.int16)


def _a_law_levels() -> np.ndarray:
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = (code & 0x70) >> 4, (code & 0x0F) << 4
    size = np.where(segment == 0, step + 8, step + 0x108 << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.int16)


@cache
def levels(law: str) -> np.ndarray:
    """What each code stands for: int16 (256,). `law`: "pcmu" or "pcma"."""
    return {"pcmu": _mu_law_levels, "pcma": _a_law_levels}[law]()


@cache
def _codes(law: str) -> np.ndarray:
    """The code nearest to each int16, uint8 (65536,), by sample + 32768."""
    # From the highest code down: of mu-law's two zeros 0xFF is the one that is sent for silence.
    size, code = np.unique(levels(law)[::-1].astype(np.int32), return_index=True)
    between = (size[1:] + size[:-1]) / 2
    nearest = np.searchsorted(between, np.arange(-32768, 32768), side="right")  # A-law's silence is positive
    return (255 - code[nearest]).astype(np.uint8)


def decode(law: str, data: bytes) -> np.ndarray:
    """int16 (n,) of n bytes."""
    return levels(law)[np.frombuffer(data, np.uint8)]


def encode(law: str, samples: np.ndarray) -> bytes:
    """A byte of each sample, int16 (n,)."""
    return _codes(law)[samples.astype(np.int32) + 32768].tobytes()
