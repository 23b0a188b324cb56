"""What a call has shown about how this person pauses and how quiet they are. Pure; counts milliseconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

ANSWERS = 3  # with a long pause inside, before anything is learned: two may be chance
REMEMBERED = 8  # answers; people warm up
LONG_MS = 600  # a pause that says something
MARGIN = 1.25  # the next one may be a little longer
MOST_MS = 3_000


class PauseHabit:
    """Learns from pauses that turned out to be inside an answer."""

    def __init__(self) -> None:
        self._longest: deque[int] = deque(maxlen=REMEMBERED)

    def answered(self, longest_pause_ms: int) -> None:
        """An answer is over; its longest inner pause."""
        self._longest.append(longest_pause_ms)

    @property
    def patience_ms(self) -> int:
        """Never less than this; 0: nothing learned. The third longest counts, so that one pause is none."""
        long = sorted((pause for pause in self._longest if pause >= LONG_MS), reverse=True)
        return min(MOST_MS, round(long[ANSWERS - 1] * MARGIN)) if len(long) >= ANSWERS else 0


class Idle:
    """When to say that one is still there: after `nudges_ms` of nobody speaking, one after the other."""

    def __init__(self, nudges_ms: Sequence[int], most: int) -> None:
        self._nudges_ms = tuple(nudges_ms)[:most]
        self._given = 0
        self._since_ms: int | None = None

    def person_spoke(self) -> None:
        """Starts over."""
        self._given, self._since_ms = 0, None

    def floor_taken(self) -> None:
        """Someone has the floor: the time stands."""
        self._since_ms = None

    def due(self, now_ms: int) -> bool:
        """Nobody has the floor at `now_ms`. True when a nudge is to be said now."""
        if self._since_ms is None:
            self._since_ms = now_ms
        if self._given == len(self._nudges_ms) or now_ms - self._since_ms < self._nudges_ms[self._given]:
            return False
        self._given += 1
        self._since_ms = None
        return True


class Encouragement:
    """When a listener would say "mhm": at a clause's end of a long answer, seldom."""

    AFTER_MS = 9_000  # of the answer
    EVERY_MS = 8_000
    IN_PAUSE_MS = (220, 600)  # after the last sound; later it would sound like taking the floor

    def __init__(self) -> None:
        self._last_ms = -self.EVERY_MS

    def fits(self, now_ms: int, answer_ms: int, silence_ms: int, patience_left_ms: int) -> bool:
        """Whether to say it now; if so, that counts as said."""
        earliest, latest = self.IN_PAUSE_MS
        fits = (
            answer_ms >= self.AFTER_MS
            and now_ms - self._last_ms >= self.EVERY_MS
            and earliest <= silence_ms <= latest
            and patience_left_ms >= 500
        )
        if fits:
            self._last_ms = now_ms
        return fits
