"""One model for all calls: it takes whatever waits at the moment when it becomes free.

A batcher that waits a fixed time for more collapses under load; this one never waits. What somebody waits for
goes before what is decoded ahead, and where there are several threads it finds one free; among equals,
whoever came first. Each call has one piece of work at a time (`growing`): nobody gets more than their share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Generic, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False, slots=True)
class _Job(Generic[Work, Result]):
    work: Work
    goes_with: Hashable  # only what has the same may be in one batch
    owed: bool
    answer: asyncio.Future[Result]


class Batcher(Generic[Work, Result]):
    """All methods are called on the event loop's thread.

    Args:
        threads: the model's.
        run: what it does with a batch, there: a result for each piece of work.
        largest: pieces of work in a batch.
        at_once: batches, as many as there are threads. What waits is shared out among them.
    """

    def __init__(
        self,
        threads: ThreadPoolExecutor,
        run: Callable[[Sequence[Work]], Sequence[Result]],
        largest: int,
        at_once: int = 1,
    ) -> None:
        self.largest = largest
        self.at_once = at_once
        self._threads = threads
        self._run = run
        self._waiting: list[_Job[Work, Result]] = []  # bounded by the calls
        self._running: list[int] = []  # pieces of work in each batch

    async def do(self, work: Work, goes_with: Hashable, *, owed: bool) -> Result:
        """Raises what went wrong. Cancelled while it waits, it is never begun."""
        job: _Job[Work, Result] = _Job(work, goes_with, owed, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._begin()
        try:
            return await job.answer
        finally:
            if job in self._waiting:
                self._waiting.remove(job)

    def _begin(self) -> None:
        if not self._waiting:
            return
        first = next((job for job in self._waiting if job.owed), self._waiting[0])
        threads = self.at_once if first.owed else max(1, self.at_once - 1)
        if len(self._running) >= threads:
            return
        kin = [job for job in self._waiting if (job.owed, job.goes_with) == (first.owed, first.goes_with)]
        batch = kin[: min(self.largest, ceil((len(kin) + sum(self._running)) / threads))]
        for job in batch:
            self._waiting.remove(job)
        self._running.append(len(batch))
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._run_each, batch)
        running.add_done_callback(partial(self._done, batch))

    def _run_each(self, batch: Sequence[_Job[Work, Result]]) -> Sequence[Result | Exception]:
        """On a thread of the model's. What breaks a batch costs only the piece of work that breaks alone."""
        try:
            return self._run([job.work for job in batch])
        except Exception as error:
            if len(batch) == 1:
                return [error]
            return [result for job in batch for result in self._run_each([job])]

    def _done(
        self,
        batch: Sequence[_Job[Work, Result]],
        running: asyncio.Future[Sequence[Result | Exception]],
    ) -> None:
        self._running.remove(len(batch))
        if running.cancelled():  # the threads are shut down
            for job in batch:
                job.answer.cancel()
            return
        for job, result in zip(batch, running.result(), strict=True):
            if job.answer.done():  # nobody wants it any more
                continue
            if isinstance(result, Exception):
                job.answer.set_exception(result)
            else:
                job.answer.set_result(result)
        self._begin()
