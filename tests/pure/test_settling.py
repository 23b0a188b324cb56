"""What is loaded stays to the end: the collector of garbage need not stop every call to look through it."""

from __future__ import annotations

import gc

from pipeline.settings import Settings
from server.__main__ import settle
from server.engines import Engines


async def test_garbage_is_looked_for_only_in_what_came_after_the_start() -> None:
    loaded = [[number] for number in range(50_000)]
    try:
        await settle(Engines(Settings()))
        looked_through = len(gc.get_objects())
    finally:
        gc.unfreeze()
    assert looked_through < len(loaded)
