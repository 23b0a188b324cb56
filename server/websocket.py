"""A line over a WebSocket: the same session without WebRTC, its sound in events.

Sound comes in as `input_audio_buffer.append` at whatever pace (`server.intake`), and goes out as
`response.output_audio.delta` as soon as it is there, up to the 3 s that a voice writes ahead. What is heard
of it is counted in real time from the moment it was sent, as if it were played without a delay: a client
plays later, never sooner, and tells by `conversation.item.truncate` if it stopped sooner. At
`input_audio_buffer.speech_started` it has to throw away what it has not played.

Back-pressure both ways: a socket whose sound waits is read no further, and a client that does not read its
events is cut off. Whatever belongs to a media stream (`output_audio_buffer.*`) is not said here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections import deque
from typing import Any

from pipeline import events as ev
from pipeline.audio import CHUNK_MS, MIC_RATE, VOICE_CHUNK, VOICE_RATE, AudioChunk
from pipeline.errors import CallError
from pipeline.items import new_id
from server.access.limits import Flow
from server.call import Call
from server.config import ServerSettings
from server.intake import Intake
from server.wire.sound_formats import SoundIn, SoundOut
from server.workers import Socket

log = logging.getLogger(__name__)

TICK_S = CHUNK_MS / 1000
CATCH_UP_S = 0.1  # of a loop that stood still; what is missing beyond that is left out
DELTA = VOICE_RATE * 200 // 1000  # samples in one event at most
MOST_UNSENT = 2 * 1024 * 1024  # bytes; 3 s of sound ahead have 200 kB
GOODBYE_S = 1.0  # for what is still to be sent when the line is closed

APPEND = '"input_audio_buffer.append"'
COMMIT = "input_audio_buffer.commit"
CLEAR = "input_audio_buffer.clear"
# What is about the sound that goes out does not wait for sound that comes in.
AT_ONCE = frozenset(
    (CLEAR, "response.cancel", "output_audio_buffer.clear", "conversation.item.truncate", "viva.think")
)

NORMAL, POLICY, FAILED = 1000, 1008, 1011  # RFC 6455 §7.4.1


class SocketLine:
    """A `server.line.Line`.

    Args:
        call: what it carries.
        socket: accepted.
        silence_after_ms: so long after a message was due, the call is fed silence.
    """

    kind = "websocket"

    def __init__(
        self, call: Call, socket: Socket, settings: ServerSettings, *, silence_after_ms: int = 100
    ) -> None:
        self.closed = asyncio.Event()  # nothing of it is left
        self._call = call
        self._socket = socket
        self._greet_after_s = settings.greet_after_s
        self._clock = asyncio.get_running_loop().time
        self._intake = Intake(silence_after_ms / 1000, self._clock())
        self._room = asyncio.Event()  # in the intake
        self._sound_in: SoundIn | None = None
        self._sound_out: SoundOut | None = None
        self._speaking: tuple[str, str, int] | None = None  # whose sound is being sent
        self._heard = 0  # samples at MIC_RATE
        self._unsent: deque[str] = deque()
        self._unsent_bytes = 0
        self._to_send = asyncio.Event()
        self._over = asyncio.Event()
        self._why, self._code = "", NORMAL

    # ------------------------------------------------------------ life

    async def run(self) -> str:
        """Returns why the line is over; then nothing of it is left."""
        try:
            self._call.connected(self)
            self._call.opened(self)
            writing = asyncio.create_task(self._write(), name=f"write {self._call.id}")
            others = [
                asyncio.create_task(self._read(), name=f"read {self._call.id}"),
                asyncio.create_task(self._tick(), name=f"tick {self._call.id}"),
                asyncio.create_task(self._greet_in_time(), name=f"greet {self._call.id}"),
            ]
            for task in (writing, *others[:2]):
                task.add_done_callback(self._ended)
            try:
                await self._over.wait()
                await _stop(others)
                if self._code == NORMAL:
                    await asyncio.wait({writing}, timeout=GOODBYE_S)  # ends when all is sent
            finally:
                # Not before the socket is closed: aiohttp lets all who wait for room share one future.
                await self._socket.close(self._code, self._why)
                await _stop([writing, *others])
        finally:
            self.closed.set()
        return self._why

    def close(self, why: str, code: int = NORMAL) -> None:
        """Ends the line; `run` returns soon after."""
        if not self._over.is_set():
            self._why, self._code = why, code
            self._over.set()
            self._to_send.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())
        self.close("something failed on the server", FAILED)  # else it is closed already

    async def _greet_in_time(self) -> None:
        """Greets a client that does not say when it is ready."""
        await asyncio.sleep(self._greet_after_s)
        self._call.session.greet()

    # ------------------------------------------------------------ in

    async def _read(self) -> None:
        flow = Flow(self._call.limits, self._clock())
        while True:
            while self._intake.full:
                self._room.clear()
                await self._room.wait()
            text = await self._socket.receive()
            if text is None:
                if self._socket.hung_up:
                    self._call.hang_up("the client hung up")
                self.close("the other side closed the connection")
                return
            self._take(text)
            await asyncio.sleep(flow.spend(len(text), self._clock()))

    def _take(self, text: str) -> None:
        """What is about sound waits for the sound that came before it, and what follows for that."""
        if APPEND not in text:
            kind = _type_of(text)
            waits = kind == COMMIT and self._intake.sound_waits
            if (waits or self._intake.events_wait) and kind not in AT_ONCE:
                self._intake.wait(text)
                return
            if kind == CLEAR:
                self._intake.clear()
        self._call.handle(self, text)

    def append(self, event: dict[str, Any], format: str) -> None:
        """Sound of the client's, base64. Raises CallError."""
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise CallError("invalid_type", "audio is to be a string, base64", "audio")
        try:
            data = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise CallError("invalid_value", "audio is not base64", "audio") from None
        if self._sound_in is None or self._sound_in.type != format:
            self._sound_in = SoundIn(format)
        self._intake.append(self._sound_in.push(data), self._clock())

    # ------------------------------------------------------------ the clock

    async def _tick(self) -> None:
        """Every 20 ms: what is due is heard, and 20 ms of the voice pass."""
        due_s = self._clock()
        while True:
            now_s = self._clock()
            if now_s - due_s > CATCH_UP_S:
                due_s = now_s
            self._hear(now_s)
            self._speak()
            self._call.read(self, VOICE_CHUNK)
            due_s += TICK_S
            await asyncio.sleep(max(0.0, due_s - self._clock()))

    def _hear(self, now_s: float) -> None:
        session = self._call.session
        for piece in self._intake.due(now_s, lambda: session.may_hurry):
            if isinstance(piece, str):
                self._call.handle(self, piece)
            else:
                self._call.hear(self, AudioChunk(piece, MIC_RATE, self._heard))
                self._heard += len(piece)
        if not self._intake.full:
            self._room.set()

    # ------------------------------------------------------------ out

    def _speak(self) -> None:
        ahead = self._call.ahead(self)
        if ahead is None:
            return
        speaking = (ahead.response_id, ahead.item_id, ahead.output_index)
        if self._sound_out is None or self._speaking != speaking:
            self._speaking = speaking
            self._sound_out = SoundOut(self._call.output_format)
        for start in range(0, len(ahead.samples), DELTA):
            self._send_sound(self._sound_out.push(ahead.samples[start : start + DELTA]))

    def _send_sound(self, data: bytes) -> None:
        if self._speaking is None or not data:
            return
        response_id, item_id, index = self._speaking
        self._put(
            {
                "type": "response.output_audio.delta",
                "event_id": new_id("event"),
                "response_id": response_id,
                "item_id": item_id,
                "output_index": index,
                "content_index": 0,
                "delta": base64.b64encode(data).decode(),
            }
        )

    def send(self, event: dict[str, Any]) -> None:
        """A client whose events pile up is cut off."""
        kind = event["type"]
        if kind.startswith("output_audio_buffer."):
            return
        if kind == "response.output_audio.done" and self._sound_out is not None:
            self._send_sound(self._sound_out.flush())
            self._sound_out = self._speaking = None
        self._put(event)

    def _put(self, event: dict[str, Any]) -> None:
        if self._over.is_set():
            return
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        self._unsent.append(text)
        self._unsent_bytes += len(text)
        if self._unsent_bytes > MOST_UNSENT:
            self.close("the client does not read its events", POLICY)
        self._to_send.set()

    async def _write(self) -> None:
        while self._unsent or not self._over.is_set():
            if not self._unsent:
                self._to_send.clear()
                await self._to_send.wait()
                continue
            text = self._unsent.popleft()
            try:
                await self._socket.send(text)
            except ConnectionError:
                self.close("the other side closed the connection")
                return
            self._unsent_bytes -= len(text)

    def show_mouth(self, shapes: ev.Shapes) -> None:
        """Here a mouth is moved by the sound itself: its time is not known on this side."""


def _type_of(text: str) -> Any:
    """Of an event; None where it is none, which will be said to its sender in its turn."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return event.get("type") if isinstance(event, dict) else None


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
