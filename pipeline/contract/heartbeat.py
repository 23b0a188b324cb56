"""Whether the event loop went on beating: it carries the sound of all calls, so nothing may hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

BEAT_S = 0.02
COMPUTED_S = 0.25  # of this thread's own time between two beats: whatever else the machine does
STOOD_S = 1.5  # of the wall's: whatever it waited for
DEAD_S = 20.0  # likewise: it will not beat again


@dataclass(slots=True)
class Heartbeat:
    """The worst that happened between two beats."""

    computed_s: float = 0.0
    stood_s: float = 0.0
    where: str = ""  # the innermost places while it stood still

    @property
    def failure(self) -> str:
        """In words; "": it went on beating."""
        if self.stood_s >= STOOD_S:
            return f"the event loop stood still for {self.stood_s:.1f} s{self.where}"
        if self.computed_s >= COMPUTED_S:
            return f"the event loop computed for {1000 * self.computed_s:.0f} ms in one go{self.where}"
        return ""


@contextlib.asynccontextmanager
async def listened_to(dead: Callable[[str], None] | None = None) -> AsyncIterator[Heartbeat]:
    """Counts the beats of the loop that runs now.

    `dead`: called, from a thread, with where the loop is when it has stood still for DEAD_S: one that waits
    for what runs on itself never returns."""
    heart = Heartbeat()
    last = [time.monotonic()]
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(heart, last, ended, threading.get_ident(), dead), name="heartbeat", daemon=True
    )
    beating = asyncio.create_task(_beat(heart, last), name="heartbeat")
    watcher.start()
    try:
        yield heart
    finally:
        ended.set()
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(heart: Heartbeat, last: list[float]) -> None:
    used_s = time.thread_time()
    while True:
        await asyncio.sleep(BEAT_S)
        now_s, now_used_s = time.monotonic(), time.thread_time()
        heart.stood_s = max(heart.stood_s, now_s - last[0])
        heart.computed_s = max(heart.computed_s, now_used_s - used_s)
        last[0], used_s = now_s, now_used_s


def _watch(
    heart: Heartbeat,
    last: list[float],
    ended: threading.Event,
    loop_thread: int,
    dead: Callable[[str], None] | None,
) -> None:
    """Notes where the loop is when a beat is overdue."""
    while not ended.wait(COMPUTED_S / 2):
        frame = sys._current_frames().get(loop_thread)
        late_s = time.monotonic() - last[0]
        if late_s < COMPUTED_S or frame is None:
            continue
        places = traceback.extract_stack(frame)[-3:]
        named = (f"{place.name} ({place.filename}:{place.lineno})" for place in places)
        heart.where = f"; at {' > '.join(named)}"
        if dead is not None and late_s >= DEAD_S:
            dead(f"the event loop stands still{heart.where}")
            return
