"""Whether the event loop went on beating: it carries the sound of all calls, so nothing may hold it up."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path

BEAT_S = 0.02
COMPUTED_S = 0.25  # of this thread's own time between two beats: whatever else the machine does
STOOD_S = 1.0  # of the wall's: whatever it waited for, but for a processor
DEAD_S = 20.0  # likewise: it will not beat again


class Heartbeat:
    """The worst that happened between two beats."""

    def __init__(self) -> None:
        self.last_s = time.monotonic()
        self._used_s, self._starved_s = time.thread_time(), _starved_s()
        self._thread = threading.get_ident()
        self._collecting_s = 0.0
        self._computed_s = 0.0
        self._stood_s = 0.0
        self.where = ""  # the innermost places while it stood still

    def beat(self) -> None:
        """On the loop's thread."""
        now_s, used_s, starved_s = time.monotonic(), time.thread_time(), _starved_s()
        self._stood_s = max(self._stood_s, now_s - self.last_s - (starved_s - self._starved_s))
        self._computed_s = max(self._computed_s, used_s - self._used_s)
        self.last_s, self._used_s, self._starved_s = now_s, used_s, starved_s

    def collect(self, phase: str, _: dict[str, int]) -> None:
        """See `gc.callbacks`: the garbage of the whole process is not the plug-in's doing."""
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting_s = time.thread_time()
        else:
            self._used_s += time.thread_time() - self._collecting_s

    @property
    def failure(self) -> str:
        """In words; "": it went on beating."""
        if self._computed_s >= COMPUTED_S:
            return f"the event loop computed for {1000 * self._computed_s:.0f} ms in one go{self.where}"
        if self._stood_s >= STOOD_S:
            return f"the event loop stood still for {self._stood_s:.1f} s{self.where}"
        return ""


@contextlib.asynccontextmanager
async def listened_to(
    dead: Callable[[str], None] = lambda _: None, dead_s: float = DEAD_S
) -> AsyncIterator[Heartbeat]:
    """Counts the beats of the loop that runs now.

    `dead`: called, from a thread, with where the loop is when it has stood still for `dead_s`: one that waits
    for what runs on itself never returns."""
    heart = Heartbeat()
    ended = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(heart, ended, threading.get_ident(), dead, dead_s), name="heartbeat", daemon=True
    )
    beating = asyncio.create_task(_beat(heart), name="heartbeat")
    watcher.start()
    gc.callbacks.append(heart.collect)
    try:
        yield heart
    finally:
        heart.beat()
        gc.callbacks.remove(heart.collect)
        ended.set()
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(heart: Heartbeat) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        heart.beat()


def _watch(
    heart: Heartbeat, ended: threading.Event, loop_thread: int, dead: Callable[[str], None], dead_s: float
) -> None:
    """Notes where the loop is when a beat is overdue."""
    while not ended.wait(COMPUTED_S / 2):
        frame = sys._current_frames().get(loop_thread)
        late_s = time.monotonic() - heart.last_s
        if late_s < COMPUTED_S or frame is None:
            continue
        places = traceback.extract_stack(frame)[-3:]
        named = (f"{place.name} ({place.filename}:{place.lineno})" for place in places)
        heart.where = f"; at {' > '.join(named)}"
        if late_s >= dead_s:
            dead(f"the event loop stands still{heart.where}")
            return


def _starved_s() -> float:
    """For how long this thread could have run and got no processor, since it began; 0 where nobody counts.

    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/<pid>/schedstat."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
