"""What a provider leaves behind: tasks, threads, processes and sockets that were not there before it.

Processes and sockets are read from /proc; where there is none (macOS), only tasks and threads are counted.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLE_S = 2.0  # what was closed or cancelled gets so long to end, on a busy machine too
EVERY_S = 0.02  # how often that is looked at
LOOPS_OWN = ("asyncio_", "AnyIO")  # threads of the loop's default executor, and of one like it: they stay

Process = tuple[int, int]  # id, and when it was started: ids are used again


@dataclass(frozen=True, slots=True)
class Inventory:
    tasks: frozenset[asyncio.Task[Any]]
    threads: frozenset[threading.Thread]
    processes: frozenset[Process]
    sockets: int


def inventory() -> Inventory:
    """Of this process, and of the loop that runs now."""
    current = asyncio.current_task()
    return Inventory(
        frozenset(task for task in asyncio.all_tasks() if task is not current),
        frozenset(thread for thread in threading.enumerate() if not thread.name.startswith(LOOPS_OWN)),
        descendants(),
        _sockets(),
    )


def descendants() -> frozenset[Process]:
    """All processes below this one; without zombies."""
    children: dict[int, list[Process]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if (read := _stat(folder)) is not None:
            parent, process = read
            children.setdefault(parent, []).append(process)
    found: list[Process] = []
    parents = [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process[0] for process in below]
    return frozenset(found)


async def ended(processes: frozenset[Process]) -> None:
    """Returns when none of them is there any more."""
    while True:
        if not descendants() & processes:
            return
        await asyncio.sleep(EVERY_S)


async def left(before: Inventory, during: Inventory) -> str:
    """What of it is there still, and was not before, in words; "" when nothing is. Waits up to SETTLE_S.

    `during`: while the provider was at work. The child of one that is gone is no longer below this one."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_S
    while True:
        words = _left(before, during)
        if not words or loop.time() > until:
            return words
        await asyncio.sleep(EVERY_S)


async def more(before: Inventory) -> str:
    """Of which there are more than before, in words; "" when of nothing. Waits up to SETTLE_S."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_S
    while True:
        words = _more(before, inventory())
        if not words or loop.time() > until:
            return words
        await asyncio.sleep(EVERY_S)


def _more(before: Inventory, now: Inventory) -> str:
    counts = {
        "task(s)": len(now.tasks) - len(before.tasks),
        "thread(s)": len(now.threads) - len(before.threads),
        "process(es)": len(now.processes) - len(before.processes),
        "socket(s)": now.sockets - before.sockets,
    }
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count > 0)


def _left(before: Inventory, during: Inventory) -> str:
    now = inventory()
    tasks = sorted(task.get_name() for task in now.tasks - before.tasks if not task.done())
    threads = sorted(thread.name for thread in now.threads - before.threads)
    orphans = {process for process in during.processes - before.processes if _lives(process)}
    processes = len((now.processes - before.processes) | orphans)
    sockets = now.sockets - before.sockets
    found = [f"task {name}" for name in tasks] + [f"thread {name}" for name in threads]
    found += [f"{processes} process(es)"] if processes else []
    found += [f"{sockets} socket(s)"] if sockets > 0 else []
    return ", ".join(found)


def _lives(process: Process) -> bool:
    read = _stat(Path("/proc", str(process[0])))
    return read is not None and read[1] == process


def _stat(folder: Path) -> tuple[int, Process] | None:
    """Parent and process; None: it is gone, or a zombie. Source: proc(5), /proc/pid/stat and task.

    One whose first thread has ended lives on, with its files open, until its last one has."""
    try:
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        state, parent, *rest = text[text.rindex(")") + 2 :].split()
        if state in "ZX" and len(os.listdir(folder / "task")) <= 1:
            return None
    except OSError:
        return None
    return int(parent), (int(folder.name), int(rest[17]))


def _sockets() -> int:
    """Open ones of this process."""
    count = 0
    for descriptor in Path("/proc/self/fd").glob("*"):
        try:
            count += os.readlink(descriptor).startswith("socket:")
        except OSError:
            continue  # it was the one of this very listing
    return count
