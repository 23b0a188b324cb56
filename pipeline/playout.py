"""One reply's sound on its way out, with marks in it: what passes a mark has been heard.

Written ahead, read every 20 ms. Everything is sample counts; the caller's reads are the clock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.audio import VOICE_RATE

FADE = VOICE_RATE * 20 // 1000  # samples; ducking, muting and clearing never click
EDGE = VOICE_RATE * 25 // 10_000  # samples; where sound begins and ends, or stops because the voice is late
AHEAD = 3 * VOICE_RATE  # samples written ahead before `room` says no
SHAPES_AHEAD = VOICE_RATE * 240 // 1000  # mouth shapes are told before their sound, to be there in time


@dataclass(frozen=True, slots=True)
class WordMark:
    """A word begins here; `text` with the space before it, as it is shown."""

    at: int  # samples at VOICE_RATE since the reply began
    text: str
    phrase_start: int  # characters into the phrase's text


@dataclass(frozen=True, slots=True)
class PhraseMark:
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class ShapeMark:
    at: int
    shape: str
    weight: float


Mark = WordMark | PhraseMark


class Playout:
    """int16 mono at VOICE_RATE. Written by a reply, read by the outbound track.

    Args:
        on_room: called when a read has made room again for a writer that waits.
        silent: there will be no sound, and marks pass as they come.
    """

    def __init__(self, on_room: Callable[[], None] = lambda: None, *, silent: bool = False) -> None:
        self._samples = np.zeros(2 * VOICE_RATE, np.int16)
        self._on_room = on_room
        self._silent = silent
        self.written = 0  # samples
        self.position = 0  # samples read
        self.finished = False  # no more will be written
        self.held = False
        self._sent = 0  # samples handed out ahead
        self._dry = True  # nothing before the next sample
        self._gain = 1.0  # where the fade is now
        self._target = 1.0
        self._duck = 0.126
        self._marks: list[Mark] = []
        self._passed = 0  # marks already told
        self._shapes: list[ShapeMark] = []
        self._shapes_told = 0

    # ------------------------------------------------------------- write

    def write(self, samples: np.ndarray) -> None:
        """Appends int16 (n,)."""
        end = self.written + len(samples)
        if end > len(self._samples):
            grown = np.zeros(max(end, 2 * len(self._samples)), np.int16)
            grown[: self.written] = self._samples[: self.written]
            self._samples = grown
        self._samples[self.written : end] = samples
        self.written = end

    def mark(self, mark: Mark) -> None:
        """Marks may come in any order; one behind the position is told at the next read."""
        index = bisect_left(self._marks, mark.at + 1, lo=self._passed, key=lambda m: m.at)
        self._marks.insert(index, mark)

    def move_marks(self, start: int, end: int, factor: float) -> None:
        """Marks not yet passed in [start, end) get `factor` times their distance from `start`: an estimate
        is replaced by what is known once the phrase's length is."""
        late = self._marks[self._passed :]
        moved = [
            WordMark(start + int((m.at - start) * factor), m.text, m.phrase_start)
            if isinstance(m, WordMark) and start <= m.at < end
            else m
            for m in late
        ]
        self._marks[self._passed :] = sorted(moved, key=lambda m: m.at)

    def shape(self, mark: ShapeMark) -> None:
        insort(self._shapes, mark, lo=min(self._shapes_told, len(self._shapes)), key=lambda m: m.at)

    def finish(self) -> None:
        self.finished = True

    def ahead(self) -> np.ndarray:
        """What has been written and not been handed out here before, int16 (n,).

        For a listener who keeps it until it is time: `read` remains the clock of what is heard, and what has
        left can neither be softened nor held."""
        if self.held:
            return self._samples[:0]
        start, self._sent = self._sent, max(self._sent, self.written)
        return self._samples[start : self.written].copy()

    @property
    def room(self) -> bool:
        return self.written - self.position < AHEAD

    # -------------------------------------------------------------- read

    def read(self, count: int) -> tuple[np.ndarray | None, list[Mark], list[ShapeMark]]:
        """The next `count` samples and what they pass. None: nothing audible now (held, or not there yet).

        A last piece shorter than `count` is filled up with silence."""
        if self.held and self._gain == 0.0:
            return None, [], []
        start = self.position
        end = min(start + count, self.written)
        self.position = end
        marks = self._pass(end)
        shapes = self._tell_shapes(end + SHAPES_AHEAD)
        if start < self.written and self.room:
            self._on_room()
        if end == start:
            return None, marks, shapes
        piece = np.zeros(count, np.int16)
        piece[: end - start] = self._samples[start:end]
        self._smooth_edges(piece, end - start)
        return self._faded(piece), marks, shapes

    @property
    def drained(self) -> bool:
        """Everything has been read and told, and no more will come."""
        return self.finished and self.position >= self.written and self._passed == len(self._marks)

    def _pass(self, end: int) -> list[Mark]:
        all_of_it = self._silent or (self.finished and end >= self.written)
        limit = len(self._marks)
        if not all_of_it:
            limit = bisect_left(self._marks, end, lo=self._passed, key=lambda m: m.at)
        passed = self._marks[self._passed : limit]
        self._passed = max(self._passed, limit)
        return passed

    def _tell_shapes(self, until: int) -> list[ShapeMark]:
        limit = bisect_left(self._shapes, until, lo=self._shapes_told, key=lambda m: m.at)
        told = self._shapes[self._shapes_told : limit]
        self._shapes_told = limit
        return told

    def _smooth_edges(self, piece: np.ndarray, length: int) -> None:
        edge = min(EDGE, length)
        if self._dry:
            piece[:edge] = piece[:edge] * np.linspace(0.0, 1.0, edge)
        self._dry = self.position == self.written  # is the next piece there?
        if self._dry:
            piece[length - edge : length] = piece[length - edge : length] * np.linspace(1.0, 0.0, edge)

    def _faded(self, piece: np.ndarray) -> np.ndarray:
        if self._gain == self._target == 1.0:
            return piece
        step = len(piece) / FADE
        gain = self._gain
        change = np.clip(self._target - gain, -step, step)
        ramp = np.linspace(gain, gain + change, len(piece), endpoint=True)
        self._gain = float(gain + change)
        if abs(self._gain - self._target) < 1e-6:
            self._gain = self._target
        return (piece * ramp).astype(np.int16)

    # ----------------------------------------------------------- control

    def duck(self, db: float) -> None:
        """Fades down within 20 ms, and goes on."""
        if self._sent:
            return
        self._target = 10 ** (db / 20)

    def hold(self) -> None:
        """Fades out within 20 ms and stands still; nothing is lost."""
        if self._sent:
            return
        self.held = True
        self._target = 0.0
        if self.position == 0:
            self._gain = 0.0

    def resume(self) -> None:
        """Full level; after a hold from the beginning of the word that was cut."""
        if self.held and self._gain == 0.0:  # else it has not stood still yet
            back = [
                m.at for m in self._marks[: self._passed] if isinstance(m, WordMark) and m.at <= self.position
            ]
            self.position = min(self.position, back[-1] if back else 0)
            self._shapes_told = bisect_left(self._shapes, self.position, key=lambda m: m.at)
        self.held = False
        self._target = 1.0

    def clear(self) -> None:
        """What was not heard never will be; the next read fades what is on its way."""
        tail = min(self.position + FADE, self.written)
        if self._gain > 0 and tail > self.position:
            ramp = np.linspace(1.0, 0.0, tail - self.position)
            self._samples[self.position : tail] = (self._samples[self.position : tail] * ramp).astype(
                np.int16
            )
            self.written = tail
        else:
            self.written = self.position
        self.held = False
        self._target = self._gain if self._gain > 0 else 1.0
        del self._marks[self._passed :]
        del self._shapes[self._shapes_told :]
        self.finished = True

    # -------------------------------------------------------------- heard

    @property
    def heard_ms(self) -> int:
        return 1000 * self.position // VOICE_RATE

    def heard_text(self, by: int | None = None) -> str:
        """The words heard before sample `by` (None: the position), to the word: one counts when half of it
        has been."""
        by = self.position if by is None else by
        words = [mark for mark in self._marks if isinstance(mark, WordMark)]
        heard = []
        for index, word in enumerate(words):
            after = words[index + 1].at if index + 1 < len(words) else self.written
            if word.at >= by or (by - word.at < (after - word.at) / 2 and by < self.written):
                break
            heard.append(word.text)
        return "".join(heard)
