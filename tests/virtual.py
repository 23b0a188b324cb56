"""An event loop whose clock jumps to the next timer instead of waiting: minutes of a call in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
LOOKS_EVERY_S = 0.05  # real, while something is owed


class Deadlock(AssertionError):
    """Everything waits for something that no timer will bring."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: a wait of n seconds moves the clock on by n. But it stands still while a process
    outside owes something."""

    def __init__(self, owed: Callable[[], bool]) -> None:
        super().__init__()
        self.seconds = 0.0
        self.called = False  # from another thread
        self._owed = owed

    def select(self, timeout: float | None = None) -> list[Any]:
        alone = not self.called and len(self.get_map()) == 1  # but for what wakes the loop
        ready = [] if alone else super().select(0)
        self.called = False
        if ready or timeout == 0:
            return ready
        if self._owed():
            return super().select(LOOKS_EVERY_S)
        if timeout is None:
            raise Deadlock("every task waits, and no timer is set")
        self.seconds += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, owed: Callable[[], bool] = lambda: False) -> None:
        self._jumping = _JumpingSelector(owed)
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.seconds

    def stand_still(self, seconds: float) -> None:
        """As if something had kept it busy for so long."""
        self._jumping.seconds += seconds

    def call_soon_threadsafe(self, *args: Any, **context: Any) -> asyncio.Handle:
        self._jumping.called = True
        return super().call_soon_threadsafe(*args, **context)


def run(work: Coroutine[Any, Any, Result], owed: Callable[[], bool] = lambda: False) -> Result:
    """Runs `work` on a virtual loop of its own. `owed`: whether a real process has yet to answer."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(owed)) as runner:
        return runner.run(work)
