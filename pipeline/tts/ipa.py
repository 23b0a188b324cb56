"""Phonemes in IPA, as a voice was given them: for the mouth, how long they are, where the words begin."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate, pairwise

NUMBERS = "0123456789."
LETTERS_A_DIGIT = 5  # of its name; also of "point", or "dot"
LETTERS_SPELT = 3  # of the name of a letter
REST = "_:"
STOPS = ".!?…。！？।؟"
PAUSES = ",;:"
_PAUSE = re.compile(rf"[{PAUSES}][^\w\s]*\s")  # not the one in 1,000
_STOP = re.compile(rf"[{re.escape(STOPS)}][^\w\s]*\s|[。！？]")  # not the one in 4.5, or in A.W.S

# espeak-ng's mnemonics. A Latin letter that is not here is its own; what is no letter is none.
MNEMONICS: Mapping[str, str] = {
    "ɑ": "A", "ɐ": "a#", "ɒ": "0", "æ": "a", "ʌ": "V", "ə": "@", "ɚ": "3", "ɜ": "3", "ɛ": "E", "ɪ": "I",
    "ɨ": "I", "ɔ": "O", "ʊ": "U", "ʉ": "u", "ɯ": "u", "ø": "Y", "œ": "W", "ɵ": "Y", "ɤ": "V", "ʏ": "y",
    "ʃ": "S", "ʒ": "Z", "ʂ": "S", "ʐ": "Z", "ɕ": "S", "ʑ": "Z", "θ": "T", "ð": "D", "ŋ": "N", "ɲ": "n",
    "ɳ": "n", "ɹ": "r", "ɾ": "*", "ɻ": "r", "ʁ": "R", "ʀ": "R", "ɫ": "l", "ɭ": "l", "ʎ": "l", "β": "B",
    "ɸ": "f", "ʋ": "v", "ɡ": "g", "ɣ": "Q", "χ": "X", "ħ": "h", "ɦ": "h", "ʔ": "", "ç": "C", "ʝ": "j",
    "ɥ": "y", "ʈ": "t", "ɖ": "d",
}  # fmt: skip


@cache
def mnemonic_of(symbol: str) -> str:
    """ "": it has no sound of its own (a space, a stress mark, a length)."""
    if symbol in MNEMONICS:
        return MNEMONICS[symbol]
    if symbol.isascii() and symbol.isalpha():
        return symbol
    return REST if unicodedata.category(symbol[:1] or " ").startswith("P") else ""


def estimated(phonemes: Sequence[str], samples: int) -> list[int]:
    """How long each phoneme is, with one that begins and one that ends the sentence, where nobody says."""
    weights = [0.5, *(_weight(symbol) for symbol in phonemes), 1.0]
    total = sum(weights)
    places = [round(samples * part / total) for part in accumulate(weights, initial=0.0)]
    return [end - begin for begin, end in pairwise(places)]


def _weight(symbol: str) -> float:
    if symbol in "ː ":
        return 0.6 if symbol == "ː" else 0.2
    mnemonic = mnemonic_of(symbol)
    return 2.0 if mnemonic == REST else 1.0 if mnemonic else 0.0


def begins_of_words(
    text: str, words: Sequence[tuple[int, int]], sentences: Sequence[Sequence[str]]
) -> list[int]:
    """At which phoneme, counted over all sentences, each word of the text begins.

    Where a sentence has as many words as its phonemes do, they are the same; else (numbers, letters that are
    spelt) each begins as far into the phonemes as it does into what is said of the text, at the nearest word
    there.

    Args:
        words: where each begins and ends in the text.
    """
    parts = _parts(text, words, _STOP)
    if len(parts) != len(sentences):
        parts, sentences = [words], [[symbol for sentence in sentences for symbol in sentence]]
    begins: list[int] = []
    before = 0
    for part, phonemes in zip(parts, sentences, strict=True):
        clauses, sounds = _parts(text, part, _PAUSE), _clauses(phonemes)
        if len(clauses) != len(sounds):
            clauses, sounds = [part], [phonemes]
        for clause, sound in zip(clauses, sounds, strict=True):
            begins += [before + at for at in _begins(text, clause, sound)]
            before += len(sound)
    return begins


def _parts(
    text: str, words: Sequence[tuple[int, int]], end: re.Pattern[str]
) -> list[Sequence[tuple[int, int]]]:
    """The words up to each of those ends."""
    parts: list[Sequence[tuple[int, int]]] = []
    first = 0
    for number, (start, _) in enumerate(words, 1):
        if number == len(words) or end.search(text, start, words[number][0]):
            parts.append(words[first:number])
            first = number
    return parts or [words]


def _clauses(phonemes: Sequence[str]) -> list[Sequence[str]]:
    """Up to each sign at which a voice pauses, and what is left."""
    cuts = [at + 1 for at, symbol in enumerate(phonemes[:-1]) if symbol in PAUSES]
    return [phonemes[a:b] for a, b in pairwise([0, *cuts, len(phonemes)])]


def _begins(text: str, words: Sequence[tuple[int, int]], phonemes: Sequence[str]) -> list[int]:
    begins: list[int] = []
    between = True
    for at, symbol in enumerate(phonemes):
        if symbol == " ":
            between = True
        elif between and mnemonic_of(symbol) not in ("", REST):
            begins.append(at)
            between = False
    if not begins or not words:  # only signs, of which one side has a name: a picture of a party
        return [0] * len(words)
    if len(begins) == len(words):
        return begins
    said = list(accumulate((_said(text[start:end]) for start, end in words), initial=0))
    places = [len(phonemes) * before / said[-1] for before in said[:-1]]
    return [_nearest(begins, place) for place in places]


def _said(word: str) -> int:
    """About how many letters are said of it, with a space behind."""
    spelt = len(word) > 1 and word.isupper()
    return 1 + sum(
        LETTERS_A_DIGIT if letter in NUMBERS else LETTERS_SPELT if spelt else 1
        for letter in word.rstrip(STOPS)
        if letter.isalnum() or letter == "."
    )


def _nearest(numbers: Sequence[int], to: float) -> int:
    """Of ascending ones."""
    at = bisect_left(numbers, to)
    return min(numbers[max(0, at - 1) : at + 1], key=lambda number: abs(number - to))
