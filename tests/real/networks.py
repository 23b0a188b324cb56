"""Machines and routers made of network namespaces: what packets do between them is the kernel's own doing.

Everything is named after this process, bounded in time, and gone at the end. Needs Linux, root's rights over
the network, and the programs of iproute2, nftables and coturn; `needed` skips where one is not there.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.conftest import FORBIDDEN

Result = TypeVar("Result")

PROGRAMS = ("ip", "nft", "tc", "turnserver")
NEW_NETWORK = 0x40000000  # CLONE_NEWNET, for setns(2)
WITHIN_S = 30.0  # for whatever is done at one machine
NAMESPACES = Path("/run/netns")


@functools.cache
def needed() -> None:
    """Skips the test where networks cannot be made."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {' '.join(missing)}")
    if why := _forbidden():
        pytest.skip(why)


def _forbidden() -> str:
    name = f"viva-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, timeout=10)
    if made.returncode:
        return f"{FORBIDDEN} network namespaces: {made.stderr.strip()}"
    try:
        table = ["ip", "netns", "exec", name, "nft", "add", "table", "ip", "try"]
        ruled = subprocess.run(table, capture_output=True, text=True, timeout=10)
        return f"{FORBIDDEN} nftables: {ruled.stderr.strip()}" if ruled.returncode else ""
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


class Machine:
    """A namespace with its own interfaces, routes and rules."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._started: list[subprocess.Popen[bytes]] = []

    def make(self) -> None:
        _run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str, text: str | None = None) -> str:
        """Runs a program there to its end; what it printed. Raises RuntimeError."""
        return _run("ip", "netns", "exec", self.name, *command, text=text)

    def rules(self, text: str) -> None:
        """Loads an nftables ruleset."""
        self.run("nft", "-f", "-", text=text)

    def route(self, gateway: str) -> None:
        self.run("ip", "-6" if ":" in gateway else "-4", "route", "add", "default", "via", gateway)

    def forwards(self) -> None:
        """Makes a router of it."""
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.run("sh", "-c", f"echo 1 > /proc/sys/net/{switch}")

    def slow_down(self, device: str, kbit_s: int, queue_ms: int) -> None:
        """What leaves by `device` gets no more than that, and waits in a queue of that length."""
        shape = ["rate", f"{kbit_s}kbit", "burst", "3000", "latency", f"{queue_ms}ms"]
        self.run("tc", "qdisc", "replace", "dev", device, "root", "tbf", *shape)

    def start(self, *command: str) -> None:
        """Starts a program there; it is ended with the machine."""
        self._started.append(
            subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                stdout=subprocess.DEVNULL,
            )
        )

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens meanwhile are this machine's."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(NAMESPACES / self.name, os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)

    async def do(self, work: Callable[[], Awaitable[Result]], within_s: float = WITHIN_S) -> Result:
        """Runs `work` in an event loop of its own there, while this one goes on."""

        async def bounded() -> Result:
            async with asyncio.timeout(within_s):
                return await work()

        def there() -> Result:
            with self.inside():
                return asyncio.run(bounded())

        return await asyncio.to_thread(there)

    def remove(self) -> None:
        for process in self._started:
            process.kill()  # a server that is asked to end waits for those who may come back
            process.wait(5)
        if (NAMESPACES / self.name).exists():
            _run("ip", "netns", "del", self.name)


class World:
    """The machines of one test; each is removed, whatever happens to the others."""

    def __init__(self, ending: ExitStack) -> None:
        self._ending = ending
        self._switches = 0

    def machine(self, name: str) -> Machine:
        made = Machine(f"viva-{os.getpid()}-{name}")
        self._ending.callback(made.remove)
        made.make()
        return made

    def switch(self) -> Machine:
        """What machines are plugged into."""
        self._switches += 1
        made = self.machine(f"switch{self._switches}")
        made.run("ip", "link", "add", "br0", "type", "bridge")
        made.run("ip", "link", "set", "br0", "up")
        return made

    def plug(self, machine: Machine, switch: Machine, device: str, *addresses: str) -> None:
        """A cable from `device` of `machine`; `addresses` with prefix lengths, IPv4 or IPv6."""
        port = f"port{len(switch.run('ip', '-o', 'link').splitlines())}"
        peer = ["peer", "name", port, "netns", switch.name]
        machine.run("ip", "link", "add", device, "type", "veth", *peer)
        switch.run("ip", "link", "set", port, "master", "br0", "up")
        for address in addresses:
            # no duplicate address detection: it takes seconds, and there are none
            flags = ["nodad"] if ":" in address else []
            machine.run("ip", "addr", "add", address, "dev", device, *flags)
        machine.run("ip", "link", "set", device, "up")


@contextmanager
def world() -> Iterator[World]:
    with ExitStack() as ending:
        yield World(ending)


async def listens(machine: Machine, address: str, port: int) -> None:
    """Until a TCP port is open."""

    async def knock() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return

    await machine.do(knock, 10)


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=WITHIN_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")
