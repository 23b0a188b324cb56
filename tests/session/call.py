"""A call on virtual time: a timeline of sounds in, every event with its time out.

Real: gate, floor, playout, session, Silero, and flite's voice in the microphone. Fake: the three providers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from pipeline.audio import CHUNK_MS, MIC_CHUNK, MIC_RATE, VOICE_CHUNK, VOICE_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.events import Event
from pipeline.providers import (
    Message,
    Note,
    Pause,
    Piece,
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
from pipeline.toolbox import NONE, Toolbox
from tests import sounds as made
from tests import virtual
from tests.room import Room
from tests.sounds import ms

WORD_MS = 200  # how long the fake voice takes for a word


@cache
def silero() -> SileroModel:
    return SileroModel()


class FakeProvider:
    name = "fake"
    detail = "fake"

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Ears(FakeProvider):
    """Hears, utterance by utterance and pause by pause, what the test says."""

    turns: list[list[str]]
    delay_ms: int = 0
    full_pass: bool = False
    second_look: dict[str, tuple[str, float]] = field(default_factory=dict)  # final -> full, confidence
    second_look_ms: int = 150
    punctuates: bool = False
    error: ProviderError | None = None
    closed: int = 0
    told: list[Sequence[str]] = field(default_factory=list)  # the hints of each utterance

    def knows(self, language: str) -> bool:
        return True

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        finals = self.turns.pop(0) if self.turns else []
        self.told.append(hints)
        try:
            async for piece in audio:
                if isinstance(piece, Pause):
                    await asyncio.sleep(self.delay_ms / 1000)
                    if self.error:
                        raise self.error
                    text = finals.pop(0) if len(finals) > 1 else "".join(finals)
                    words = tuple(Word(word, 0, 0, 1.0) for word in text.split())
                    yield Transcript("final", text, words=words, language=language)
                    if self.full_pass:
                        await asyncio.sleep(self.second_look_ms / 1000)
                        text, confidence = self.second_look.get(text, (text, 1.0))
                        words = tuple(Word(word, 0, 0, confidence) for word in text.split())
                        yield Transcript("full", text, words=words, language=language)
        finally:
            self.closed += 1


@dataclass
class Mind(FakeProvider):
    """Says what the test says: a text word by word, or the pieces themselves."""

    replies: list[str | ProviderError | list[Piece]]
    token_ms: int = 0
    first_ms: int = 0
    wants_full: bool = False
    asked: list[list[Message]] = field(default_factory=list)
    options: list[ReplyOptions] = field(default_factory=list)
    open_streams: int = 0
    note: dict[str, Any] | None = None
    counts: bool = True  # its tokens

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        self.asked.append(list(messages))
        self.options.append(options)
        # A reply may be prepared twice for one turn: the answer belongs to the turn, not to the attempt.
        turn = sum(message.role == "assistant" for message in messages)
        reply = self.replies[min(turn, len(self.replies) - 1)]
        self.open_streams += 1
        try:
            await asyncio.sleep(self.first_ms / 1000)
            if isinstance(reply, ProviderError):
                raise reply
            if self.note:
                yield Note(self.note)
            pieces = [Token(f"{word} ") for word in reply.split(" ")] if isinstance(reply, str) else reply
            for piece in pieces:
                yield piece
                await asyncio.sleep(self.token_ms / 1000)
            if self.counts:
                yield Usage(10, len(pieces))
        finally:
            self.open_streams -= 1


@dataclass
class Voice(FakeProvider):
    """WORD_MS of tone a word, a mark at each."""

    delay_ms: int = 0
    marks: bool = True
    fails_after: int | None = None  # phrases
    spoken: list[str] = field(default_factory=list)
    styles: list[VoiceStyle] = field(default_factory=list)

    def knows(self, language: str) -> bool:
        return True

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        self.spoken.append(text)
        self.styles.append(style)
        await asyncio.sleep(self.delay_ms / 1000)
        if self.fails_after is not None and len(self.spoken) > self.fails_after:
            raise ProviderError("tts", "fake", "the voice is gone", "crashed")
        at, length = 0, VOICE_RATE * WORD_MS // 1000
        for word in text.split(" "):
            tone = (8000 * np.sin(np.arange(length) * 2 * np.pi * 440 / VOICE_RATE)).astype(np.int16)
            words = (VoiceWord(0, at, at + len(word)),) if self.marks else ()
            if self.marks:
                words = (VoiceWord(self._sample(text, at), at, at + len(word)),)
            yield Speech(tone, VOICE_RATE, words)
            at += len(word) + 1

    @staticmethod
    def _sample(text: str, at: int) -> int:
        return text[:at].count(" ") * VOICE_RATE * WORD_MS // 1000


@dataclass(frozen=True)
class Sound:  # in the microphone
    at_ms: int
    samples: np.ndarray  # int16, 16 kHz


def speech(at_ms: int, text: str, voice: str = "rms") -> Sound:
    return Sound(at_ms, made.speech(text, voice))


@dataclass(frozen=True)
class Seen:
    at_ms: int
    event: Event


class Call:
    """Plays a timeline. After `run`: `events` with times, `out` what was heard, `session`."""

    def __init__(
        self,
        ears: Ears,
        mind: Mind,
        voice: Voice,
        *sounds: Sound,
        settings: Settings | None = None,
        toolbox: Toolbox = NONE,
        room: Room | None = None,
        away_ms: tuple[int, int] = (0, 0),
        **call: Any,
    ) -> None:
        self.ears, self.mind, self.voice = ears, mind, voice
        self.sounds = sounds
        self.toolbox = toolbox
        self.away_ms = away_ms  # from when to when there is no line: nobody is heard, nobody hears
        self.room = room  # in which what goes out comes back into the microphone
        self.settings = settings or Settings()
        self.call = CallSettings(**{"mode": "chat", "greet": False, **call})
        self.events: list[Seen] = []
        self.out = np.zeros(0, np.int16)
        self.actions: list[tuple[int, Any]] = []

    def at(self, at_ms: int, action: Any) -> Call:
        """Calls `action(session)` at that moment."""
        self.actions.append((at_ms, action))
        return self

    def run(self, length_ms: int) -> Call:
        virtual.run(self.play(length_ms))
        return self

    async def play(self, length_ms: int) -> None:
        """On the clock of the loop that runs."""
        microphone = np.zeros(ms(length_ms), np.int16)
        for sound in self.sounds:
            start = ms(sound.at_ms)
            piece = microphone[start : start + len(sound.samples)]
            piece += sound.samples[: len(piece)]
        parts = Parts(self.ears, self.mind, self.voice, silero(), self.toolbox)
        self.session = Session(parts, self.settings, self.call)
        loop = asyncio.get_running_loop()
        began = loop.time()

        self.began_s = began
        self.session.attach(self.note)
        life = asyncio.create_task(self.session.run(), name="session")
        await asyncio.sleep(0)
        for at_ms, action in self.actions:
            loop.call_at(began + at_ms / 1000, action, self.session)
        pieces = []
        piece: np.ndarray | None = None
        silence = np.zeros(VOICE_CHUNK, np.int16)
        for index in range(len(microphone) // MIC_CHUNK):
            await asyncio.sleep(began + (index + 1) * 0.02 - loop.time())
            if self.away_ms[0] <= index * CHUNK_MS < self.away_ms[1]:
                continue
            start = index * MIC_CHUNK
            heard = microphone[start : start + MIC_CHUNK]
            if self.room is not None:
                heard = made.mixed(heard, self.room.hear(piece))
            self.session.hear(AudioChunk(heard, MIC_RATE, start))
            piece = self.session.read(VOICE_CHUNK)
            pieces.append(silence if piece is None else piece)
        self.out = np.concatenate(pieces)
        self.tasks = {task.get_name() for task in asyncio.all_tasks()}
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)

    def note(self, event: Event) -> None:
        at_s = asyncio.get_running_loop().time() - self.began_s
        self.events.append(Seen(round(1000 * at_s), event))

    # ------------------------------------------------------------ reading

    def of(self, *kinds: type) -> list[Seen]:
        return [seen for seen in self.events if isinstance(seen.event, kinds)]

    def one(self, kind: type) -> Seen:
        (seen,) = self.of(kind)
        return seen

    def texts(self) -> list[tuple[str, str | None]]:
        return [(item.role, item.text) for item in self.session.items]

    def audible(self, from_ms: int, to_ms: int) -> float:
        """RMS of what went out, in dBFS."""
        piece = self.out[from_ms * VOICE_RATE // 1000 : to_ms * VOICE_RATE // 1000].astype(float) / 32768
        return float(10 * np.log10(np.mean(piece**2) + 1e-12))

    def first_sound_ms(self, after_ms: int = 0) -> int:
        loud = np.abs(self.out[after_ms * VOICE_RATE // 1000 :]) > 200
        assert loud.any(), "nothing was said"
        return after_ms + 1000 * int(np.argmax(loud)) // VOICE_RATE

    def last_sound_ms(self, before_ms: int | None = None) -> int:
        out = self.out if before_ms is None else self.out[: before_ms * VOICE_RATE // 1000]
        return 1000 * int(np.flatnonzero(np.abs(out) > 200)[-1]) // VOICE_RATE
