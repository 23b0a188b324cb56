"""ElevenLabs' speech on 127.0.0.1: a WebSocket that takes text and gives sound with alignment; its models.

    async with ElevenLabsServer() as vendor:
        vendor.work.each_ms = 20
        voice = plugin("tts", "elevenlabs").create(vendor.settings())
        ...
        phrase = await vendor.request()          # the first that it was asked to say
        await phrase.ended.wait()
        assert phrase.outcome == "closed_by_client"

As read in the SDK (`elevenlabs.types`: InitializeConnection, SendText, CloseConnection, AudioOutput,
FinalOutput): a client sends a single space with the voice's settings, then texts that end with a space, then
"" for the end; an answer holds a block of sound and the times of its characters, from the block's beginning.
What a client does wrong is told in a message and closed with 1008, as the vendor does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web
from elevenlabs.types import InitializeConnection, RealtimeVoiceSettings, SendText

from pipeline.contract.vendor import Behaviour, Outcome, paced
from pipeline.settings import ElevenLabsSettings, Secrets, Settings, TtsCacheSettings, TtsSettings

KEY = "xi-very-secret"
RATES = {f"pcm_{rate}": rate for rate in (8000, 16_000, 22_050, 24_000, 44_100, 48_000)}  # Hz
QUERY = {"model_id", "output_format", "language_code", "sync_alignment", "auto_mode", "inactivity_timeout"}
SETTINGS, FIRST, TEXT = (
    set(type_.model_fields) for type_ in (RealtimeVoiceSettings, InitializeConnection, SendText)
)
ENGLISH = {"eleven_flash_v2"}

ERRORS = {  # HTTP status -> (status, message) of `detail`; the same two stand in a message over the socket
    401: ("invalid_api_key", "Invalid API key"),
    403: ("model_access_denied", "You do not have access to this model."),
    404: ("voice_not_found", "A voice with voice_id {voice} was not found."),
    429: ("too_many_concurrent_requests", "Too many concurrent requests. Your plan allows 3."),
    500: ("internal_server_error", "An unexpected error happened."),
}


@dataclass
class Seen:
    """One phrase as it was asked for, and what became of it."""

    headers: dict[str, str]  # names in lower case
    voice: str  # id, of the path
    query: dict[str, str]
    voice_settings: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    connection: int = 0  # over which of all that were opened
    opened_s: float = 0.0  # when that was, `time.monotonic`
    pieces: int = 0  # of the answer sent so far
    outcome: Outcome = "open"
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ElevenLabsServer:
    """A server on a free port of 127.0.0.1; everything about it can be changed while it runs."""

    def __init__(self) -> None:
        self.work = Behaviour()  # of a phrase
        self.models = Behaviour()
        self.refuses_in_band = False  # work.status is told over the socket, as the vendor mostly does
        self.aligned = True
        # pcm: 16 bit at the rate asked for, 0.5 s at 24 kHz; or what makes it from the text
        self.sound: bytes | Callable[[str], bytes] = b"\x00\x10\x00\xf0" * 6000
        self.block_bytes = 4800
        self.voices: set[str] | None = None  # ids that there are; None: all
        self.seen: list[Seen] = []
        self.asked_for_models = 0
        self.base_url = ""
        self.opened = 0  # connections
        self._waiting: set[asyncio.Transport] = set()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> ElevenLabsServer:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/text-to-speech/{voice}/stream-input", self._speak)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def settings(self) -> Settings:
        own = ElevenLabsSettings(base_url=self.base_url, timeout_s=5)
        tts = TtsSettings(provider="elevenlabs", elevenlabs=own, cache=TtsCacheSettings(mib=0))
        return Settings(tts=tts, secrets=Secrets(elevenlabs_api_key=KEY))

    @property
    def waiting(self) -> int:
        """Connections without a text so far."""
        return len(self._waiting)

    async def request(self, number: int = 0) -> Seen:
        """The `number`-th phrase, as soon as it has arrived."""
        await self.until(lambda: len(self.seen) > number)
        return self.seen[number]

    async def drop_waiting(self) -> None:
        """Breaks the connections that wait for a text, as a network does, and returns when they are gone."""
        for transport in self._waiting:
            transport.abort()
        await self.until(lambda: self.waiting == 0)

    async def until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    # ------------------------------------------------------------------ routes

    async def _models(self, request: web.Request) -> web.StreamResponse:
        self.asked_for_models += 1
        if request.headers.get("xi-api-key") != KEY:
            return _error(401)
        if self.models.status != 200:
            return _error(self.models.status)
        return web.json_response(
            [_model("eleven_flash_v2_5", "en", "de", "ja"), _model("eleven_flash_v2", "en")]
        )

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(headers, request.match_info["voice"], dict(request.query))
        in_band = self.work.status if self.refuses_in_band else 200
        status = 401 if headers.get("xi-api-key") != KEY else 200 if in_band != 200 else self.work.status
        if status != 200 or self.work.garbage == "html":
            seen.outcome = "failed"
            await self._note(seen)
            seen.ended.set()
            page = "<!doctype html><title>Welcome to the router</title>"
            return (
                _error(status, seen.voice, self.work.retry_after_s)
                if status != 200
                else web.Response(text=page, content_type="text/html")
            )
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self.opened += 1
        seen.connection, seen.opened_s = self.opened, time.monotonic()
        try:
            if in_band != 200:
                raise _Refused(*ERRORS[in_band])
            await self._phrase(socket, seen, request.transport)
            if seen.outcome == "cut":
                assert request.transport is not None
                request.transport.abort()
        except _Refused as refused:
            seen.outcome = "failed"
            if seen not in self.seen:
                await self._note(seen)
            status_, message = refused.args
            message = message.format(voice=seen.voice)
            await socket.send_json({"message": message, "error": status_, "code": 1008})
            await socket.close(code=1008, message=message.encode())
        except _Gone:
            if seen.outcome == "open":
                seen.outcome = "closed_by_client"
        except (asyncio.CancelledError, ConnectionError):
            seen.outcome = "closed_by_client"
            raise
        finally:
            seen.ended.set()
        return socket

    async def _phrase(
        self, socket: web.WebSocketResponse, seen: Seen, line: asyncio.Transport | None
    ) -> None:
        """What a client says over one connection, and the answer."""
        if unknown := set(seen.query) - QUERY:
            raise _Refused("invalid_parameters", f"Unknown parameters: {', '.join(sorted(unknown))}")
        rate = RATES.get(seen.query.get("output_format", ""))
        if rate is None:
            raise _Refused("output_format_not_allowed", "This server gives pcm only.")
        model, language = seen.query.get("model_id", ""), seen.query.get("language_code", "en")
        if model in ENGLISH and language != "en":
            raise _Refused("unsupported_language", f"Model '{model}' does not support '{language}'.")
        if self.voices is not None and seen.voice not in self.voices:
            raise _Refused(*ERRORS[404])
        assert line is not None
        await self._wait(line, waits=True)
        try:
            first = await _said(socket)
        finally:
            await self._wait(line, waits=False)
        if first.get("text") != " " or set(first) - FIRST:
            raise _Refused("invalid_message", "The first message is a single space with the settings.")
        seen.voice_settings = first.get("voice_settings") or {}
        if set(seen.voice_settings) - SETTINGS or not 0.7 <= seen.voice_settings.get("speed", 1.0) <= 1.2:
            raise _Refused("invalid_voice_settings", "The speed is between 0.7 and 1.2.")
        while (said := await _said(socket)).get("text"):
            if set(said) - TEXT or not said["text"].endswith(" "):
                raise _Refused("invalid_message", "A text ends with a space.")
            seen.text += said["text"]
        await self._note(seen)
        if seen.opened_s < self.work.drops_opened_before_s:
            seen.outcome = "cut"
            line.abort()
            return
        await self._answer(socket, seen, rate)

    async def _answer(self, socket: web.WebSocketResponse, seen: Seen, rate: int) -> None:
        sound = self.sound(seen.text) if callable(self.sound) else self.sound
        messages = [json.dumps(message) for message in self._blocks(seen.text, sound, rate)]
        if self.work.garbage == "json":
            messages = ['{"audio": [']
        gone = asyncio.create_task(_until_gone(socket), name="elevenlabs-server-gone")
        sending = asyncio.create_task(self._send(socket, seen, messages), name="elevenlabs-server-send")
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise _Gone
            await sending
        finally:
            for task in (gone, sending):
                task.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)

    async def _send(self, socket: web.WebSocketResponse, seen: Seen, messages: Sequence[str]) -> None:
        try:
            async for message in paced(self.work, messages):
                await socket.send_str(message.decode())
                seen.pieces += 1
        except ConnectionError:
            raise _Gone from None
        if self.work.cut_after is not None:
            seen.outcome = "cut"
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
            return
        await socket.send_json({"audio": None, "isFinal": True})
        seen.outcome = "served"
        await socket.close()

    def _blocks(self, text: str, sound: bytes, rate: int) -> list[dict[str, Any]]:
        """The sound in blocks; the characters spread over it, each with the block in which it begins."""
        each_ms = len(sound) / 2 / rate * 1000 / max(1, len(text))
        blocks: list[dict[str, Any]] = []
        for at in range(0, len(sound), self.block_bytes):
            block = sound[at : at + self.block_bytes]
            begin_ms, end_ms = at / 2 / rate * 1000, (at + len(block)) / 2 / rate * 1000
            inside = [number for number in range(len(text)) if begin_ms <= number * each_ms < end_ms]
            alignment = {
                "chars": [text[number] for number in inside],
                "charStartTimesMs": [round(number * each_ms - begin_ms) for number in inside],
                "charDurationsMs": [round(each_ms)] * len(inside),
            }
            told = alignment if self.aligned and inside else None
            blocks.append(
                {
                    "audio": base64.b64encode(block).decode(),
                    "isFinal": None,
                    "alignment": told,
                    "normalizedAlignment": told,
                }
            )
        return blocks

    # ------------------------------------------------------------------ what is noted

    async def _note(self, seen: Seen) -> None:
        async with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()

    async def _wait(self, line: asyncio.Transport, *, waits: bool) -> None:
        async with self._changed:
            (self._waiting.add if waits else self._waiting.discard)(line)
            self._changed.notify_all()


class _Refused(Exception):
    """The client did something wrong: (the vendor's word for it, a sentence)."""


class _Gone(Exception):
    """The client closed the connection."""


async def _said(socket: web.WebSocketResponse) -> dict[str, Any]:
    message = await socket.receive()
    if message.type is not WSMsgType.TEXT:
        raise _Gone
    said: dict[str, Any] = json.loads(message.data)
    return said


async def _until_gone(socket: web.WebSocketResponse) -> None:
    message = await socket.receive()
    assert message.type is not WSMsgType.TEXT, "nothing is said after the end"


def _model(name: str, *languages: str) -> dict[str, Any]:
    return {
        "model_id": name,
        "name": name,
        "can_do_text_to_speech": True,
        "languages": [{"language_id": language, "name": language} for language in languages],
    }


def _error(status: int, voice: str = "", retry_after_s: int = 20) -> web.Response:
    word, message = ERRORS[status]
    headers = {"Retry-After": str(retry_after_s)} if status == 429 else {}
    detail = {"status": word, "message": message.format(voice=voice)}
    return web.json_response({"detail": detail}, status=status, headers=headers)
