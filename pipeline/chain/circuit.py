"""When a provider of a chain is left alone, and after how long it is too late.

Times are seconds of any clock that starts at 0 or later.

Closed: it is asked. Open, after failures in a row: it is left alone. Half open, when the cool-down is over:
one real request tries it, and closes or opens it again. (Nygard, Release It!, "Circuit Breaker".)
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

from pipeline.errors import ProviderError
from pipeline.settings import ChainSettings

REFUSED = ("auth", "forbidden")  # codes of what no other request will change
REMEMBERED = 20  # first results that show what is usual
HARDLY_EVER = 0.95  # share of them that were there sooner
JITTER = 1.25  # times that is late
AT_HAND_S = 0.03  # what is there sooner was not asked for, as a phrase that a voice keeps on disk


class Circuit:
    """One provider's."""

    def __init__(self, settings: ChainSettings) -> None:
        self.why: ProviderError | None = None  # its last failure, until it works again
        self.until_s = 0.0  # it is left alone
        self._settings = settings
        self._failures = 0  # in a row
        self._opened = 0  # times in a row
        self._tried = False  # by a request that is still under way

    def admits(self, now_s: float) -> bool:
        """Whether a request may be made now."""
        return not self._opened or (now_s >= self.until_s and not self._tried)

    def begin(self) -> bool:
        """A request is made. True: it is the one that tries whether it works again."""
        tries = bool(self._opened) and not self._tried
        self._tried = self._tried or tries
        return tries

    def broke_off(self, *, tried: bool) -> None:
        """The request was given up before it showed anything; `tried`: what `begin` had said of it."""
        self._tried = self._tried and not tried

    def worked(self) -> None:
        self.why = None
        self.until_s = 0.0
        self._failures = self._opened = 0
        self._tried = False

    def failed(self, why: ProviderError, now_s: float, *, tried: bool = False) -> bool:
        """True: it is left alone from now on."""
        self.broke_off(tried=tried)
        self.why = why
        self._failures += 1
        told = why.code in REFUSED or why.code == "rate_limited"
        if self._opened and now_s < self.until_s and not told:
            return False  # begun before it was opened: the same trouble
        if not (told or tried or self._opened or self._failures >= self._settings.failures):
            return False
        until_s = now_s + self._wait_s(why)
        news = until_s > self.until_s
        self._opened += now_s >= self.until_s
        self.until_s = max(self.until_s, until_s)
        return news

    def _wait_s(self, why: ProviderError) -> float:
        if why.code in REFUSED:
            return self._settings.refused_s
        if why.retry_after_s is not None:
            return why.retry_after_s
        grown_s = self._settings.cool_down_s * self._settings.cool_down_growth ** min(self._opened, 64)
        return min(grown_s, self._settings.longest_cool_down_s)


class Pace:
    """How long one provider usually takes to its first result."""

    def __init__(self) -> None:
        self._took_s: deque[float] = deque(maxlen=REMEMBERED)

    def took(self, seconds: float) -> None:
        """Or longer: it was not waited for."""
        if seconds >= AT_HAND_S:
            self._took_s.append(seconds)

    @property
    def usual_s(self) -> float:
        """0: nothing is known."""
        return median(self._took_s) if self._took_s else 0.0

    def late_after_s(self, least_s: float, untried_s: float) -> float:
        """A slow model on a small machine is no hung one: late is what it hardly ever takes. But who is used
        to its pace never waits more than `least_s` beyond that, however uneven it was.

        Args:
            least_s: less is never late.
            untried_s: where nothing is known.
        """
        if not self._took_s:
            return max(least_s, untried_s)
        took_s = sorted(self._took_s)
        hardly_ever_s = took_s[math.ceil(HARDLY_EVER * len(took_s)) - 1]
        return min(max(least_s, JITTER * hardly_ever_s), self.usual_s + least_s)
