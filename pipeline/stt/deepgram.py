"""Deepgram's live recognition: words while they are spoken, over a WebSocket.

Each Pause is a Finalize, which is answered by the rest of what was said (`from_finalize`). A connection that
waits says KeepAlive, and is charged for by the sound that it was sent.

The messages are written and read by the SDK's socket client. The socket below it is opened here, see
`pipeline.vendor_socket`; the SDK's own besides puts the request's headers, and so the key, into its errors.
Source: https://developers.deepgram.com/reference/speech-to-text/listen-streaming
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode

from pipeline.audio import MIC_RATE
from pipeline.errors import ProviderError
from pipeline.providers import Recognizer, Word
from pipeline.settings import Language, Settings
from pipeline.stt import live
from pipeline.stt.lines import Piece
from pipeline.vendor_socket import NORMAL, Vendor, websocket_address

if TYPE_CHECKING:
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient
    from websockets.asyncio.client import ClientConnection

NAME = "deepgram"
ADDRESS = "wss://api.deepgram.com"
KEEP_ALIVE_S = 4.0  # without sound it hangs up after 10
ENDPOINT_MS = 300  # of silence, after which what was said before it is settled
ONLY_AMONG_MANY = {"ar"}  # nova-3 has no model of its own for it, but knows it among others
CLOSINGS = {1008: "bad_response", 1011: "unreachable"}  # DATA-0000: no sound; NET-000x: it waited in vain


def missing(settings: Settings) -> str | None:
    return live.missing(NAME, settings.stt.deepgram, settings.secrets.deepgram_api_key)


def create(settings: Settings) -> Recognizer:
    return Deepgram(settings)


class Deepgram(live.Ears):
    """See `pipeline.providers.Recognizer`."""

    def __init__(self, settings: Settings) -> None:
        own = self._own = settings.stt.deepgram
        super().__init__(NAME, "Deepgram", own, settings.secrets.deepgram_api_key, own.model, CLOSINGS)
        self._sdk: Any = None

    def knows(self, language: str) -> bool:
        if self._own.model.startswith("nova-2"):
            return language in get_args(Language) and language not in ONLY_AMONG_MANY
        return language in get_args(Language)

    async def connect(self, language: str, hints: tuple[str, ...]) -> _Line:
        if self._sdk is None:  # 0.3 s
            name = "deepgram.listen.v1.socket_client"
            self._sdk = await asyncio.to_thread(importlib.import_module, name)
        base = websocket_address(self._own.base_url or ADDRESS)
        query = urlencode(self._query(language, hints), doseq=True)
        connection = await self.vendor.open(
            f"{base}/v1/listen?{query}",
            {"Authorization": f"Token {self._key}"} if self._key else {},
        )
        return _Line(self.vendor, connection, self._sdk.AsyncV1SocketClient(websocket=connection))

    def _query(self, language: str, hints: tuple[str, ...]) -> dict[str, Any]:
        """Which model hears which language: https://developers.deepgram.com/docs/models-languages-overview."""
        nova_3 = self._own.model.startswith("nova-3")
        many = nova_3 and (self._own.detect_language or language in ONLY_AMONG_MANY)
        query: dict[str, Any] = {
            "model": self._own.model,
            "language": "multi" if many else language,
            "encoding": "linear16",
            "sample_rate": MIC_RATE,
            "interim_results": "true",
            "punctuate": "true",
            "endpointing": ENDPOINT_MS,
        }
        if many:
            query["language_hint"] = language
        if self._own.mip_opt_out:
            query["mip_opt_out"] = "true"
        if hints:
            query["keyterm" if nova_3 else "keywords"] = list(hints)
        return query


class _Line:
    """See `pipeline.stt.lines.Line`."""

    def __init__(self, vendor: Vendor, connection: ClientConnection, socket: AsyncV1SocketClient) -> None:
        self.sent_ms = 0
        self._vendor = vendor
        self._connection = connection
        self._socket = socket
        self._finished = False
        self._charged_ms = 0
        self._said_at = asyncio.get_running_loop().time()
        self._keeping = asyncio.create_task(self._keep_alive(), name="deepgram-keep-alive")

    @property
    def is_open(self) -> bool:
        return self._connection.close_code is None and not self._finished

    async def send(self, sound: bytes) -> None:
        await self._say(self._socket.send_media(sound))
        self.sent_ms += 1000 * len(sound) // 2 // MIC_RATE

    async def ask(self) -> None:
        await self._say(self._socket.send_finalize())

    async def finish(self) -> None:
        self._finished = True
        await self._say(self._socket.send_close_stream())

    async def _say(self, sending: Any) -> None:
        self._said_at = asyncio.get_running_loop().time()
        try:
            await sending
        except Exception as error:
            raise self._vendor.translated(error) from error

    async def read(self) -> Piece | None:
        while True:
            try:
                message: Any = await self._socket.recv()
                match getattr(message, "type", None):
                    case "Results":
                        return _piece(message)
                    case "Metadata" if self._finished:
                        return None
                    case "Error":
                        raise self._vendor.bad_response(f"an error: {message.variant}")
                    case str():
                        continue  # UtteranceEnd, and what else it may tell of
            except Exception as error:
                if self._finished and self._connection.close_code == NORMAL:
                    return None
                raise self._vendor.translated(error) from error
            raise self._vendor.bad_response("something that cannot be read")

    async def close(self) -> None:
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        await self._connection.close()

    def charged_s(self) -> float:
        charged_ms, self._charged_ms = self.sent_ms - self._charged_ms, self.sent_ms
        return charged_ms / 1000

    async def _keep_alive(self) -> None:
        with contextlib.suppress(ProviderError):  # whoever reads or sends is told
            while True:
                await asyncio.sleep(KEEP_ALIVE_S)
                if asyncio.get_running_loop().time() - self._said_at >= KEEP_ALIVE_S and self.is_open:
                    await self._say(self._socket.send_keep_alive())


def _piece(results: Any) -> Piece:
    """Results come in segments: one is told again and again until it `is_final`, then the next begins."""
    best = results.channel.alternatives[0]
    words = tuple(
        Word(
            word.punctuated_word or word.word,
            round(1000 * word.start),
            round(1000 * word.end),
            min(1.0, max(0.0, word.confidence)),
        )
        for word in best.words
    )
    spoken = [language[:2] for language in best.languages or () if language[:2] in get_args(Language)]
    return Piece(
        best.transcript,
        words,
        math.ceil(1000 * (results.start + results.duration)),
        settled=bool(results.is_final),
        asked_for=bool(results.from_finalize),
        language=spoken[0] if spoken else "",
    )
