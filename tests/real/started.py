"""The server as its owner starts it: `python -m server` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[2]
STARTS_WITHIN_S = 60.0  # with its models, on a busy machine


@dataclass(frozen=True)
class Started:
    url: str  # http://127.0.0.1:<port>, no slash behind it

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def until(self, holds: Callable[[dict[str, Any]], bool], within_s: float) -> None:
        """Asks after its health until that holds."""
        async with asyncio.timeout(within_s), aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{self.url}/healthz") as response:
                    if holds(await response.json()):
                        return
                await asyncio.sleep(0.05)

    async def until_idle(self) -> None:
        """Until no call is left."""
        await self.until(lambda health: health["calls"] == 0, 10.0)


@asynccontextmanager
async def started(**settings: str) -> AsyncIterator[Started]:
    """Ready to answer calls. `settings`: environment; nothing of the tests' own that would change it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "VIVA_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server", "--port", "0"),
        cwd=ROOT,
        env={**kept, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            first = (await process.stdout.readline()).decode()
            found = re.search(r"http://\S+", first)
            assert found, f"the server did not start: {first!r}"
        server = Started(found[0])
        await server.until(lambda health: health["ready"], STARTS_WITHIN_S)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
