"""What the stand-ins of vendors that hear over a WebSocket have in common.

They hear a word every `word_ms` of a stretch of sound, which lasts until the client asks for what was said,
and tell of each at once. What they tell of it, and in which words, is their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import WSMsgType, web

from pipeline.audio import MIC_RATE
from pipeline.contract.vendor import Behaviour, Outcome

Heard = list[tuple[str, float, float]]  # words with their times in s


@dataclass(eq=False)
class Seen:
    """One stretch of sound as it arrived, and what became of it."""

    headers: dict[str, str]  # of its connection, names in lower case
    query: dict[str, list[str]]
    sound: bytearray = field(default_factory=bytearray)  # int16
    pieces: int = 0  # of the answer sent so far
    outcome: Outcome = "open"
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, outcome: Outcome) -> None:
        if not self.ended.is_set():
            self.outcome = outcome
            self.ended.set()


@dataclass(eq=False)
class Connection:
    """One client, over all its stretches."""

    socket: web.WebSocketResponse
    request: web.Request
    headers: dict[str, str]
    query: dict[str, list[str]]
    controls: list[str] = field(default_factory=list)  # types of the messages that it sent
    before_s: float = 0.0  # of its sound, before the stretch
    stretch: Seen | None = None
    words: Heard = field(
        default_factory=list
    )  # of the stretch, with times since the connection's first sample
    told: int = 0  # of them: settled already
    order: int = 0  # how many turns are over, where a vendor counts them
    opened_s: float = field(default_factory=time.monotonic)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    outbox: asyncio.Queue[tuple[str, Seen | None, bool]] = field(default_factory=asyncio.Queue)

    @property
    def heard_s(self) -> float:
        stretch = len(self.stretch.sound) / 2 / MIC_RATE if self.stretch else 0.0
        return self.before_s + stretch

    def say(self, message: dict[str, Any], *, serves: bool = False, piece: bool = True) -> None:
        """`serves`: with it the stretch is answered."""
        self.outbox.put_nowait((json.dumps(message), self.stretch if piece else None, serves))

    def end_stretch(self) -> None:
        self.before_s, self.stretch, self.words, self.told = self.heard_s, None, [], 0


class Refused(Exception):
    """The client did something wrong: (close code, words)."""


class ListeningServer(ABC):
    """A server on a free port of 127.0.0.1; everything about it can be changed while it runs."""

    path: str
    patience_s: float | None = None  # for a message of the client
    impatience = (1011, "")  # when none comes

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.work = Behaviour()
        self.heard: str | Callable[[bytes], Heard] = "i worked on a database"
        self.word_ms = 250
        self.sums_up = True  # before it hangs up, when it was asked to
        self.opens_after_ms = 0.0  # how long a hand-shake takes
        self.seen: list[Seen] = []
        self.connections: list[Connection] = []
        self.base_url = ""
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get(self.path, self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.base_url = f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def request(self, number: int = 0) -> Seen:
        """The `number`-th stretch of sound (or refusal), as soon as it has arrived."""
        await self.until(lambda: len(self.seen) > number)
        return self.seen[number]

    async def until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    async def drop(self, connection: Connection) -> None:
        """Breaks it, without a word."""
        assert connection.request.transport is not None
        connection.request.transport.abort()
        await connection.closed.wait()

    async def _news(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # ------------------------------------------------------------------ what is the vendor's own

    @abstractmethod
    def refusal(self, headers: dict[str, str], query: dict[str, list[str]]) -> web.Response | None:
        """An HTTP answer in place of a WebSocket."""

    @abstractmethod
    def greet(self, connection: Connection) -> None:
        """Says what it says first; raises Refused."""

    @abstractmethod
    def check(self, sound: bytes) -> None:
        """Raises Refused."""

    @abstractmethod
    def tell(self, connection: Connection) -> None:
        """Of one more word."""

    @abstractmethod
    def control(self, connection: Connection, message: dict[str, Any]) -> bool:
        """What a client wants; True: to hang up. Raises Refused."""

    @abstractmethod
    async def refuse(self, connection: Connection, refused: Refused) -> None: ...

    # ------------------------------------------------------------------ a connection

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = {name: request.query.getall(name) for name in request.query}
        refusal = self.refusal(headers, query)
        if refusal is None and self.work.garbage == "html":
            page = "<!doctype html><title>Welcome to the router</title>"
            refusal = web.Response(text=page, content_type="text/html")
        if refusal is not None:
            await asyncio.sleep(self.work.first_ms / 1000)
            seen = Seen(headers, query)
            seen.end("failed")
            self.seen.append(seen)
            await self._news()
            return refusal
        await asyncio.sleep(self.opens_after_ms / 1000)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        connection = Connection(socket, request, headers, query)
        self.connections.append(connection)
        await self._news()
        sending = asyncio.create_task(self._send(connection), name="vendor-send")
        try:
            self.greet(connection)
            await self._listen(connection)
            await self._said_all(connection)
            await socket.close()
        except Refused as refused:
            if connection.stretch:
                connection.stretch.end("failed")
            await self.refuse(connection, refused)
        except (_Gone, ConnectionError):
            pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if connection.stretch:
                connection.stretch.end("closed_by_client")
            for seen in self.seen:
                if seen.headers is headers:
                    seen.end("closed_by_client")
            connection.closed.set()
        return socket

    async def _listen(self, connection: Connection) -> None:
        """Until the client has no more to say, and wants to hear the rest."""
        while True:
            try:
                message = await asyncio.wait_for(connection.socket.receive(), self.patience_s)
            except TimeoutError:
                raise Refused(*self.impatience) from None
            if message.type is WSMsgType.BINARY:
                await self._hear(connection, message.data)
            elif message.type is WSMsgType.TEXT:
                said = json.loads(message.data)
                connection.controls.append(str(said.get("type")))
                await self._news()
                if self.control(connection, said):
                    return
            else:
                raise _Gone

    async def _said_all(self, connection: Connection) -> None:
        said = asyncio.create_task(connection.outbox.join(), name="vendor-said-all")
        gone = asyncio.create_task(connection.socket.receive(), name="vendor-gone")
        try:
            await asyncio.wait({said, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not said.done():
                raise _Gone
        finally:
            for task in (said, gone):
                task.cancel()
            await asyncio.gather(said, gone, return_exceptions=True)

    async def _hear(self, connection: Connection, sound: bytes) -> None:
        self.check(sound)
        if connection.stretch is None:
            connection.stretch = Seen(connection.headers, connection.query)
            self.seen.append(connection.stretch)
            if connection.opened_s < self.work.drops_opened_before_s:
                connection.stretch.end("cut")
                await self._news()
                assert connection.request.transport is not None
                connection.request.transport.abort()
                raise _Gone
        connection.stretch.sound += sound
        await self._news()
        words = [
            (word, connection.before_s + start, connection.before_s + end)
            for word, start, end in self._said_in(bytes(connection.stretch.sound))
        ]
        for count in range(len(connection.words) + 1, len(words) + 1):
            connection.words = words[:count]
            self.tell(connection)

    def _said_in(self, sound: bytes) -> Heard:
        if callable(self.heard):
            return self.heard(sound)
        step_s, length_s = self.word_ms / 1000, len(sound) / 2 / MIC_RATE
        words = re.findall(r"\S+", self.heard)
        spoken = [(word, number * step_s, (number + 1) * step_s) for number, word in enumerate(words)]
        return [word for word in spoken if word[2] <= length_s]

    async def _send(self, connection: Connection) -> None:
        """What there is to say, as `work` says."""
        while True:
            message, stretch, serves = await connection.outbox.get()
            if stretch is not None:
                how, number = self.work, stretch.pieces
                if number == how.hang_after:
                    await asyncio.Event().wait()  # until the connection ends
                if how.cut_after is not None and (number >= how.cut_after or serves):
                    stretch.end("cut")
                    assert connection.request.transport is not None
                    connection.request.transport.abort()
                    return
                await asyncio.sleep((how.each_ms if number else how.first_ms) / 1000)
                if how.garbage == "json":
                    message = message[: len(message) // 2]
            with suppress(ConnectionError):  # gone: `_listen` notices
                await connection.socket.send_str(message)
            if stretch is not None:
                stretch.pieces += 1
                if serves:
                    stretch.end("served")
            connection.outbox.task_done()


class _Gone(Exception):
    """The client closed the connection."""
