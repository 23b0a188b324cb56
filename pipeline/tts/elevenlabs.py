"""A voice at ElevenLabs: streamed over a WebSocket, each character with its time, for captions and mouth.

The vendor's SDK asks for the models; its own way to this WebSocket (`convert_realtime`) is synchronous only
and drops the alignment, so that is spoken here, with the library that the SDK itself uses for it.

    ours      {"text": " ", "voice_settings"}, {"text": "Hello there. "}, {"text": ""}
    theirs    {"audio": base64, "alignment": {"chars", "charStartTimesMs", "charDurationsMs"}}...
              {"isFinal": true}

A connection is for one phrase, and is opened before there is one: while the mind thinks, and while the phrase
before is spoken. Source: https://elevenlabs.io/docs/api-reference/text-to-speech/v-1-text-to-speech-voice-id-stream-input
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import numpy as np

from pipeline import modes
from pipeline.errors import ProviderError
from pipeline.languages import UNSPACED
from pipeline.notices import Spent, tell
from pipeline.providers import Speech, Voice, VoicePhoneme, VoiceStyle, VoiceWord
from pipeline.settings import Language, Settings
from pipeline.tts.letters import Timed, phonemes
from pipeline.tts.onset import Onset
from pipeline.vendor_socket import Vendor, is_lost

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

NAME = "elevenlabs"
RATE = 24_000  # Hz, of "pcm_24000": 16 bit, little endian, mono
VOICE = "Xb7hH8MSUJpSbSDYk0k2"  # Alice, one of the vendor's public voices
VOICE_ID = re.compile(r"[A-Za-z0-9]{16,32}")
SLOWEST, FASTEST = 0.7, 1.2  # times the voice's pace, all that the vendor takes
IDLE_S = 180  # the longest that the vendor lets a connection wait for its text
WAITING = 8  # connections that wait for a phrase, at most
ENGLISH_ONLY = ("eleven_flash_v2", "eleven_turbo_v2", "eleven_monolingual_v1")
UNFORCED = ("eleven_multilingual_v1", "eleven_multilingual_v2")  # take the language from the text alone
CODES = {  # the vendor's word for an error in a message -> ProviderError.code
    "invalid_api_key": "auth",
    "missing_permissions": "auth",
    "quota_exceeded": "forbidden",  # until somebody pays
    "too_many_concurrent_requests": "rate_limited",
    "system_busy": "rate_limited",
    "voice_not_found": "forbidden",
    "voice_does_not_exist": "forbidden",
    "model_not_found": "forbidden",
    "model_access_denied": "forbidden",
    "unsupported_language": "unsupported_language",
}

Key = tuple[str, str]  # a voice's id and a language


def missing(settings: Settings) -> str | None:
    lacks = []
    if not settings.secrets.elevenlabs_api_key:
        lacks.append("set ELEVENLABS_API_KEY")
    if find_spec("elevenlabs") is None or find_spec("websockets") is None:
        lacks.append("pip install 'viva[elevenlabs]'")
    return " and ".join(lacks) or None


def create(settings: Settings) -> Voice:
    return ElevenLabs(settings)


class ElevenLabs:
    """See `pipeline.providers.Voice`. `VoiceStyle.voice`: the id of one; else the persona's own is taken."""

    name = NAME

    def __init__(self, settings: Settings) -> None:
        self._own = settings.tts.elevenlabs
        self.model = self._own.model
        key = settings.secrets.elevenlabs_api_key
        self._key = key.get_secret_value() if key else ""
        address = urlsplit(self._own.base_url)
        hosted = (address.hostname or "").endswith("elevenlabs.io")
        where = "ElevenLabs" if hosted else self._own.base_url
        host = "" if hosted else address.hostname or self._own.base_url
        scheme = {"https": "wss", "http": "ws"}.get(address.scheme, address.scheme)
        self._url = urlunsplit((scheme, address.netloc, address.path.rstrip("/"), "", ""))
        self._vendor = Vendor(
            "tts",
            NAME,
            where,
            self._key,
            "ELEVENLABS_API_KEY",
            self._own.timeout_s,
            {1008: "bad_response"},
            elsewhere=not hosted,
        )
        self.charges = Spent("tts", NAME, self.model, "characters", 0.0, host)
        self.detail = f"{self.model} at {where}"
        self._languages = {"en"} if self.model in ENGLISH_ONLY else set(get_args(Language))
        self._waiting: dict[Key, asyncio.Task[ClientConnection]] = {}  # for a phrase, the newest last
        self._chores: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Asks for the models there are. Raises ProviderError if ours is none of them."""
        await asyncio.to_thread(import_module, "elevenlabs.client")  # 0.4 s, and calls may be going on
        from elevenlabs.client import AsyncElevenLabs
        from elevenlabs.core.api_error import ApiError
        from httpx import AsyncClient, HTTPError, TimeoutException

        async with AsyncClient(timeout=self._own.timeout_s) as http:
            client = AsyncElevenLabs(base_url=self._own.base_url, api_key=self._key, httpx_client=http)
            try:
                models = await client.models.list()
            except ApiError as error:
                if "missing_permissions" in str(error.body):
                    return  # a key may be good for speech and not for this list
                body = error.body if isinstance(error.body, str) else json.dumps(error.body)
                raise self._vendor.refused(error.status_code or 0, body) from None
            except TimeoutException:
                raise self._vendor.silent() from None
            except (HTTPError, OSError) as error:
                raise self._vendor.unreachable(error, self._own.base_url) from None
            except Exception as error:
                raise self._vendor.translated(error) from None
        speaking = {model.model_id: model for model in models if model.can_do_text_to_speech}
        if self.model not in speaking:
            there = ", ".join(sorted(speaking)) or "none"
            raise self._vendor.error(
                "forbidden", f"{self.model} is no model of this key; there is {there} (tts.elevenlabs.model)"
            )
        if told := speaking[self.model].languages:
            self._languages = {language.language_id[:2] for language in told}

    async def close(self) -> None:
        for key in list(self._waiting):
            self._chore(self._drop(self._waiting.pop(key)))
        await asyncio.gather(*self._chores, return_exceptions=True)

    def knows(self, language: str) -> bool:
        return language in self._languages

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        """See `pipeline.providers.Expecting`."""
        self._open_ahead((self._voice(style), language))

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        if not self.knows(language):
            raise self._vendor.error("unsupported_language", f"{self.model} does not speak “{language}”")
        text = re.sub(r"[\0\s]", " ", text)
        if not text.strip():
            return
        key = (self._voice(style), language)
        messages = self._messages(text, style)
        charged = 0
        socket = await self._waited(key)
        waited = socket is not None
        try:
            socket = socket or await self._connect(key)
            charged = len(text)  # what is broken off costs what the whole would
            try:
                said = await self._asked(socket, messages)
            except ProviderError as error:
                if not waited or not is_lost(error):
                    raise
                self._chore(socket.close())
                socket = await self._connect(key)
                said = await self._asked(socket, messages)
            self._open_ahead(key)  # for the next phrase
            phrase = _Phrase(text, language)
            while not said.get("isFinal"):
                if (speech := phrase.push(said)) is not None:
                    yield speech
                said = await self._receive(socket)
        except ProviderError:
            charged = 0
            raise
        except Exception as error:
            raise self._vendor.translated(error) from None
        finally:
            if charged:
                tell(replace(self.charges, amount=charged))
            if socket is not None:
                self._chore(socket.close())  # the next phrase does not wait until the vendor agrees

    def _messages(self, text: str, style: VoiceStyle) -> list[dict[str, Any]]:
        settings = {
            "stability": self._own.stability,
            "similarity_boost": self._own.similarity_boost,
            "speed": min(FASTEST, max(SLOWEST, round(style.rate, 3))),
        }
        return [{"text": " ", "voice_settings": settings}, {"text": text + " "}, {"text": ""}]

    async def _asked(self, socket: ClientConnection, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The first that is said of a phrase. Raises ProviderError."""
        from websockets.exceptions import ConnectionClosed

        try:
            with suppress(ConnectionClosed):  # a refusal is read below
                for message in messages:
                    await socket.send(json.dumps(message))
            return await self._receive(socket)
        except Exception as error:
            raise self._vendor.translated(error) from None

    async def _receive(self, socket: ClientConnection) -> dict[str, Any]:
        async with asyncio.timeout(self._own.timeout_s):
            said = json.loads(await socket.recv())
        if not isinstance(said, dict):
            raise self._vendor.bad_response("something that cannot be read")
        if word := said.get("error"):
            known = str(word) in CODES
            reason = (
                str(said.get("message") or "") if known else ""
            )  # another one may quote what is to be said
            raise self._vendor.told(CODES.get(str(word), "bad_response"), f"says {word}", reason)
        return said

    # ------------------------------------------------------------------ connections

    def _voice(self, style: VoiceStyle) -> str:
        asked = modes.voice_of(style, NAME, self._own.voices)
        if VOICE_ID.fullmatch(asked):
            return asked
        persona = modes.load().personas.get(style.persona)  # who is asked to sound like "alloy"
        return persona.voices[NAME].voice_in(style.mode) if persona and style.mode else VOICE

    async def _waited(self, key: Key) -> ClientConnection | None:
        """A connection that waits for a phrase, or comes about for one; None: there is none in order."""
        from websockets.protocol import State

        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            try:
                socket = await waiting
            except ProviderError:
                pass  # it may be in order again
            except asyncio.CancelledError:
                waiting.cancel()
                self._chore(self._drop(waiting))
                raise
            else:
                if socket.state is State.OPEN:
                    return socket
        return None

    def _open_ahead(self, key: Key) -> None:
        """A connection for the next phrase in that voice, unless one waits."""
        from websockets.protocol import State

        waiting = self._waiting.get(key)
        if waiting is not None:
            if not waiting.done():
                return
            if waiting.exception() is None and waiting.result().state is State.OPEN:
                return
        self._waiting.pop(key, None)
        if len(self._waiting) == WAITING:
            oldest = next(iter(self._waiting))
            self._chore(self._drop(self._waiting.pop(oldest)))
        self._waiting[key] = asyncio.create_task(self._connect(key), name="elevenlabs-connect")

    async def _connect(self, key: Key) -> ClientConnection:
        voice, language = key
        query = {
            "model_id": self.model,
            "output_format": f"pcm_{RATE}",
            "sync_alignment": "true",  # with every block of sound
            "auto_mode": "true",  # whole phrases are sent, so nothing is waited for
            "inactivity_timeout": IDLE_S,
        }
        if self.model not in (*ENGLISH_ONLY, *UNFORCED):
            query["language_code"] = language
        url = f"{self._url}/v1/text-to-speech/{quote(voice)}/stream-input?{urlencode(query)}"
        return await self._vendor.open(url, {"xi-api-key": self._key})

    async def _drop(self, waiting: asyncio.Task[ClientConnection]) -> None:
        waiting.cancel()
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
        if not isinstance(outcome, BaseException):
            await outcome.close()

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.create_task(work, name="elevenlabs-close")
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)


