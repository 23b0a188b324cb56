"""A call on virtual time with a person who reacts: what they say, and what the recogniser may know of it.

Real: gate, Silero, floor, patience, playout, session. Made: the sound in the microphone (flite), the
recogniser (it knows the words that have been spoken at each pause, and no more), the mind, the voice.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.instep import InStep
from pipeline import events as ev
from pipeline.audio import MIC_CHUNK, MIC_RATE, VOICE_CHUNK, VOICE_RATE, AudioChunk, Resampler
from pipeline.providers import (
    Message,
    Note,
    Pause,
    ReplyOptions,
    Speech,
    Token,
    Transcript,
    Usage,
    VoiceStyle,
    VoiceWord,
    Word,
)
from pipeline.session import Parts, Session
from pipeline.settings import CallSettings, Settings
from pipeline.silero import SileroModel
from tests import virtual
from tests.sounds import ms, speech

SILENCE_DB = -100.0
LEAST_MS = 60  # of sound left of a word for it still to be recognised


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word in the microphone."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Seen:
    at_ms: int
    event: Any  # one of pipeline.events


@dataclass
class Models:
    """How the made parts behave. Times in ms."""

    recognise_ms: float = 60
    first_token_ms: float = 0
    token_ms: float = 0
    first_voice_ms: float = 0
    full_stops: bool = False  # the recogniser ends every final with one, as most that punctuate do
    reply: str = (
        "That is good to hear, and it sounds like a lot of work for a small team. I once had a project "
        "that went the same way. What would you do in another way if you could start again?"
    )
    spoken_by: str = ""  # a flite voice; "": a tone


@cache
def silero() -> SileroModel:
    return SileroModel()


class Line:
    """One call. `person(line)` says things into it; `seen`, `levels` and `tokens` tell what came of it.

    Args:
        echo_db: how much of the reply comes back by the loudspeaker; None: nothing.
        echo_ms: how much later.
        ears: a real recogniser; None: one that knows the words that were spoken.
    """

    def __init__(
        self,
        models: Models,
        *,
        settings: Settings | None = None,
        echo_db: float | None = None,
        echo_ms: int = 120,
        keep_levels: bool = True,
        ears: InStep | None = None,
        **call: Any,
    ) -> None:
        self.models = models
        self._ears = ears
        self.seen: list[Seen] = []
        self.spoken: list[Spoken] = []
        self.tokens: dict[str, int] = {}  # of each reply begun, by its first word
        self.levels: list[float] = []  # dBFS of each 20 ms of the reply
        self.chunks = 0
        self.floor = "listening"  # who has it
        self._keep_levels = keep_levels
        self._settings = settings or Settings()
        self._call = CallSettings(**{"mode": "chat", "greet": False, **call})
        self._said: deque[np.ndarray] = deque()
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []
        self._echo_gain = 0.0 if echo_db is None else 10 ** (echo_db / 20)
        self._echo = deque([np.zeros(MIC_CHUNK)] * (echo_ms // 20))
        self._to_microphone = Resampler(VOICE_RATE, MIC_RATE)
        self._returning = np.zeros(0, np.int16)

    # ---------------------------------------------------------------- person

    @property
    def now_ms(self) -> int:
        return 20 * self.chunks

    async def say(self, sound: np.ndarray, text: str = "") -> int:
        """Puts sound into the microphone now and waits until it has been heard; returns when it began."""
        start = self.now_ms
        self._note_words(text, start, 1000 * len(sound) / MIC_RATE)
        sound = np.concatenate([sound, np.zeros(-len(sound) % MIC_CHUNK, np.int16)])
        pieces = sound.reshape(-1, MIC_CHUNK)
        self._said.extend(pieces)
        await self.wait(20 * len(pieces))
        return start

    async def wait(self, length_ms: float) -> None:
        """Silence (as far as the person goes)."""
        over = asyncio.get_running_loop().create_future()
        self._waiting.append((self.now_ms + length_ms, over))
        await over

    async def until(self, what: Callable[[], bool], most_ms: float) -> bool:
        """Whether it came true within that time."""
        end = self.now_ms + most_ms
        while not what():
            if self.now_ms >= end:
                return False
            await self.wait(20)
        return True

    def of(self, *kinds: type, after_ms: float = -1.0, before_ms: float = float("inf")) -> list[Seen]:
        """Events of these kinds between the two moments."""
        first = bisect_right(self.seen, after_ms, key=lambda seen: seen.at_ms)
        return [
            seen for seen in self.seen[first:] if isinstance(seen.event, kinds) and seen.at_ms < before_ms
        ]

    def _note_words(self, text: str, start_ms: float, length_ms: float) -> None:
        """Words by their share of the letters; a segment's end is exact, and pauses are between segments."""
        words = text.split()
        share = length_ms / max(1, sum(len(word) + 1 for word in words))
        at = start_ms
        for word in words:
            self.spoken.append(Spoken(word, at, at + share * (len(word) + 1)))
            at += share * (len(word) + 1)

    # ------------------------------------------------------------------ call

    def run(self, person: Callable[[Line], Awaitable[None]]) -> Line:
        virtual.run(self._run(person), (lambda: False) if self._ears is None else self._ears.owes)
        return self

    async def _run(self, person: Callable[[Line], Awaitable[None]]) -> None:
        ears = IdealEars(self) if self._ears is None else self._ears
        await ears.start()
        parts = Parts(ears, CountedMind(self), MadeVoice(self), silero())
        self.session = Session(parts, self._settings, self._call)
        self.session.attach(self._see)
        life = asyncio.create_task(self.session.run(), name="session")
        await asyncio.sleep(0)
        talking = asyncio.ensure_future(person(self))
        loop = asyncio.get_running_loop()
        began = loop.time()

        def beat() -> None:
            self._twenty_ms()
            self._wake()
            if not talking.done():
                loop.call_at(began + (self.chunks + 1) * 0.02, beat)

        loop.call_at(began + 0.02, beat)
        await asyncio.gather(talking, return_exceptions=True)
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        await ears.close()
        talking.result()

    def _twenty_ms(self) -> None:
        heard = self._said.popleft() if self._said else np.zeros(MIC_CHUNK, np.int16)
        if self._echo_gain:
            mixed = heard + self._echo_gain * self._echo.popleft()
            heard = np.clip(mixed, -32768, 32767).astype(np.int16)
        self.session.hear(AudioChunk(heard, MIC_RATE, self.chunks * MIC_CHUNK))
        self.chunks += 1
        piece = self.session.read(VOICE_CHUNK)
        if self._keep_levels:
            self.levels.append(SILENCE_DB if piece is None else level_db(piece))
        if self._echo_gain:
            out = np.zeros(VOICE_CHUNK, np.int16) if piece is None else piece
            self._returning = np.concatenate([self._returning, self._to_microphone.push(out)])
            back, self._returning = self._returning[:MIC_CHUNK], self._returning[MIC_CHUNK:]
            self._echo.append(np.concatenate([np.zeros(MIC_CHUNK - len(back)), back]))

    def _wake(self) -> None:
        for due_ms, over in self._waiting[:]:
            if due_ms <= self.now_ms:
                self._waiting.remove((due_ms, over))
                over.set_result(None)

    def _see(self, event: ev.Event) -> None:
        if isinstance(event, ev.FloorChanged):
            self.floor = event.phase
        if not isinstance(event, ev.Shapes):
            self.seen.append(Seen(self.now_ms, event))


