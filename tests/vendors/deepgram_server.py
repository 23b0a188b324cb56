"""Deepgram's live recognition on 127.0.0.1, as read in the SDK and in the vendor's documents.

    async with DeepgramServer() as vendor:
        vendor.heard = "i worked on a database"
        ears = plugin("stt", "deepgram").create(vendor.settings())
        ...
        stretch = await vendor.request()         # the first sound that came
        await stretch.ended.wait()
        assert stretch.outcome == "closed_by_client"

A stretch of sound is told as interim Results, word by word, and settled (`is_final`) every `segment_words`
and at a Finalize or CloseStream. What a client does wrong is refused as the vendor does.
"""

from __future__ import annotations

import ssl
import uuid
from typing import Any

from aiohttp import web

from pipeline.settings import DeepgramSettings, Secrets, Settings, SttSettings
from tests.vendors.listening_server import Connection, ListeningServer, Refused

KEY = "dg-very-secret"
QUERY = set(
    "callback callback_method channels detect_entities diarize diarize_model dictation encoding endpointing "
    "extra interim_results keyterm keywords language language_hint mip_opt_out model multichannel numerals "
    "profanity_filter punctuate redact replace sample_rate search smart_format tag utterance_end_ms "
    "vad_events version".split()
)
NOVA_2 = set("en es fr de zh hi ja ko pt ru it nl".split())
LANGUAGES = {"nova-3": {*NOVA_2, "multi"}, "nova-2": NOVA_2}
TERMS = {"nova-3": "keyterm", "nova-2": "keywords"}  # what may be looked out for

ERRORS = {  # status -> (err_code, err_msg)
    400: ("INVALID_QUERY_PARAMETER", "Failed to deserialize query parameters: "),
    401: ("INVALID_AUTH", "Invalid credentials."),
    403: ("INSUFFICIENT_PERMISSIONS", "User does not have permission to use the requested model."),
    404: ("NOT_FOUND", "There is no such route."),
    429: ("TOO_MANY_REQUESTS", "Too many requests. Please try again later."),
    500: ("INTERNAL_SERVER_ERROR", "The server could not process the request."),
}


class DeepgramServer(ListeningServer):
    path = "/v1/listen"
    patience_s: float | None = 10.0
    impatience = (1011, "NET-0001: no audio data or KeepAlive was received within the timeout window")

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.segment_words = 4  # after which it settles what it heard by itself
        self.answers_silence = True  # a Finalize also where there is nothing left to say
        self.settles_again = False  # what fills a segment is told as interim Results first
        self.switches_to = ""  # the language that it finds where it may find any

    def settings(self) -> Settings:
        own = DeepgramSettings(base_url=self.base_url, timeout_s=5)
        return Settings(
            stt=SttSettings(provider="deepgram", deepgram=own), secrets=Secrets(deepgram_api_key=KEY)
        )

    def refusal(self, headers: dict[str, str], query: dict[str, list[str]]) -> web.Response | None:
        if headers.get("authorization") != f"Token {KEY}":
            return self.error(401)
        if wrong := _wrong(query):
            return self.error(400, wrong)
        return None if self.work.status == 200 else self.error(self.work.status)

    def error(self, status: int, more: str = "") -> web.Response:
        code, message = ERRORS[status]
        headers = {"dg-error": message + more, "dg-request-id": str(uuid.uuid4())}
        if status == 429:
            headers["Retry-After"] = str(self.work.retry_after_s)
        body = {"err_code": code, "err_msg": message + more, "request_id": headers["dg-request-id"]}
        return web.json_response(body, status=status, headers=headers)

    def greet(self, connection: Connection) -> None:
        pass  # it says nothing before it hears something

    def check(self, sound: bytes) -> None:
        if len(sound) % 2:
            raise Refused(1008, "DATA-0000: Unable to decode audio data")

    def tell(self, connection: Connection) -> None:
        full = len(connection.words) - connection.told == self.segment_words
        if full and self.settles_again:
            self._results(connection, connection.words[-1][2], settled=False)
        self._results(connection, connection.words[-1][2], settled=full)

    def control(self, connection: Connection, message: dict[str, Any]) -> bool:
        match message.get("type"):
            case "KeepAlive":
                return False
            case "Finalize":
                left = len(connection.words) > connection.told
                if connection.stretch is not None and (left or self.answers_silence):
                    self._results(connection, connection.heard_s, settled=True, from_finalize=True)
                elif connection.stretch is not None:
                    connection.stretch.end("served")
                connection.end_stretch()
                return False
            case "CloseStream":
                if connection.stretch is not None:
                    self._results(connection, connection.heard_s, settled=True, serves=True)
                if self.sums_up:
                    self._metadata(connection)
                connection.end_stretch()
                return True
        wrong = {"type": "Error", "variant": "SchemaError", "description": "Could not parse the message."}
        connection.say(wrong, piece=False)
        return False

    def _results(
        self,
        connection: Connection,
        end_s: float,
        *,
        settled: bool,
        from_finalize: bool = False,
        serves: bool = False,
    ) -> None:
        words = connection.words[connection.told :]
        begin_s = connection.words[connection.told - 1][2] if connection.told else connection.before_s
        alternative: dict[str, Any] = {
            "transcript": " ".join(word for word, _, _ in words),
            "confidence": 0.98 if words else 0.0,
            "words": [_word(*word) for word in words],
        }
        if connection.query.get("language") == ["multi"] and words:
            alternative["languages"] = [self.switches_to or "en"]
        message = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": round(begin_s, 3),
            "duration": round(end_s - begin_s, 3),
            "is_final": settled,
            "speech_final": from_finalize,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": "1",
                "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
                "model_uuid": "1",
            },
        }
        connection.say(message, serves=serves or from_finalize)
        if settled:
            connection.told = len(connection.words)

    def _metadata(self, connection: Connection) -> None:
        message = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": "1",
            "sha256": "0",
            "created": "2026-01-01T00:00:00.000Z",
            "duration": connection.heard_s,
            "channels": 1,
        }
        connection.say(message, piece=connection.stretch is not None)

    async def refuse(self, connection: Connection, refused: Refused) -> None:
        code, words = refused.args
        await connection.socket.close(code=code, message=words.encode())


def _wrong(query: dict[str, list[str]]) -> str:
    """What the vendor would not take."""
    if unknown := set(query) - QUERY:
        return f"unknown field `{sorted(unknown)[0]}`"
    model, language = query.get("model", ["nova-3"])[0], query.get("language", ["en"])[0]
    if model not in LANGUAGES:
        return f"no such model {model}"
    if language not in LANGUAGES[model]:
        return f"No such model/language/tier combination found: {model}, {language}"
    if query.get("encoding") != ["linear16"] or query.get("sample_rate") != ["16000"]:
        return "this server hears linear16 at 16000 Hz"
    if "language_hint" in query and language != "multi":
        return "language_hint is for language=multi"
    other = {"keyterm", "keywords"} - {TERMS[model]}
    if other & set(query):
        return f"{model} knows {TERMS[model]}"
    return ""


def _word(text: str, start_s: float, end_s: float) -> dict[str, Any]:
    return {
        "word": text.strip(".,?!").lower(),
        "punctuated_word": text,
        "start": round(start_s, 3),
        "end": round(end_s, 3),
        "confidence": 0.98,
    }
