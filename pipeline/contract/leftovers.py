"""What a provider leaves behind: tasks, threads, processes and sockets that were not there before it.

Processes and sockets are read from /proc; where there is none (macOS), only tasks and threads are counted.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SETTLE_S = 1.0  # what was closed or cancelled gets so long to end
PROCESSES_S = 4.0  # likewise, where nothing but processes is left: a machine may have others to run
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
    """What of it is there still, and was not before, in words; "" when nothing is. Gives it time to end.

    `during`: while the provider was at work. The child of one that is gone is no longer below this one."""

    def look() -> list[str]:
        now = inventory()
        tasks = sorted(task.get_name() for task in now.tasks - before.tasks if not task.done())
        threads = sorted(thread.name for thread in now.threads - before.threads)
        orphans = {process for process in during.processes - before.processes if _lives(process)}
        found = [f"task {name}" for name in tasks] + [f"thread {name}" for name in threads]
        return found + _counted(
            processes=len((now.processes - before.processes) | orphans), sockets=now.sockets - before.sockets
        )

    return await _settled(look)


async def more(before: Inventory) -> str:
    """Of which there are more than before, in words; "" when of nothing. Gives it time to end."""

    def look() -> list[str]:
        now = inventory()
        return _counted(
            tasks=len(now.tasks) - len(before.tasks),
            threads=len(now.threads) - len(before.threads),
            processes=len(now.processes) - len(before.processes),
            sockets=now.sockets - before.sockets,
        )

    return await _settled(look)


def _counted(**numbers: int) -> list[str]:
    return [f"{count} {kind}" for kind, count in numbers.items() if count > 0]


async def _settled(look: Callable[[], list[str]]) -> str:
    began = asyncio.get_running_loop().time()
    while True:
        found = look()
        only_processes = all(each.endswith("processes") for each in found)
        within_s = PROCESSES_S if only_processes else SETTLE_S
        if not found or asyncio.get_running_loop().time() - began > within_s:
            return ", ".join(found)
        await asyncio.sleep(EVERY_S)


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
