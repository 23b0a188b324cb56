"""What is heard over a reply and asks for nothing: coughs, laughter, a door, keys, "mhm". int16, 16 kHz.

Built from how such sounds are described, not from what the gate makes of them. Cough: an explosive burst,
turbulent noise through the vocal tract, often a voiced end (Korpas et al., Pulm. Pharmacol. Ther. 1996).
Laughter: "ha" syllables, breath then voice, four to five a second (Bachorowski et al., JASA 2001).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.audio import MIC_RATE
from tests.sounds import at_level, clicks, ms

NASAL = ((250, 80), (1000, 200), (2200, 300))
OPEN_VOWEL = ((700, 130), (1200, 150), (2600, 200), (3500, 300))  # formants and their widths in Hz


def make(kind: str, seed: int, level_db: float) -> np.ndarray:
    """One sound of that kind at that RMS level in dBFS; another seed, another person or door."""
    chance = np.random.default_rng(seed)
    return at_level(MAKERS[kind](chance), level_db)


def _coughs(chance: np.random.Generator) -> np.ndarray:
    """One to three, each weaker than the one before."""
    tract, pitch = _person(chance), chance.uniform(120, 320)
    return np.concatenate(
        [
            np.concatenate(
                [0.8**number * _cough(chance, tract, pitch), np.zeros(ms(chance.uniform(60, 180)))]
            )
            for number in range(int(chance.integers(1, 4)))
        ]
    )


def _cough(chance: np.random.Generator, tract: Formants, pitch: float) -> np.ndarray:
    burst = _noise(chance, chance.uniform(30, 60), lambda t: np.exp(-t * 4))
    breath = tract(_noise(chance, chance.uniform(120, 240), lambda t: 0.5 * np.exp(-t * 2.5)))
    end_ms = chance.uniform(40, 110) * (chance.random() < 0.6)
    return np.concatenate([2 * burst, breath, 0.6 * tract(_voiced(chance, end_ms, pitch, pitch * 0.8))])


def _laugh(chance: np.random.Generator) -> np.ndarray:
    tract, pitch = _person(chance), chance.uniform(160, 340)
    parts: list[np.ndarray] = []
    for number in range(int(chance.integers(3, 7))):
        weaker = 0.88**number
        breath = tract(_noise(chance, chance.uniform(70, 130), lambda t: 0.4 * np.sin(np.pi * t)))
        voice = tract(_voiced(chance, chance.uniform(50, 100), pitch, pitch * 0.9))
        parts += [weaker * breath, weaker * voice]
        pitch *= 0.97
    return np.concatenate(parts)


def _murmur(chance: np.random.Generator) -> np.ndarray:
    """ "Mhm": a hum through the nose, a breath, and a longer hum that is higher."""
    size, pitch = chance.uniform(0.9, 1.2), chance.uniform(100, 230)

    def hum(length_ms: float, from_hz: float, to_hz: float) -> np.ndarray:
        voice = _voiced(chance, length_ms, from_hz, to_hz)
        return _through(voice, [(hz * size, width) for hz, width in NASAL])

    breath = _noise(chance, chance.uniform(40, 80), lambda t: 0.05 * np.sin(np.pi * t))
    first, second = chance.uniform(110, 170), chance.uniform(160, 280)
    return np.concatenate([0.8 * hum(first, pitch, pitch), breath, hum(second, pitch, 1.3 * pitch)])


def _door(chance: np.random.Generator) -> np.ndarray:
    """The latch, the slam, the frame that rings after it."""
    t = np.arange(ms(chance.uniform(300, 600))) / MIC_RATE
    slam = sum(
        np.sin(2 * np.pi * hz * t + chance.uniform(0, 6)) * np.exp(-t * fall)
        for hz, fall in (
            (chance.uniform(50, 90), 9),
            (chance.uniform(110, 190), 14),
            (chance.uniform(300, 500), 25),
        )
    )
    slam[: ms(80)] += 2 * _noise(chance, 80, lambda u: np.exp(-u * 6))[: ms(80)]
    latch = _noise(chance, 15, lambda u: np.exp(-u * 4))
    return np.concatenate([latch, np.zeros(ms(chance.uniform(40, 120))), slam])


def _keyboard(chance: np.random.Generator) -> np.ndarray:
    per_second = chance.uniform(4, 9)
    return clicks(chance.uniform(600, 2000), per_second, seed=int(chance.integers(1 << 30))).astype(float)


Formants = Callable[[np.ndarray], np.ndarray]


def _person(chance: np.random.Generator) -> Formants:
    """A vocal tract held open, longer or shorter."""
    size = chance.uniform(0.9, 1.2)
    return lambda sound: _through(sound, [(hz * size, width) for hz, width in OPEN_VOWEL])


def _through(sound: np.ndarray, formants: Sequence[tuple[float, float]]) -> np.ndarray:
    if not len(sound):
        return sound
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / MIC_RATE)
    shape = sum(
        1 / (1 + ((hz - centre) / width) ** 2) / (1 + n) for n, (centre, width) in enumerate(formants)
    )
    return np.fft.irfft(spectrum * (shape + 0.02), len(sound))


def _noise(
    chance: np.random.Generator, length_ms: float, envelope: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    count = ms(length_ms)
    return chance.standard_normal(count) * envelope(np.arange(count) / max(1, count))


def _voiced(chance: np.random.Generator, length_ms: float, from_hz: float, to_hz: float) -> np.ndarray:
    """Pulses of a glottis whose pitch falls and is not quite steady, and some breath."""
    count = ms(length_ms)
    pitch = np.linspace(from_hz, to_hz, count) * (1 + 0.02 * chance.standard_normal(count))
    phase = np.cumsum(pitch) / MIC_RATE
    pulses = np.exp(-8 * (phase % 1)) - 0.12
    sound = 4 * pulses + 0.2 * chance.standard_normal(count)
    return sound * np.sin(np.pi * np.linspace(0, 1, count)) ** 0.5


MAKERS = {"cough": _coughs, "laugh": _laugh, "door": _door, "keyboard": _keyboard, "murmur": _murmur}
