"""What is made of an utterance, on its way from the task that listens to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from pipeline.providers import Transcript

Told = Transcript | Exception | None  # None: all that was owed has come


async def told(
    out: asyncio.Queue[Told], listen: Callable[[], Coroutine[Any, Any, None]], name: str
) -> AsyncGenerator[Transcript, None]:
    """The transcripts that come into `out` while `listen` runs as a task of that name, up to None.

    An exception there is raised here. When this ends or is closed, the task has ended."""
    listening = asyncio.create_task(listen(), name=name)
    try:
        while (item := await out.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        listening.cancel()
        await asyncio.wait({listening})
