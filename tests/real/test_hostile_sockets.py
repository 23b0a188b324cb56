"""WebSockets that say what they like, and a good call beside them that does not miss a frame."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.hostile.events import MESSAGES
from tests.real.aside import Aside, aside
from tests.real.served import Caller
from tests.real.started import started

pytestmark = pytest.mark.real

PATH = "/v1/realtime"
FRAME = 960  # samples, of 20 ms at 48 kHz
LEAST = 100  # frames
FORGIVEN = 25 * FRAME  # left out where the machine itself stood still
ONCE = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Reached:
    """As a `Caller` wants its server."""

    url: str
    http: aiohttp.ClientSession
    key: str = ""


@asynccontextmanager
async def attacked() -> AsyncIterator[Reached]:
    """A server in a process of its own: what these tests do to themselves is no fault of it."""
    settings = {"VIVA_LIMITS__OFFERS_PER_MINUTE": "0", "VIVA_TURNS__NUDGES": "0"}
    async with started(**settings) as server, aiohttp.ClientSession() as http:
        yield Reached(server.url, http)


@pytest.fixture(scope="module")
def beside() -> Iterator[Aside[Reached]]:
    with aside(attacked()) as running:
        yield running


@pytest.fixture(scope="module")
def server(beside: Aside[Reached]) -> Reached:
    return beside.thing


class Listener:
    """A good call: it is talked to, and keeps the timestamps of what it hears."""

    def __init__(self, beside: Aside[Reached]) -> None:
        self._beside = beside
        self._call = Caller(beside.thing)
        self.timestamps: list[int] = []

    def __enter__(self) -> Listener:
        self._beside.run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.run(self._end())

    async def _begin(self) -> None:
        await self._call.connect()
        await self._call.until("session.created")
        self._call.send("session.update", session={})
        await self._call.until("output_audio_buffer.started")
        self._listening = asyncio.create_task(self._listen(), name="listener")

    async def _listen(self) -> None:
        track = self._call.pc.getReceivers()[0].track
        while True:
            frame: Any = await track.recv()
            self.timestamps.append(frame.pts)

    async def _end(self) -> None:
        self._listening.cancel()
        await asyncio.wait({self._listening})
        await self._call.close()

    async def until(self, frames: int) -> None:
        async with asyncio.timeout(10):
            while len(self.timestamps) < frames:  # noqa: ASYNC110
                await asyncio.sleep(FRAME / 48_000)

    def missed(self) -> list[int]:
        """Steps between timestamps that are not one frame's."""
        return [after - before for before, after in pairwise(self.timestamps) if after - before != FRAME]


@pytest.fixture(scope="module")
def listener(beside: Aside[Reached]) -> Iterator[Listener]:
    with Listener(beside) as one:
        yield one
        beside.run(one.until(LEAST))
        assert sum(one.missed()) <= FORGIVEN  # of some seven hundred frames; without load it is none


@pytest.fixture(autouse=True)
def _nothing_is_left(beside: Aside[Reached], listener: Listener) -> Iterator[None]:
    """After each attack there is the listener's call and no other."""
    yield
    beside.run(_until_one_call(beside.thing))


async def _said(url: str, messages: list[str | bytes]) -> list[Any]:
    """What the server answers to all of it; then it is asked for something it can do."""
    answers: list[Any] = []
    async with aiohttp.ClientSession() as http, http.ws_connect(url, protocols=["realtime"]) as line:
        for message in messages:
            if isinstance(message, bytes):
                await line.send_bytes(message)
            else:  # half a surrogate pair goes by no text frame
                await line.send_str(message.encode(errors="replace").decode())
        await line.send_str(json.dumps({"type": "conversation.item.retrieve", "item_id": "nobody"}))
        async with asyncio.timeout(10):
            async for answer in line:
                if answer.type is not aiohttp.WSMsgType.TEXT:
                    break
                answers.append(json.loads(answer.data))
                if answers[-1].get("error", {}).get("code") == "item_not_found":
                    break
    return answers


@ONCE
@given(messages=st.lists(MESSAGES, min_size=10, max_size=60))
def test_a_socket_that_says_what_it_likes_gets_errors_or_a_goodbye(
    server: Reached, messages: list[str | bytes]
) -> None:
    answers = asyncio.run(_said(server.url + PATH, messages))
    assert answers[0]["type"] == "session.created"
    faults = [answer["error"] for answer in answers if answer["type"] == "error"]
    assert "internal_error" not in {fault["code"] for fault in faults}


FRAMES = {
    "unmasked": b"\x81\x02hi",
    "reserved bits": b"\xf1\x80\x00\x00\x00\x00",
    "an opcode that is none": b"\x83\x80\x00\x00\x00\x00",
    "2^63 bytes to come": b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    "16 MiB to come": b"\x81\xff\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + b"x" * 70_000,
    "not UTF-8": b"\x81\x82\x00\x00\x00\x00\xff\xfe",
    "a long ping": b"\x89\xfe\x00\xff\x00\x00\x00\x00" + b"x" * 255,
    "a continuation of nothing": b"\x80\x80\x00\x00\x00\x00",
    "a close with half a code": b"\x88\x81\x00\x00\x00\x00\x03",
    "a close with a code that is none": b"\x88\x82\x00\x00\x00\x00\x00\x05",
    "a fragment, and another beginning": b"\x01\x81\x00\x00\x00\x00a\x81\x81\x00\x00\x00\x00b",
    "HTTP again": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_broken_frame_ends_its_socket_and_nothing_else(server: Reached, name: str) -> None:
    port = URL(server.url).port
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        key = base64.b64encode(os.urandom(16)).decode()
        request = [f"GET {PATH} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket"]
        request += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", "", ""]
        line.sendall("\r\n".join(request).encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 101")
        line.sendall(FRAMES[name])
        with suppress(ConnectionError):  # what it has not read is thrown back
            try:
                line.shutdown(socket.SHUT_WR)
            except OSError as error:  # it has ended the line already
                if error.errno != errno.ENOTCONN:
                    raise
            while line.recv(65_536):
                pass


async def _until_one_call(server: Reached) -> None:
    async with asyncio.timeout(10):
        while True:
            async with server.http.get(f"{server.url}/healthz") as response:
                if (await response.json())["calls"] == 1:
                    return
            await asyncio.sleep(0.02)
