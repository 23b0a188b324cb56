"""The server on a port of its own, real but for the three providers, or wholly; and a client to call it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

from pipeline.choice import Chosen
from pipeline.settings import CallSettings, Settings
from server.access.admission import CONNECTIONS
from server.access.connections import Connections
from server.access.guard import Guard
from server.access.listening import Listening
from server.access.tls import Certificate
from server.app import application
from server.config import Config, ServerSettings
from server.engines import Engines
from server.signaling import MediaWorker
from server.transport.ending import begin_nothing_after_close
from tests.realtime_events import Json, check_server_event
from tests.session.call import Ears, Mind, Voice

CALLS = "/v1/realtime/calls"
WITHIN_S = 10.0  # for anything that is to happen on this machine


async def until(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Waits for what no event tells: that something is gone."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def udp_sockets() -> int:
    """Of this process: each ICE agent has some."""
    return len(psutil.Process().net_connections("udp"))


@dataclass
class Served:
    url: str
    port: int
    worker: MediaWorker
    engines: Engines
    http: aiohttp.ClientSession
    key: str = ""  # what callers bring
    connections: Connections | None = None
    certificate: Certificate | None = None

    async def until_idle(self) -> None:
        """Until no call is left."""
        await until(lambda: not self.worker.load().calls)


@asynccontextmanager
async def served(
    *,
    ears: Ears | None = None,
    mind: Mind | None = None,
    voice: Voice | None = None,
    page: Path | None = None,
    settings: Settings | None = None,
    call: Json | None = None,
    embedded: bool = False,
    door: dict[str, Any] | None = None,
    **server: Any,
) -> AsyncIterator[Served]:
    """The server as `python -m server` runs it, on a port of its own.

    Args:
        embedded: with the providers that a machine without any key has, in place of fake ones.
        door: auth, limits, tls, keys, signing of the `Config`.
        server: its ServerSettings.
    """
    chosen = [
        Chosen("stt", "fake", "for a test", ears or Ears([])),
        Chosen("llm", "fake", "for a test", mind or Mind(["Hello there."])),
        Chosen("tts", "fake", "for a test", voice or Voice()),
    ]
    config = Config(
        ServerSettings(port=0, **server),
        CallSettings(**{"mode": "chat", **(call or {})}),
        settings or Settings(),
        None,
        **(door or {}),
    )
    engines = Engines(config.pipeline, () if embedded else chosen)
    worker = MediaWorker(config, engines)
    guard = Guard(config.server.allowed_hosts, config.server.allowed_origins)
    app = application(config, engines, worker, guard, page)
    listening = Listening(app, config, guard)
    engines.start()
    await engines.loaded()
    await engines.parts()
    await worker.take_over()
    try:
        await listening.start()
        async with aiohttp.ClientSession() as http:
            yield Served(
                listening.url,
                listening.port,
                worker,
                engines,
                http,
                connections=app[CONNECTIONS],
                certificate=listening.certificate,
            )
    finally:
        await worker.drain(0)
        await listening.close()
        await engines.close()


@dataclass
class Caller:
    """A client of the Realtime API: a peer connection, its events channel, and what came over it."""

    server: Served
    audio: MediaStreamTrack | str = "audio"
    direction: str = "sendrecv"
    with_events: bool = True
    events: list[Json] = field(default_factory=list)
    shapes: list[Json] = field(default_factory=list)
    location: str = ""
    resume: str = ""  # the token of a conversation that is to go on

    async def connect(self, session: Json | None = None) -> None:
        """Offers, and waits until the connection is there."""
        await self.place(session)
        connected = asyncio.Event()
        self.pc.on("connectionstatechange", lambda: self.pc.connectionState != "connected" or connected.set())
        if self.pc.connectionState != "connected":
            await asyncio.wait_for(connected.wait(), WITHIN_S)

    async def place(self, session: Json | None = None) -> None:
        """Offers, and takes the answer."""
        offer = await self.offer()
        answer = await self.post(offer, session)
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def offer(self) -> str:
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pc.addTransceiver(self.audio, direction=self.direction)
        self.arrived = asyncio.Event()
        if self.with_events:
            self.channel: RTCDataChannel = self.pc.createDataChannel("oai-events")
            self.channel.on("message", self._take)
            self.mouth = self.pc.createDataChannel("viva-visemes", ordered=False, maxRetransmits=0)
            self.mouth.on("message", lambda text: self.shapes.append(json.loads(text)))
        begin_nothing_after_close(self.pc)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return self.pc.localDescription.sdp

    async def post(self, offer: str, session: Json | None = None) -> str:
        url, http = self.server.url + CALLS, self.server.http
        key = {"Authorization": f"Bearer {self.server.key}"} if self.server.key else {}
        if session is None and not self.resume:
            headers = {"Content-Type": "application/sdp"} | key
            request = http.post(url, data=offer.encode(), headers=headers)
        else:
            with aiohttp.MultipartWriter("form-data") as body:
                for name, kind, text in (
                    ("sdp", "application/sdp", offer),
                    ("session", "application/json", json.dumps(session or {})),
                    ("resume", "text/plain", self.resume),
                ):
                    part = body.append(text, {"Content-Type": kind})
                    part.set_content_disposition("form-data", name=name)
            request = http.post(url, data=body, headers=key)
        async with request as response:
            text = await response.text()
            assert response.status == 201, text
            assert response.content_type == "application/sdp"
            self.location = response.headers["Location"]
            return text

    def _take(self, text: str) -> None:
        event = json.loads(text)
        check_server_event(event)
        self.events.append(event)
        self.arrived.set()

    def send(self, type: str, **fields: Any) -> None:
        self.channel.send(json.dumps({"type": type, **fields}))

    async def until(self, type: str, within_s: float = WITHIN_S) -> Json:
        """The first event of that type, now or soon."""
        async with asyncio.timeout(within_s):
            while True:
                for event in self.events:
                    if event["type"] == type:
                        return event
                self.arrived.clear()
                await self.arrived.wait()

    async def close(self) -> None:
        await self.pc.close()


@asynccontextmanager
async def caller(server: Served, **settings: Any) -> AsyncIterator[Caller]:
    session = settings.pop("session", None)
    one = Caller(server, **settings)
    try:
        await one.connect(session)
        yield one
    finally:
        await one.close()
