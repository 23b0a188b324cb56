"""Slow, half-open and too many clients are cut off, below HTTP, where aiohttp leaves them alone.

aiohttp waits for the rest of a request's head as long as for the next request, and for ever for a client that
does not read its answer. So each of its protocols is wrapped in one of ours, and once a second:

    the head of a request takes longer than request_within_s    aborted
    something waits to be sent for longer than sent_within_s    aborted
    more than connections_per_address from one address          the new one is aborted
    more than connections                                       the longest idle one is, or else the new one

How long a connection may be idle between requests is aiohttp's own keep-alive time (idle_s), how long a
request's body may take is the routes'.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from server.access.address import Network, counted_as, is_trusted
from server.access.door import LimitSettings
from server.access.guard import Handler

LOOK_EVERY_S = 1.0
RESET = struct.pack("ii", 1, 0)  # to linger for 0 s: what was not sent is thrown away


class Connections:
    """All connections of one listening socket.

    Args:
        trusted: proxies, from which any number may come.
        clock: seconds, of any origin.
    """

    def __init__(
        self, limits: LimitSettings, trusted: tuple[Network, ...], clock: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._trusted = trusted
        self._clock = clock
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def around(self, server: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """A protocol factory for `loop.create_server` in place of aiohttp's own."""
        return lambda: _Connection(self, server())

    async def watch(self) -> None:
        """Runs as long as the socket listens."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Cuts off who is too slow."""
        now_s = self._clock()
        for connection in list(self._open.values()):
            if connection.is_too_slow(now_s, self._limits):
                connection.cut_off()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tells the connection that its request has arrived, and that it was dealt with."""
        connection = self._open.get(request.transport) if request.transport else None
        if connection is None:
            return await handler(request)
        connection.begins()
        try:
            return await handler(request)
        finally:
            connection.ends(self._clock())

    # ------------------------------------------------------------ of the connections

    def made(self, connection: _Connection) -> bool:
        """Whether a new one may stay."""
        limits, address = self._limits, connection.address
        most = limits.connections_per_address
        proxy = is_trusted(connection.peer, self._trusted)
        if most and self._of_address[address] >= most and not proxy:
            return False
        if len(self._open) >= limits.connections:
            idle = [one for one in self._open.values() if not one.active]
            if not idle:
                return False
            self.lost(oldest := min(idle, key=lambda one: one.since_s))
            oldest.cut_off()
        connection.since_s = connection.owes_since_s = self._clock()
        self._open[connection.transport] = connection
        self._of_address[address] += 1
        return True

    def lost(self, connection: _Connection) -> None:
        if self._open.pop(connection.transport, None) is None:
            return
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]

    def now_s(self) -> float:
        return self._clock()


class _Connection(asyncio.Protocol):
    """aiohttp's protocol for one connection, and when its client last owed us something."""

    transport: asyncio.Transport
    peer: str  # the address at its other end
    address: str  # the same, as it is counted

    def __init__(self, owner: Connections, inner: asyncio.Protocol) -> None:
        self._owner = owner
        self._inner = inner
        self._stays = False
        self._unsent_since_s: float | None = None
        self.active = False  # a request is being dealt with, or a WebSocket is open
        self.since_s = 0.0  # when it last had something to do
        self.owes_since_s: float | None = None  # the client has begun, or is to begin, a request

    def is_too_slow(self, now_s: float, limits: LimitSettings) -> bool:
        if not self.transport.get_write_buffer_size():
            self._unsent_since_s = None
        elif self._unsent_since_s is None:
            self._unsent_since_s = now_s
        owes_s = now_s - self.owes_since_s if self.owes_since_s is not None else 0.0
        unsent_s = now_s - self._unsent_since_s if self._unsent_since_s is not None else 0.0
        return owes_s > limits.request_within_s or unsent_s > limits.sent_within_s

    def cut_off(self) -> None:
        """At once, and without leaving the kernel what the client does not read."""
        if (raw := self.transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def begins(self) -> None:
        self.active, self.owes_since_s = True, None

    def ends(self, now_s: float) -> None:
        self.active, self.since_s = False, now_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = (transport.get_extra_info("peername") or ("",))[0]
        self.address = counted_as(self.peer)
        self._stays = self._owner.made(self)
        if self._stays:
            self._inner.connection_made(transport)
        else:
            self.cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stays:
            self._owner.lost(self)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._stays:
            return
        if not self.active and self.owes_since_s is None:
            self.owes_since_s = self._owner.now_s()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._stays else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
