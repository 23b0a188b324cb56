"""A client of the Realtime API over a WebSocket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np

from pipeline.audio import MIC_RATE, Resampler
from tests.real.served import WITHIN_S, Served
from tests.realtime_events import Json, check_server_event

SOCKET = "/v1/realtime"


class Talker:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.events: list[Json] = []
        self.close_code: int | None = None
        self.read = asyncio.create_task(self._read(), name="talker")
        self._arrived = asyncio.Event()

    async def _read(self) -> None:
        async for message in self.socket:
            event = json.loads(message.data)
            check_server_event(event)
            self.events.append(event)
            self._arrived.set()
        self.close_code = self.socket.close_code

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send_str(json.dumps({"type": type, **fields}))

    async def append(self, sound: np.ndarray) -> None:
        """int16 at MIC_RATE, in one event."""
        await self.send_sound(pcm(sound))

    async def send_sound(self, data: bytes, times: int = 1) -> None:
        """As it is in the format of the session."""
        audio = base64.b64encode(data).decode()
        for _ in range(times):
            await self.send("input_audio_buffer.append", audio=audio)

    async def stream(self, sound: np.ndarray, message_ms: int = 100) -> None:
        """The same, as a microphone would."""
        step, loop = MIC_RATE * message_ms // 1000, asyncio.get_running_loop()
        start = loop.time()
        for number, at in enumerate(range(0, len(sound), step)):
            await asyncio.sleep(max(0.0, start + number * message_ms / 1000 - loop.time()))
            await self.append(sound[at : at + step])

    async def until(self, type: str, within_s: float = WITHIN_S, *, after: int = 0) -> Json:
        """The first event of that type behind the first `after` ones, now or soon."""
        async with asyncio.timeout(within_s):
            while True:
                for event in self.events[after:]:
                    if event["type"] == type:
                        return event
                self._arrived.clear()
                await self._arrived.wait()

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def sound(self) -> bytes:
        """All that was to be played."""
        return b"".join(
            base64.b64decode(event["delta"])
            for event in self.events
            if event["type"] == "response.output_audio.delta"
        )


def pcm(sound: np.ndarray) -> bytes:
    """int16 at MIC_RATE as the protocol's 24 kHz."""
    resampler = Resampler(MIC_RATE, 24_000)
    return np.concatenate([resampler.push(sound), resampler.flush()]).astype("<i2").tobytes()


@asynccontextmanager
async def talker(
    server: Served, *protocols: str, query: str = "?model=viva", goodbye: int = 1000
) -> AsyncIterator[Talker]:
    url = server.url.replace("http", "ws", 1) + SOCKET + query
    async with server.http.ws_connect(url, protocols=("realtime", *protocols)) as socket:
        one = Talker(socket)
        try:
            yield one
        finally:
            await socket.close(code=goodbye)
            await asyncio.wait({one.read})
