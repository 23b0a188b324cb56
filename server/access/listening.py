"""The socket: HTTP or HTTPS, with its limits around it."""

from __future__ import annotations

import asyncio
import errno

from aiohttp import web

from pipeline.errors import ConfigError
from server.access.address import is_loopback
from server.access.admission import CONNECTIONS
from server.access.guard import Guard
from server.access.tls import Certificate
from server.config import Config

HEADER_BYTES = 32 * 1024  # of one header: a client secret with a long session fits
BACKLOG = 512


class Listening:
    """An application on its port.

    Args:
        guard: is told the port.

    Raises ConfigError where the certificate cannot be had.
    """

    def __init__(self, app: web.Application, config: Config, guard: Guard) -> None:
        self._app = app
        self._config = config
        self._guard = guard
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=config.limits.idle_s,
            max_field_size=HEADER_BYTES,
            lingering_time=config.limits.request_within_s,
        )
        self._server: asyncio.Server | None = None
        self._watches: list[asyncio.Task[None]] = []
        wanted = config.tls.certificate or config.tls.key
        self.certificate = Certificate(config.tls) if wanted else None
        self.port = 0

    @property
    def url(self) -> str:
        host = self._config.server.host.strip("[]")
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{name}:{self.port}"

    async def start(self) -> None:
        """Raises ConfigError where the port cannot be had."""
        await self._runner.setup()
        server, connections = self._config.server, self._app[CONNECTIONS]
        assert self._runner.server is not None
        tls = self.certificate
        try:
            self._server = await asyncio.get_running_loop().create_server(
                connections.around(self._runner.server),
                server.host.strip("[]"),
                server.port,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=self._config.limits.request_within_s if tls else None,
                backlog=BACKLOG,
            )
        except OSError as error:
            why = {
                errno.EADDRINUSE: "is in use: stop what listens there, or choose another with --port",
                errno.EACCES: "needs more rights: choose one above 1023 with --port",
            }.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
            raise ConfigError(f"port {server.port} of {server.host} {why}") from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._guard.listen_on(self.port, others=not is_loopback(server.host))
        self._watches = [asyncio.create_task(connections.watch(), name="slow connections")]
        if tls:
            self._watches.append(asyncio.create_task(tls.watch(), name="certificate"))

    async def close(self) -> None:
        """Stops listening, ends what is still open, and leaves nothing behind."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        for task in self._watches:
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
