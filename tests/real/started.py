"""The server as its owner starts it: `python -m server` in a process of its own, with keys and TLS."""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from server.access.self_signed import make_certificate
from tests.environment import bare

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-is-long-enough-for-a-test"
STARTS_WITHIN_S = 60.0  # with its models, on a busy machine


@dataclass(frozen=True)
class Started:
    url: str  # http://127.0.0.1:<port>, no slash behind it
    certificate: Path | None = None  # that it signed itself, where it speaks TLS

    @property
    def tls(self) -> ssl.SSLContext | bool:
        """What a client has to trust."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else True

    async def client_secret(self, **session: Any) -> str:
        """As the owner of the key makes one for a browser."""
        body = {"session": {"type": "realtime", **session}}
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
            http.post(f"{self.url}/v1/realtime/client_secrets", json=body, ssl=self.tls) as response,
        ):
            made = await response.json()
            assert response.status == 200, made
            return str(made["value"])

    async def until(self, holds: Callable[[dict[str, Any]], bool], within_s: float) -> None:
        """Asks after its health until that holds."""
        async with asyncio.timeout(within_s), aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{self.url}/healthz", ssl=self.tls) as response:
                    if holds(await response.json()):
                        return
                await asyncio.sleep(0.05)

    async def until_idle(self) -> None:
        """Until no call is left."""
        await self.until(lambda health: health["calls"] == 0, 10.0)


@asynccontextmanager
async def started(certificates: Path | None = None, **settings: str) -> AsyncIterator[Started]:
    """Ready to answer calls.

    Args:
        certificates: an empty folder; with one, it speaks TLS and asks for KEY or a client secret.
        settings: environment. Nothing of the tests' own that would change it is passed on.
    """
    certificate = None
    if certificates is not None:
        certificate, key = make_certificate(certificates)
        settings |= {
            "VIVA_TLS__CERTIFICATE": str(certificate),
            "VIVA_TLS__KEY": str(key),
            "VIVA_API_KEYS": f"tests={KEY}",
        }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "--port", "0"),
        cwd=ROOT,
        env=bare(**settings),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            first = (await process.stdout.readline()).decode()
        found = re.search(r"https?://\S+", first)
        assert found, f"the server did not start: {first!r}"
        server = Started(found[0], certificate)
        await server.until(lambda health: health["ready"], STARTS_WITHIN_S)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