class _Phrase:
    """Blocks of sound, each with the times of its characters, as pieces with marks of the whole phrase."""

    def __init__(self, text: str, language: str) -> None:
        self._text = text
        self._language = language
        self._onset = Onset(RATE)
        self._came = 0  # samples of the blocks before
        self._place = 0  # characters of the text that have their time
        self._rest = b""  # an odd byte
        self._words: list[VoiceWord] = []  # not yet given away
        self._phonemes: list[VoicePhoneme] = []

    def push(self, said: dict[str, Any]) -> Speech | None:
        alignment = _letters(said.get("alignment"))
        self._mark_words(alignment)
        for mnemonic, at_ms, length_ms in phonemes(
            _letters(said.get("normalizedAlignment")) or alignment, self._language
        ):
            self._phonemes.append(VoicePhoneme(self._at(at_ms), round(length_ms * RATE / 1000), mnemonic))
        data = self._rest + base64.b64decode(said.get("audio") or "")
        whole = len(data) // 2 * 2
        self._rest = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
        self._came += len(samples)
        sound = self._onset.push(samples)
        if not len(sound):
            return None
        cut = self._onset.cut
        words = tuple(VoiceWord(max(0, word.at - cut), word.start, word.end) for word in self._words)
        shapes = tuple(
            VoicePhoneme(max(0, each.at - cut), each.length, each.mnemonic) for each in self._phonemes
        )
        self._words, self._phonemes = [], []
        return Speech(sound, RATE, words, shapes)

    def _at(self, ms: float) -> int:
        return self._came + round(ms * RATE / 1000)

    def _mark_words(self, alignment: list[Timed]) -> None:
        for letter, at_ms, _ in alignment:
            place = self._text.find(letter, self._place)
            if not letter.strip() or place < 0 or self._text[self._place : place].strip():
                continue  # a space, or something that we did not say
            self._place = place + len(letter)
            if self._begins_word(place):
                self._words.append(VoiceWord(self._at(at_ms), place, self._word_end(place)))

    def _begins_word(self, place: int) -> bool:
        if self._language in UNSPACED:
            return self._text[place].isalnum()
        return place == 0 or self._text[place - 1].isspace()

    def _word_end(self, place: int) -> int:
        if self._language in UNSPACED:
            return place + 1
        end = self._text.find(" ", place)
        return end if end >= 0 else len(self._text)


def _letters(alignment: Any) -> list[Timed]:
    """The characters of a block with their times in ms; the vendor has written their lengths in two ways."""
    if not isinstance(alignment, dict):
        return []
    lengths = alignment.get("charDurationsMs") or alignment.get("charsDurationsMs") or []
    return list(
        zip(alignment.get("chars") or [], alignment.get("charStartTimesMs") or [], lengths, strict=False)
    )
