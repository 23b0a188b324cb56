"""espeak-ng's phoneme mnemonics as mouth shapes.

One table for all 13 languages, because espeak's names are built from the same few letters; what a
letter lacks here it does not change on the lips. The shapes are those the page's face can draw:
rest, MBP, FV, TH, S, EE, EH, AH, OH, OO.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

Shape = tuple[str, float, float]  # name, weight 0..1, where in the phoneme it begins 0..1

# Letter or pair of letters: shape and weight. Pairs are tried first; what is not listed is a modifier.
SHAPES: Mapping[str, tuple[str, float]] = {
    "p": ("MBP", 1.0), "b": ("MBP", 1.0), "m": ("MBP", 1.0), "B": ("MBP", 0.6), "p\\": ("OO", 0.5),
    "f": ("FV", 1.0), "v": ("FV", 1.0), "F": ("FV", 1.0),
    "T": ("TH", 1.0), "D": ("TH", 0.9), "l": ("TH", 0.7), "L": ("TH", 0.6),
    "s": ("S", 0.9), "z": ("S", 0.9), "S": ("S", 0.8), "Z": ("S", 0.8), "t": ("S", 0.75), "d": ("S", 0.75),
    "n": ("S", 0.65), "J": ("S", 0.5), "C": ("S", 0.6), "c": ("S", 0.6), "*": ("S", 0.5),
    "N": ("EH", 0.3), "r": ("OH", 0.35), "R": ("EH", 0.4), "k": ("EH", 0.35), "g": ("EH", 0.35),
    "x": ("EH", 0.35), "X": ("EH", 0.4), "h": ("EH", 0.4), "H": ("EH", 0.35), "Q": ("EH", 0.35),
    "j": ("EE", 0.7), "i": ("EE", 0.9), "I": ("EE", 0.65), "e": ("EE", 0.55),
    "E": ("EH", 0.8), "@": ("EH", 0.45), "V": ("EH", 0.75), "3": ("EH", 0.55), "8": ("EH", 0.5),
    "&": ("EH", 0.75),
    "a": ("AH", 0.85), "A": ("AH", 1.0), "a#": ("EH", 0.5), "0": ("OH", 0.8),
    "O": ("OH", 1.0), "o": ("OH", 0.85), "W": ("OH", 0.7), "Y": ("OO", 0.7), "U": ("OO", 0.6),
    "u": ("OO", 0.95), "w": ("OO", 1.0), "y": ("OO", 0.85),
}  # fmt: skip


@lru_cache(maxsize=2048)  # more than all mnemonics of the 13 languages, with and without stress
def shapes_of(mnemonic: str) -> tuple[Shape, ...]:
    """The shapes of one phoneme, in order. Empty: the mouth stays as it is.

    Args:
        mnemonic: as in an espeakEVENT_PHONEME: "'aI", "tS", "_:".
    """
    if mnemonic.startswith("_"):
        bare = mnemonic.replace("_", "")
        spoken = any(letter.isascii() and letter.isalpha() for letter in bare)
        return shapes_of(bare) if spoken else (("rest", 1.0, 0.0),)
    if mnemonic.startswith("("):
        return ()  # a change of voice, "(en)", not a sound
    found: list[tuple[str, float]] = []
    at = 0
    while at < len(mnemonic):
        size = 2 if mnemonic[at : at + 2] in SHAPES else 1
        shape = SHAPES.get(mnemonic[at : at + size])
        if shape and (not found or found[-1][0] != shape[0]):
            found.append(shape)
        at += size
    # The first part of a diphthong is the longer one; of an affricate, both are about half.
    return tuple(
        (name, weight, min(0.3 + 0.25 * number, 0.95) if number else 0.0)
        for number, (name, weight) in enumerate(found)
    )
