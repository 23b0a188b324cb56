"""A loop of its own thread: for what has to go on beside a test that waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")
Result = TypeVar("Result")
WITHIN_S = 90.0


@dataclass
class Aside(Generic[Thing]):
    thing: Thing
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """In that loop, waiting for it here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WITHIN_S)


@contextmanager
def aside(opening: AbstractAsyncContextManager[Thing]) -> Iterator[Aside[Thing]]:
    """Opens it in that loop, and closes it there."""
    up = threading.Event()
    down = asyncio.Event()
    found: list[Aside[Thing]] = []

    async def live() -> None:
        try:
            async with opening as thing:
                found.append(Aside(thing, asyncio.get_running_loop()))
                up.set()
                await down.wait()
        finally:
            up.set()

    thread = threading.Thread(target=asyncio.run, args=(live(),), name="aside")
    thread.start()
    assert up.wait(WITHIN_S)
    assert found, "it could not be opened"
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(down.set)
        thread.join(WITHIN_S)
