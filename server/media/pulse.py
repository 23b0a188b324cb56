"""One timer for the voices of all calls: it fires on every whole 20 ms of the loop's clock.

A timer, a future and a task to wake for each call would cost more than sending a packet does.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from weakref import WeakKeyDictionary

from pipeline.audio import CHUNK_MS

log = logging.getLogger(__name__)

BEAT_S = CHUNK_MS / 1000


class Pulse:
    """Calls every member on each beat, in the order they joined; after a stall of the loop only once."""

    def __init__(self) -> None:
        self._members: dict[Callable[[], None], None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def join(self, member: Callable[[], None]) -> None:
        self._members[member] = None
        if self._timer is None:
            self._set()

    def leave(self, member: Callable[[], None]) -> None:
        self._members.pop(member, None)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at((math.floor(loop.time() / BEAT_S + 1e-6) + 1) * BEAT_S, self._beat)

    def _beat(self) -> None:
        self._set()  # first, as the last member may leave
        for member in tuple(self._members):
            try:
                member()
            except Exception:
                self.leave(member)
                log.exception("a member failed and is called no more")


_pulses: WeakKeyDictionary[asyncio.AbstractEventLoop, Pulse] = WeakKeyDictionary()


def pulse() -> Pulse:
    """That of the running loop."""
    return _pulses.setdefault(asyncio.get_running_loop(), Pulse())
