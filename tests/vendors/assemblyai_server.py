"""AssemblyAI's streaming recognition on 127.0.0.1, as read in the SDK and in the vendor's documents.

    async with AssemblyAIServer() as vendor:
        vendor.heard = "i worked on a database"
        ears = plugin("stt", "assemblyai").create(vendor.settings())
        ...
        stretch = await vendor.request()         # the first sound that came
        await stretch.ended.wait()
        assert stretch.outcome == "closed_by_client"

A turn is told word by word, the one being spoken as not final; ForceEndpoint and Terminate end it, then it is
told again with stops and capitals. A turn without a word is not told at all. What a client does wrong is told
in an Error and closed with its code, as the vendor does.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from aiohttp import web

from pipeline.audio import MIC_RATE
from pipeline.settings import AssemblyAISettings, Secrets, Settings, SttSettings
from tests.vendors.listening_server import Connection, ListeningServer, Refused

KEY = "aai-very-secret"
QUERY = set(
    "acknowledge_silence agent_context continuous_partials domain encoding end_of_turn_confidence_threshold "
    "filter_profanity format_turns inactivity_timeout include_partial_turns interruption_delay "
    "keyterms_prompt language_codes language_detection max_speakers max_turn_silence "
    "min_turn_silence mode prompt redact_pii redact_pii_policies redact_pii_sub sample_rate "
    "session_heartbeat speaker_labels speaker_labels_revision_interval_ms speech_model token "
    "turn_left_pad_ms vad_threshold voice_focus voice_focus_threshold webhook_url".split()
)
STREAMING = {"universal-streaming-english", "universal-streaming-multilingual"}
MODELS = {*STREAMING, "u3-rt-pro", "universal-3-5-pro", "universal-3-6-pro", "whisper-rt"}

ERRORS = {  # HTTP status -> (close code, words), for a refusal in band
    401: (1008, "Unauthorized Connection: Missing or invalid API key"),
    403: (4002, "Insufficient Funds"),
    404: (3006, "There is no such route"),
    429: (3009, "Too many concurrent sessions"),
    500: (3005, "Server error"),
}


class AssemblyAIServer(ListeningServer):
    path = "/v3/ws"

    def __init__(self) -> None:
        super().__init__()
        self.refuses_in_band = False  # work.status is told over the socket, once it is open

    def settings(self) -> Settings:
        own = AssemblyAISettings(base_url=self.base_url, timeout_s=5)
        return Settings(
            stt=SttSettings(provider="assemblyai", assemblyai=own), secrets=Secrets(assemblyai_api_key=KEY)
        )

    def refusal(self, headers: dict[str, str], query: dict[str, list[str]]) -> web.Response | None:
        if headers.get("authorization") != KEY:
            return self.error(401)
        if self.work.status != 200 and not self.refuses_in_band:
            return self.error(self.work.status)
        return None

    def error(self, status: int) -> web.Response:
        headers = {"Retry-After": str(self.work.retry_after_s)} if status == 429 else {}
        return web.json_response({"error": ERRORS[status][1]}, status=status, headers=headers)

    def greet(self, connection: Connection) -> None:
        if self.work.status != 200:
            raise Refused(*ERRORS[self.work.status])
        if wrong := _wrong(connection.query):
            raise Refused(3006, wrong)
        begin = {"type": "Begin", "id": str(uuid.uuid4()), "expires_at": int(time.time()) + 3 * 3600}
        connection.say(begin)

    def check(self, sound: bytes) -> None:
        length_ms = 1000 * len(sound) / 2 / MIC_RATE
        if not 50 <= length_ms <= 1000:
            words = f"Input Duration Error: {length_ms:g} ms of sound; it has to be between 50 and 1000 ms"
            raise Refused(3007, words)

    def tell(self, connection: Connection) -> None:
        self._turn(connection)

    def control(self, connection: Connection, message: dict[str, Any]) -> bool:
        match message:
            case {"type": "ForceEndpoint"}:
                self._end_turn(connection)
                return False
            case {"type": "KeepAlive"} | {"type": "UpdateConfiguration"}:
                return False
            case {"type": "Terminate"}:
                self._end_turn(connection)
                seconds = round(connection.heard_s)
                message = {"type": "Termination", "audio_duration_seconds": seconds}
                if self.sums_up:
                    connection.say(message | {"session_duration_seconds": seconds})
                return True
        raise Refused(3006, "Invalid message")

    def _end_turn(self, connection: Connection) -> None:
        if connection.words:
            self._turn(connection, over=True)
            if connection.query.get("format_turns", [""])[0].lower() == "true":
                self._turn(connection, over=True, formatted=True)
            connection.order += 1
        elif connection.stretch is not None:
            connection.stretch.end("served")
        connection.end_stretch()

    def _turn(self, connection: Connection, *, over: bool = False, formatted: bool = False) -> None:
        built_in = connection.query["speech_model"][0] not in STREAMING
        formatted = over and (formatted or built_in)
        words = [
            {
                "text": word,
                "start": round(1000 * start_s),
                "end": round(1000 * end_s),
                "confidence": 0.97,
                "word_is_final": over or number < len(connection.words),
            }
            for number, (word, start_s, end_s) in enumerate(connection.words, 1)
        ]
        if formatted:
            first, last = words[0], words[-1]
            first["text"] = str(first["text"])[:1].upper() + str(first["text"])[1:]
            last["text"] = f"{last['text']}."
        final = [str(word["text"]) for word in words if word["word_is_final"]]
        message = {
            "type": "Turn",
            "turn_order": connection.order,
            "turn_is_formatted": formatted,
            "end_of_turn": over,
            "transcript": " ".join(final),
            "end_of_turn_confidence": 1.0 if over else 0.1,
            "words": words,
        }
        connection.say(message, piece=True, serves=formatted)

    async def refuse(self, connection: Connection, refused: Refused) -> None:
        code, words = refused.args
        await connection.socket.send_str(json.dumps({"type": "Error", "error_code": code, "error": words}))
        await connection.socket.close(code=code, message=b"See Error message for details")


def _wrong(query: dict[str, list[str]]) -> str:
    """What the vendor would not take."""
    if unknown := set(query) - QUERY:
        return f"Invalid parameter: {sorted(unknown)[0]}"
    if query.get("speech_model", [""])[0] not in MODELS:
        return "Invalid speech_model"
    if query.get("sample_rate") != [str(MIC_RATE)]:
        return "This server hears 16000 Hz"
    return ""
