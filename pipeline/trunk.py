"""The server's side of `pipeline.forking`: keeps a forking process alive and asks it for children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

from pipeline.errors import ProviderError, Stage
from pipeline.forking import READY

READY_WITHIN_S = 30.0  # the slowest loads in 0.5 s; a machine under load may need long
AGAIN_AFTER_S = 15.0  # one that did not get ready: memory may have been short
LINE_BYTES = 1 << 20  # longest line that a child may write


class Trunk:
    """One forking process. Starts again by itself when it dies.

    Args:
        module: run with `python -m`; calls `pipeline.forking.serve`.
        arguments: for it, after the control socket's descriptor.
        again_after_s: until one that did not get ready is started again.
    """

    def __init__(
        self,
        stage: Stage,
        provider: str,
        module: str,
        *arguments: str,
        again_after_s: float = AGAIN_AFTER_S,
    ) -> None:
        self._stage = stage
        self._provider = provider
        self._module = module
        self._arguments = arguments
        self._again_after_s = again_after_s
        self._ready = asyncio.Event()
        self._broken: ProviderError | None = None
        self._control: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.pid: int | None = None  # while it is ready

    def crashed(self, message: str) -> ProviderError:
        return ProviderError(self._stage, self._provider, message, "crashed")

    async def start(self) -> None:
        """Returns when it is ready. Raises ProviderError if it does not get so."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"{self._provider}-keep")
        await self._until_ready()

    async def fork(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new child's socket; close the writer to be rid of it. Raises ProviderError if it cannot start."""
        while True:
            await self._until_ready()
            control = self._control
            assert control is not None
            ours, its = socket.socketpair()
            with its:
                try:
                    socket.send_fds(control, [b"f"], [its.fileno()])
                except OSError:  # it has just died, and will be ready again
                    ours.close()
                    self._ready.clear()
                    continue
            ours.setblocking(False)
            return await asyncio.open_connection(sock=ours, limit=LINE_BYTES)

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    async def _until_ready(self) -> None:
        await self._ready.wait()
        if self._broken is not None:
            raise self._broken

    async def _keep(self) -> None:
        """Runs the process, and again when it dies. Nobody waits for one that does not get ready."""
        while True:
            try:
                await self._run_once()
            except OSError:  # there is no memory for another process
                self._broken = self.crashed("its process does not start")
            if self._broken is not None:
                self._ready.set()
                await asyncio.sleep(self._again_after_s)

    async def _run_once(self) -> None:
        """Until it dies. One that does not get ready is broken."""
        control, its = socket.socketpair()
        control.setblocking(False)
        with control:
            with its:
                process = await self._run(its.fileno())
            try:
                if await self._hears_ready(control):
                    self._control, self.pid, self._broken = control, process.pid, None
                    self._ready.set()
                    await process.wait()
                else:
                    self._broken = self.crashed("its process does not start")
            finally:
                self.pid = None
                if self._broken is None:
                    self._ready.clear()
                control.close()  # the process ends by this
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()

    async def _run(self, descriptor: int) -> asyncio.subprocess.Process:
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            str(descriptor),
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env={**os.environ, "PYTHONPATH": path},
        )

    @staticmethod
    async def _hears_ready(control: socket.socket) -> bool:
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                return await asyncio.get_running_loop().sock_recv(control, len(READY)) == READY
        except (TimeoutError, OSError):
            return False
