"""AssemblyAI's streaming recognition, third version: words while they are spoken, over a WebSocket.

A Pause is a ForceEndpoint: it ends the turn, which is told once more with its stops and capitals. Sound goes
in pieces of 50 ms at least; what is left at a Pause is made up to that with silence. A connection is charged
for by the time that it is open, also between two utterances (of that only what a further utterance follows is
told to a call).

The messages are the SDK's. Its client, also the asynchronous one, is not used: it swallows what it cannot
read and then waits for ever, keeps a Retry-After to itself, and see `pipeline.vendor_socket`.
Source: https://www.assemblyai.com/docs/streaming/universal-streaming/message-sequence
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
from bisect import bisect
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
    from websockets.asyncio.client import ClientConnection

NAME = "assemblyai"
ADDRESS = "wss://streaming.assemblyai.com"
VERSION = "2025-05-12"  # of the protocol
BYTES_PER_MS = 2 * MIC_RATE // 1000
LEAST, MOST = 50 * BYTES_PER_MS, 1000 * BYTES_PER_MS  # of sound in a message
LONGEST_TERM = 50  # characters
SIX = ("en", "es", "fr", "de", "it", "pt")
TWELVE = (*SIX, "nl", "hi", "ar", "ja", "zh")
KNOWS = {  # https://www.assemblyai.com/docs/faq/language-support-for-real-time-transcription; others: try
    "": SIX,
    "universal-streaming-english": ("en",),
    "universal-streaming-multilingual": SIX,
    "u3-rt-pro": SIX,
    "universal-3-5-pro": TWELVE,
}
CLOSINGS = {
    1008: "auth",
    3005: "bad_response",
    3009: "rate_limited",  # too many sessions at once
    4001: "auth",
    4002: "forbidden",  # no money left
    4003: "forbidden",
    4029: "rate_limited",
    4102: "rate_limited",
}


def missing(settings: Settings) -> str | None:
    return live.missing(NAME, settings.stt.assemblyai, settings.secrets.assemblyai_api_key)


def to_know(settings: Settings, language: str) -> str | None:
    """The model that knows the language, where it is not the one that is set."""
    if language not in TWELVE:
        return None
    model = (
        ""
        if language in KNOWS.get(settings.stt.assemblyai.model, get_args(Language))
        else "universal-3-5-pro"
    )
    lacks = [missing(settings), model and f'set stt.assemblyai.model = "{model}"']
    return " and ".join(filter(None, lacks)) or None


def create(settings: Settings) -> Recognizer:
    return AssemblyAI(settings)


class AssemblyAI(live.Ears):
    """See `pipeline.providers.Recognizer`."""

    def __init__(self, settings: Settings) -> None:
        own = self._own = settings.stt.assemblyai
        model = own.model or "universal-streaming"
        super().__init__(NAME, "AssemblyAI", own, settings.secrets.assemblyai_api_key, model, CLOSINGS)
        self._sdk: Any = None

    def knows(self, language: str) -> bool:
        return language in KNOWS.get(self._own.model, get_args(Language))

    async def connect(self, language: str, hints: tuple[str, ...]) -> _Line:
        if self._sdk is None:  # 0.4 s
            self._sdk = await asyncio.to_thread(importlib.import_module, "assemblyai.streaming.v3.models")
        base = websocket_address(self._own.base_url or ADDRESS)
        connection = await self.vendor.open(
            f"{base}/v3/ws?{urlencode(self._query(language, hints))}",
            {"Authorization": self._key, "AssemblyAI-Version": VERSION},
        )
        line = _Line(self.vendor, connection, self._sdk)
        try:
            async with asyncio.timeout(self._own.timeout_s):
                await line.begin()
        except BaseException as error:
            await line.close()
            raise (self.vendor.silent() if isinstance(error, TimeoutError) else error) from None
        return line

    def _query(self, language: str, hints: tuple[str, ...]) -> dict[str, Any]:
        model = self._own.model
        if not model:
            model = f"universal-streaming-{'english' if language == 'en' else 'multilingual'}"
        query: dict[str, Any] = {"sample_rate": MIC_RATE, "encoding": "pcm_s16le", "speech_model": model}
        if model.startswith("universal-streaming"):
            query["format_turns"] = "true"  # the others always do
        else:
            query |= {"language_codes": json.dumps([language]), "continuous_partials": "true"}
        if terms := [hint for hint in hints if len(hint) <= LONGEST_TERM]:
            query["keyterms_prompt"] = json.dumps(terms)
        return query


class _Line:
    """See `pipeline.stt.lines.Line`.

    Args:
        models: the SDK's messages.
    """

    def __init__(self, vendor: Vendor, connection: ClientConnection, models: Any) -> None:
        self.sent_ms = 0  # what is held back included, what was made up not
        self._vendor = vendor
        self._connection = connection
        self._models = models
        self._held = bytearray()
        # Where on the wire silence was made up, and how much by then, in ms.
        self._made_up_at: list[int] = []
        self._made_up: list[int] = []
        self._finished = False
        self._charged_at = asyncio.get_running_loop().time()

    @property
    def is_open(self) -> bool:
        return self._connection.close_code is None and not self._finished

    async def begin(self) -> None:
        if (message := await self._receive()) is None or message.get("type") != "Begin":
            raise self._vendor.bad_response("something that cannot be read")

    async def send(self, sound: bytes) -> None:
        self._held += sound
        self.sent_ms += len(sound) // BYTES_PER_MS
        while len(self._held) >= LEAST:
            piece = bytes(self._held[:MOST])
            del self._held[:MOST]
            await self._send(piece)

    async def ask(self) -> None:
        await self._send_rest()
        await self._say(self._models.ForceEndpoint())

    async def finish(self) -> None:
        await self._send_rest()
        self._finished = True
        await self._say(self._models.TerminateSession())

    async def _send_rest(self) -> None:
        if not self._held:
            return
        rest = bytes(self._held)
        self._held.clear()
        before = self._made_up[-1] if self._made_up else 0
        self._made_up_at.append(self.sent_ms + before)
        self._made_up.append(before + (LEAST - len(rest)) // BYTES_PER_MS)
        await self._send(rest.ljust(LEAST, b"\0"))

    async def _say(self, message: Any) -> None:
        await self._send(message.model_dump_json())

    async def _send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except Exception as error:
            raise self._vendor.translated(error) from error

    async def read(self) -> Piece | None:
        while (message := await self._receive()) is not None:
            match message.get("type"):
                case "Turn":
                    try:
                        return self._piece(self._models.TurnEvent.model_validate(message))
                    except ValueError:
                        raise self._vendor.bad_response("a turn that cannot be read") from None
                case "Termination":
                    return None
                case str():
                    continue
            raise self._vendor.bad_response("something that cannot be read")
        return None

    async def _receive(self) -> dict[str, Any] | None:
        """The next message; None: it hung up, as it was told to."""
        try:
            message = json.loads(await self._connection.recv())
        except Exception as error:
            if self._finished and self._connection.close_code == NORMAL:
                return None
            raise self._vendor.translated(error) from error
        if not isinstance(message, dict):
            raise self._vendor.bad_response("something that cannot be read")
        if message.get("type") == "Error" or "error" in message:
            raise self._vendor.closed(message.get("error_code"), str(message.get("error")))
        return message

    def _piece(self, turn: Any) -> Piece:
        words = tuple(
            Word(
                word.text,
                self._spoken_at(word.start),
                self._spoken_at(word.end),
                min(1.0, max(0.0, word.confidence)),
            )
            for word in turn.words
        )
        over = turn.end_of_turn and turn.turn_is_formatted
        # Before the turn is over, its text lacks the word that is being spoken.
        speaking = [word.text for word in turn.words if not word.word_is_final]
        text = turn.transcript if turn.end_of_turn else " ".join([turn.transcript, *speaking])
        until_ms = words[-1].end_ms if words else self.sent_ms
        return Piece(text, words, until_ms, settled=over, asked_for=over)

    def _spoken_at(self, ms: int) -> int:
        """A time on the wire, without the silence that was made up before it."""
        made_up = bisect(self._made_up_at, ms)
        return ms - self._made_up[made_up - 1] if made_up else ms

    async def close(self) -> None:
        if self.is_open:  # so that it does not wait for more, and charge for that
            with contextlib.suppress(ProviderError):
                await self._say(self._models.TerminateSession())
        await self._connection.close()

    def charged_s(self) -> float:
        now = asyncio.get_running_loop().time()
        charged_s, self._charged_at = now - self._charged_at, now
        return charged_s
