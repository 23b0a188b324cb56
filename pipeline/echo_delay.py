"""Where in what was played the microphone is: the delay, and whether there is an echo at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.audio import MIC_RATE

LONGEST = MIC_RATE * 700 // 1000  # samples; network, buffers, sound card and air together
BAND_HZ = (200, 3600)  # where speech, small loudspeakers and microphones overlap
WHITENING = 0.8  # 1 would be GCC-PHAT, which gives bins that hold only noise the same say
COARSE = 2  # the correlation is looked at in steps of 2 samples, an eighth of a millisecond
NEIGHBOURS = MIC_RATE * 3 // 2000 // COARSE  # steps around the peak that belong to it, 1.5 ms
CHANCE = 5.0  # the strength that two voices usually reach
CERTAIN = 18.0  # a strength that no two voices reach, whatever stands beside the peak
ALONE = 0.5  # over 1: as far as a peak that stands alone counts in full
QUIETEST = 1e-6


@dataclass(frozen=True, slots=True)
class Match:
    delay: int  # samples at 16 kHz by which `near` is later than `far`
    strength: (
        float  # the peak over the correlation's own spread: an echo 12 to 30, another voice 5, rarely 12
    )
    alone: float  # the peak over the next one elsewhere: an echo 1.5 to 3, two voices by their pitch 1.1

    @property
    def evidence(self) -> float:
        """How much speaks for an echo: above 5 hardly anything else."""
        least = 0.2 if self.strength >= CERTAIN else 0.0
        return max(0.0, self.strength - CHANCE) * min(1.0, max(least, (self.alone - 1.0) / ALONE))


def match(near: np.ndarray, far: np.ndarray) -> Match:
    """The generalised cross-correlation's peak (Knapp and Carter, 1976). 0.5 ms.

    Args:
        near: microphone, float32 (n,), 16 kHz, n up to 12,800.
        far: what was played up to the same moment, float32 (n + m,): delays of 0 to m are looked at.
    """
    size = 1 << (len(far) - 1).bit_length()
    cross = np.fft.rfft(near, size).astype(np.complex64)
    cross *= np.conj(np.fft.rfft(far, size)).astype(np.complex64)
    low, high = (hz * size // MIC_RATE for hz in BAND_HZ)
    narrow = np.zeros(size // COARSE // 2 + 1, np.complex64)
    band = cross[low:high]
    narrow[low:high] = band / (np.abs(band) + QUIETEST) ** WHITENING
    correlation = np.abs(np.fft.irfft(narrow))
    looked_at = (len(far) - len(near)) // COARSE + 1
    # near[t] = far[t + k] peaks at -k, and near[0] was heard when far[len(far) - len(near)] was played.
    found = correlation[-np.arange(looked_at)]
    peak = int(np.argmax(found))
    spread = float(np.sqrt(np.mean(found**2))) + 1e-20
    height = float(found[peak])
    found[max(0, peak - NEIGHBOURS) : peak + NEIGHBOURS + 1] = 0
    return Match(len(far) - len(near) - peak * COARSE, height / spread, height / (float(found.max()) + 1e-20))
