"""So many, and not more: offers a minute, wrong keys, a client's events. Clocks are given, nothing waits."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from server.access.door import LimitSettings

MOST_KNOWN = 10_000  # addresses and keys that are counted at a time; then the longest unseen is forgotten


class Bucket:
    """A token bucket: `rate_per_s` sustained, `burst` at once."""

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left = burst
        self._at_s = now_s

    def take(self, now_s: float, amount: float = 1) -> float:
        """Seconds to wait until that much is there; 0: it was taken."""
        self._left = min(self._burst, self._left + self._rate_per_s * (now_s - self._at_s))
        self._at_s = now_s
        if amount <= self._left:
            self._left -= amount
            return 0.0
        return (amount - self._left) / self._rate_per_s

    def spend(self, now_s: float, amount: float) -> float:
        """Takes that much, there or not; seconds until what was borrowed is back, 0: nothing was."""
        wait_s = self.take(now_s, amount)
        if wait_s:
            self._left -= amount
        return wait_s


class PerMinute:
    """So many a minute of each name. 0: any number."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str) -> int:
        """Whole seconds after which `name` may ask again; 0: it may now, and that is counted."""
        if not self._most or not name:
            return 0
        now_s = self._clock()
        bucket = self._buckets.pop(name, None) or Bucket(self._most / 60, self._most, now_s)
        self._buckets[name] = bucket
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)
        return math.ceil(bucket.take(now_s))


class Flow:
    """What one client may send: events a second and bytes a second, ten seconds' worth at once."""

    BURST_S = 10.0

    def __init__(self, limits: LimitSettings, now_s: float) -> None:
        events_per_s, bytes_per_s = limits.events_per_s, limits.event_bytes_per_s
        self._events = Bucket(events_per_s, events_per_s * self.BURST_S, now_s)
        self._bytes = Bucket(bytes_per_s, bytes_per_s * self.BURST_S, now_s)

    def spend(self, size: int, now_s: float) -> float:
        """An event of that many bytes has come. Seconds to wait before the next is read; 0: all is well.

        A channel that cannot be made to wait is closed instead."""
        return max(self._events.spend(now_s, 1), self._bytes.spend(now_s, size))
