"""Where each word of a phrase, as it is shown, stands in its sound."""

from __future__ import annotations

from pipeline.audio import VOICE_RATE
from pipeline.languages import UNSPACED
from pipeline.playout import PhraseMark, Playout, WordMark


class Caption:
    """Puts the words of one phrase, as they are shown, into the playout."""

    def __init__(self, display: str, language: str, playout: Playout, *, first: bool) -> None:
        self._display = display
        self._playout = playout
        self._space = "" if first or language in UNSPACED else " "
        self._starts = word_starts(display, language)
        self._told = 0  # words that have their mark
        self._guessed_end = 0
        playout.mark(PhraseMark(playout.written, display))

    def at(self, sample: int, offset: int) -> None:
        """The word of the display that holds `offset` begins at `sample` (and those before it by then)."""
        while self._told < len(self._starts) and self._starts[self._told] <= offset:
            self._mark(sample)

    def rest(self, sample: int) -> None:
        """Whatever has no mark yet gets it here: the phrase is over."""
        while self._told < len(self._starts):
            self._mark(sample)

    def guess(self, base: int, characters_per_s: float) -> None:
        """The voice does not mark its words: spread them at a usual pace."""
        for start in self._starts:
            self._mark(base + int(start / characters_per_s * VOICE_RATE))
        self._guessed_end = base + int(len(self._display) / characters_per_s * VOICE_RATE) + 1

    def known_length(self, base: int, length: int) -> None:
        """The phrase's sound is whole: correct the guess."""
        if self._guessed_end > base:
            self._playout.move_marks(base, self._guessed_end, length / (self._guessed_end - base))

    def _mark(self, sample: int) -> None:
        start = self._starts[self._told]
        self._told += 1
        end = self._starts[self._told] if self._told < len(self._starts) else len(self._display)
        text = self._display[start:end].rstrip()
        between = self._space if start == 0 else self._display[:start][len(self._display[:start].rstrip()) :]
        self._playout.mark(WordMark(sample, between + text, start))


def word_starts(display: str, language: str) -> list[int]:
    """Where its words begin, or its letters where words have no spaces between them."""
    if language in UNSPACED:
        return [
            i for i, letter in enumerate(display) if i == 0 or (letter.isalnum() and not _goes_on(display, i))
        ]
    return [
        i for i, letter in enumerate(display) if not letter.isspace() and (i == 0 or display[i - 1].isspace())
    ]


def _goes_on(display: str, place: int) -> bool:
    """Whether a letter belongs to a Latin word or a number that has begun before it: API, 1250."""
    both = display[place - 1 : place + 1]
    return both.isascii() and both.isalnum()