class _Made:
    name = "made"
    detail = "for measuring"
    full_pass = False
    wants_full = False

    def __init__(self, line: Line) -> None:
        self._line = line

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def knows(self, language: str) -> bool:
        return True


def level_db(piece: np.ndarray) -> float:
    """RMS in dBFS."""
    return float(10 * np.log10(np.mean((piece / 32768) ** 2) + 1e-10))


class IdealEars(_Made):
    """At each pause: every word that has been spoken to its end by then, and none that has not."""

    @property
    def punctuates(self) -> bool:
        return self._line.models.full_stops

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        line, start_ms = self._line, None
        async for piece in audio:
            if isinstance(piece, AudioChunk):
                if start_ms is None:  # the first piece is the pre-roll, up to now
                    start_ms = line.now_ms + 20 - 1000 * len(piece.samples) / MIC_RATE
                continue
            now_ms = line.now_ms + 20
            await asyncio.sleep(line.models.recognise_ms / 1000)
            words = [
                Word(word.text, 0, 0, 1.0)
                for word in line.spoken
                if word.end_ms <= now_ms and start_ms is not None and word.end_ms > start_ms + LEAST_MS
            ]
            text = " ".join(word.text for word in words)
            if text and line.models.full_stops:
                text += "."
            yield Transcript("final", text, words=tuple(words), language=language)


class CountedMind(_Made):
    """The same reply each time, with a first word of its own by which it is told from the others."""

    async def reply(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncIterator[Token | Note | Usage]:
        line, models = self._line, self._line.models
        name = f"r{len(line.tokens)}"
        line.tokens[name] = 0
        await asyncio.sleep(models.first_token_ms / 1000)
        for word in (name, *models.reply.split()):
            line.tokens[name] += 1
            yield Token(word + " ")
            await asyncio.sleep(models.token_ms / 1000)


class MadeVoice(_Made):
    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        models = self._line.models
        await asyncio.sleep(models.first_voice_ms / 1000)
        sound = voiced(text, models.spoken_by) if models.spoken_by else tone(len(text.split()))
        words, at = [], 0
        for word in text.split(" "):
            words.append(VoiceWord(len(sound) * at // max(1, len(text)), at, at + len(word)))
            at += len(word) + 1
        yield Speech(sound, VOICE_RATE, tuple(words))


@cache
def tone(words: int) -> np.ndarray:
    """A fifth of a second a word."""
    t = np.arange(words * VOICE_RATE // 5) / VOICE_RATE
    return (6000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


@cache
def voiced(text: str, voice: str) -> np.ndarray:
    """flite's, at VOICE_RATE."""
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    return np.concatenate(
        [resampler.push(speech(text, voice)), resampler.flush(), np.zeros(ms(60), np.int16)]
    )
