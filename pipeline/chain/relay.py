"""One piece of work on its way through the links: handed on where one fails, shared where one is late.

Each stream is read by a task of its own, so that two can run side by side and the one that is not wanted any
more is closed, down to its HTTP stream, without anybody waiting for that.

    asked ────── usual ──────────────── late ──▶
      first: silent                       │
                 next, ahead: its pieces ─┴─▶ handed on only now, or when the first has failed
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from enum import Enum
from typing import Generic, TypeVar

from pipeline.chain.links import Link, Links
from pipeline.errors import ProviderError
from pipeline.notices import AtWork, tell

log = logging.getLogger(__name__)

NEWS = 2  # pieces that wait to be taken: a stream is no further ahead than it would be without a chain
CLOSE_WITHIN_S = 1.0  # a stream that ends later does so behind our back

Result = TypeVar("Result")


class Sign(Enum):
    """What comes besides pieces."""

    END = "the stream has ended"
    AGAIN = "what is owed has changed"


class Attempt(Generic[Result]):
    """One link at this piece of work."""

    def __init__(self, link: Link, begun_s: float) -> None:
        self.link = link
        self.pieces: deque[Result] = deque()  # that came and were not handed on
        self.begun_s = begun_s
        self.ahead = False  # it works already, and it is not its turn yet
        self.came: deque[Result | Sign | ProviderError] = deque()  # until then
        self.gave = False  # a result
        self.tries = link.circuit.begin()
        self.task: asyncio.Task[None] | None = None


News = tuple[Attempt[Result] | None, Result | Sign | ProviderError]  # None: of nobody


class Relay(Generic[Result]):
    """For one piece of work.

    Args:
        first: the link that is named when another does the work.
        order: whom to ask, in turn.
        begin: a link's stream for the work, or for what is left of it when that link's turn comes.
    """

    early = False  # True: whoever is at work is heard before its first result too

    def __init__(
        self,
        links: Links,
        first: Link,
        order: Sequence[Link],
        begin: Callable[[Link], AsyncIterator[Result]],
    ) -> None:
        self.at_work: Attempt[Result] | None = None  # whose pieces are handed on
        self._links = links
        self._first = first
        self._waiting = deque(order)
        self._begin = begin
        self._running: list[Attempt[Result]] = []  # the newest last
        self._tasks: list[asyncio.Task[None]] = []
        self._news: asyncio.Queue[News[Result]] = asyncio.Queue(NEWS)
        self._clock = asyncio.get_running_loop().time
        self.begun_s = self._asked_s = self._clock()  # when the piece that is waited for was asked for

    async def pieces(self) -> AsyncGenerator[Result, None]:
        """Those of whoever is at work. Raises the last ProviderError when nobody is left."""
        try:
            self._next()
            while True:
                attempt, news = await self._told()
                if attempt is None or attempt not in self._running:
                    continue  # it was closed meanwhile
                if isinstance(news, ProviderError):
                    self._failed(attempt, news)
                    if self.may_fail():
                        return
                elif news is Sign.END:
                    if attempt is self.at_work and not self.owes():
                        self._over(attempt)
                        for piece in attempt.pieces:
                            yield piece
                        return
                    message = "it ended without an answer"
                    why = ProviderError(self._links.stage, attempt.link.name, message, "bad_response")
                    self._failed(attempt, why)
                else:
                    assert not isinstance(news, Sign)
                    if self.decides(news):
                        self._decided(attempt)
                    attempt.pieces.append(news)
                    while attempt is self.at_work and attempt.pieces and (attempt.gave or self.early):
                        yield attempt.pieces.popleft()
                        self._asked_s = self._clock()
        finally:
            await self._close()

    def owes(self) -> bool:
        """Whether a stream that ends now has ended too early."""
        return False

    def may_fail(self) -> bool:
        """Whether all that matters was handed on: whatever fails now costs nothing."""
        return False

    def owed_since_s(self, asked_s: float) -> float | None:
        """Since when a result is; None: none is. `asked_s`: since when the next piece is waited for."""
        return asked_s

    def late_after_s(self, late: Attempt[Result], following: Link) -> float:
        """Without a result, it is so late that the one behind it joins in. What has begun goes on soon."""
        return self._links.least_late_s if late.gave else self._links.late_after_s(late.link)

    def ahead_s(self, late_s: float) -> float:
        """From when on the next one works ahead of its turn, which comes at `late_s`; inf: it does not."""
        return math.inf

    def decides(self, piece: Result) -> bool:
        """Whether it is a result, which wins a race. Other pieces wait for one."""
        return True

    def nobody_else(self) -> None:
        """Whoever is at work is the last one."""
        self._waiting.clear()

    async def look_again(self) -> None:
        """What is owed has changed."""
        await self._news.put((None, Sign.AGAIN))

    # ------------------------------------------------------------ the race

    async def _told(self) -> News[Result]:
        while True:
            late_s = self._late_s()
            for attempt in self._running:
                if attempt.ahead and (attempt is self._running[0] or self._clock() >= late_s):
                    attempt.ahead = False
                if attempt.came and not attempt.ahead:
                    return attempt, attempt.came.popleft()
            working_ahead = bool(self._running) and self._running[-1].ahead
            begin_s = late_s if working_ahead or not self._waiting else min(late_s, self.ahead_s(late_s))
            try:
                async with asyncio.timeout_at(None if begin_s == math.inf else begin_s):
                    news = await self._news.get()
            except TimeoutError:
                if not working_ahead:
                    self._next(ahead=self._clock() < late_s)
                continue
            told, piece = news
            if told is None or not told.ahead:
                return news
            assert piece is not Sign.AGAIN
            told.came.append(piece)

    def _late_s(self) -> float:
        """When the turn of the next one comes; inf: it does not, as things are."""
        since_s = self.owed_since_s(self._asked_s)
        turn = [attempt for attempt in self._running if not attempt.ahead]
        following = (
            self._running[-1].link if len(turn) < len(self._running) else next(iter(self._waiting), None)
        )
        if since_s is None or not turn or following is None:
            return math.inf
        return max(since_s, turn[-1].begun_s) + self.late_after_s(turn[-1], following)

    def _next(self, *, ahead: bool = False) -> None:
        """Starts the next link, if there is one."""
        if not self._waiting:
            return
        attempt = Attempt[Result](self._waiting.popleft(), self._clock())
        attempt.ahead = ahead
        name = f"{self._links.stage} {attempt.link.name}"
        attempt.task = asyncio.create_task(self._read(attempt), name=name)
        self._running.append(attempt)
        self._tasks.append(attempt.task)
        if self.at_work is None:
            self.at_work = attempt

    async def _read(self, attempt: Attempt[Result]) -> None:
        name = attempt.link.name
        news: Sign | ProviderError = Sign.END
        try:
            async with aclosing(self._begin(attempt.link)) as stream:  # type: ignore[type-var]
                async for piece in stream:
                    await self._news.put((attempt, piece))
        except ProviderError as error:
            news = error
        except Exception:
            log.exception("%s: %s failed in a way that it should not", self._links.stage, name)
            news = ProviderError(self._links.stage, name, "it crashed", "crashed")
        await self._news.put((attempt, news))

    def _decided(self, winner: Attempt[Result]) -> None:
        """It has a result: it does the work, alone."""
        now_s = self._clock()
        since_s = self.owed_since_s(self._asked_s) or 0.0
        for loser in [one for one in reversed(self._running) if one is not winner]:
            if loser.begun_s < winner.begun_s:
                waited_s = now_s - max(loser.begun_s, since_s)
                loser.link.pace.took(waited_s)
                message = f"it was silent for {waited_s:.1f} s"
                self._give_up(loser, ProviderError(self._links.stage, loser.link.name, message, "slow"))
            else:
                self._give_up(loser, None)
                self._waiting.appendleft(loser.link)  # the winner may still fail
        self.at_work = winner
        if not winner.gave:
            winner.gave = True
            winner.link.pace.took(now_s - max(winner.begun_s, since_s))
            if winner.link is not self._first:
                self._tell_of(winner.link)

    def _tell_of(self, link: Link) -> None:
        first, stage = self._first, self._links.stage
        loading = ProviderError(stage, first.name, f"{first.name} is still loading", "loading")
        why = first.circuit.why or loading
        tell(AtWork(stage, link.name, first.name, why.code, why.message))

    def _failed(self, attempt: Attempt[Result], why: ProviderError) -> None:
        """Raises it if nobody is left."""
        self._give_up(attempt, why)
        if attempt is self.at_work:
            self.at_work = self._running[0] if self._running else None
        if not self._running and not self.may_fail():
            if not self._waiting:
                raise why
            self._next()

    def _give_up(self, attempt: Attempt[Result], why: ProviderError | None) -> None:
        self._running.remove(attempt)
        assert attempt.task is not None
        attempt.task.cancel()
        circuit = attempt.link.circuit
        if why is not None:
            self._links.failed(attempt.link, why, tried=attempt.tries)
        elif attempt.gave:
            circuit.worked()
            if attempt.link is self._first:  # only now: it may have begun well and broken off again
                name = attempt.link.name
                tell(AtWork(self._links.stage, name, name, "returned", f"{name} works again"))
        else:
            circuit.broke_off(tried=attempt.tries)

    def _over(self, attempt: Attempt[Result]) -> None:
        attempt.gave = True
        self._give_up(attempt, None)

    async def _close(self) -> None:
        for attempt in list(self._running):
            self._give_up(attempt, None)
        left = [task for task in self._tasks if not task.done()]
        if left:
            _, left_over = await asyncio.wait(left, timeout=CLOSE_WITHIN_S)
            self._links.closing |= left_over
            for task in left_over:
                task.add_done_callback(self._links.closing.discard)
