"""`GET /v1/realtime`: a request that becomes a WebSocket, as `server.workers.Socket` wants it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from server.workers import NotResumed, Socket

PROTOCOL = "realtime"
RESUME = "viva-resume."  # before a token, among the sub-protocols: a browser can send nothing else
CLOSE_WITHIN_S = 2.0
REFUSED = {"conversation_elsewhere": 4409, "conversation_over": 4410}  # close codes, for want of a status
GOODBYE = (0, 1000)  # closed without a code, as browsers do, or normally; a page that goes away says 1001
SOUND = 16  # times the bytes that another event may have: sound in base64, a minute of it in one


class AcceptedSocket(Socket):
    """aiohttp's.

    Args:
        event_bytes: of one event, without sound.
        quiet_s: without a message for so long the client is pinged, and once more so long it is gone.
    """

    def __init__(self, request: web.Request, event_bytes: int, quiet_s: float) -> None:
        self._request = request
        self._quiet_s = quiet_s
        self.hung_up = False
        self.response = web.WebSocketResponse(
            protocols=(PROTOCOL,), max_msg_size=SOUND * event_bytes, autoping=False, timeout=quiet_s
        )

    async def accept(self, call_id: str) -> None:
        self.response.headers["Location"] = f"/v1/realtime/calls/{call_id}"
        await self.response.prepare(self._request)

    async def receive(self) -> str | None:
        asked = False
        while True:
            try:
                message = await self.response.receive(timeout=self._quiet_s)
            except TimeoutError:
                if asked:
                    return None
                asked = True
                with suppress(ConnectionError):  # the next receive says so
                    await self.response.ping()
                continue
            asked = False
            if message.type is WSMsgType.TEXT:
                return str(message.data)
            if message.type is WSMsgType.PING:
                await self.response.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                self.hung_up = message.type is WSMsgType.CLOSE and message.data in GOODBYE
                return None

    async def send(self, text: str) -> None:
        await self.response.send_str(text)

    async def refuse(self, late: NotResumed) -> None:
        """Of a request that was turned down a browser's page learns nothing, not even the status."""
        await self.response.prepare(self._request)
        await self.close(REFUSED[late.code], str(late))

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self.response.close(code=code, message=reason.encode()[:120])
        except (ConnectionError, TimeoutError):  # a client that reads nothing hears no goodbye either
            if self._request.transport is not None:
                self._request.transport.abort()


def resume_token(request: web.Request) -> str:
    """What the request wants to take up again; "": a new conversation."""
    for offered in request.headers.getall("Sec-WebSocket-Protocol", []):
        for protocol in offered.split(","):
            if protocol.strip().startswith(RESUME):
                return protocol.strip().removeprefix(RESUME)
    return ""
