"""One reply: the mind's tokens become phrases, the phrases speech, the speech samples in a playout.

It may be prepared while nobody hears it; whoever owns it decides when, and whether, its playout is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.audio import VOICE_RATE, Resampler
from pipeline.errors import ProviderError, Stage
from pipeline.playout import PhraseMark, Playout, ShapeMark, WordMark
from pipeline.providers import Note, Token, Usage, Voice, VoiceStyle, VoiceWord
from pipeline.sentences import Sentences
from pipeline.speakable import speakable
from pipeline.visemes import shapes_of

CHARACTERS_PER_S = 14.5  # how fast voices speak that do not mark their words, until the phrase is whole
VOICE_WITHIN_S = 20.0  # a piece of sound; a plug-in's own time-out comes first and says more
PHRASES = 64  # phrases that may wait for the voice; more than a reply of 300 tokens has

log = logging.getLogger(__name__)

Piece = TypeVar("Piece")
MindStream = AsyncIterator[Token | Note | Usage]


async def fixed(text: str) -> MindStream:
    """A stream that says `text`, for words that no mind is asked for."""
    yield Token(text)


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said when the mind keeps one waiting or fails. Times in seconds."""

    filler: str
    filler_after_s: float
    apology: str
    apology_after_s: float
    opening: str = ""  # said before anything else


class Reply:
    """Runs as one task; `playout` fills up while it does.

    Args:
        source: the mind's stream.
        wording: None for fixed words, which neither wait nor fail.
        clock: seconds; for the figures only.
    """

    def __init__(
        self,
        source: MindStream,
        voice: Voice,
        style: VoiceStyle,
        language: str,
        *,
        wording: Wording | None,
        text_only: bool = False,
        clock: Callable[[], float],
    ) -> None:
        self._room = asyncio.Event()
        self.playout = Playout(on_room=self._room.set)
        self.note: Mapping[str, Any] | None = None
        self.usage: Usage | None = None
        self.failures: list[ProviderError] = []
        self.stamps: dict[str, float] = {}  # name -> clock
        self.tokens = 0
        self._source = source
        self._voice = voice
        self._style = style
        self._language = language
        self._wording = wording
        self._text_only = text_only
        self._clock = clock
        self._phrases: asyncio.Queue[str | None] = asyncio.Queue(PHRASES)
        self._phrase_count = 0

    async def run(self) -> None:
        """Until all is in the playout. Provider errors end up in `failures`, never here."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._speak(), name="speak")
                await self._think()
                await self._phrases.put(None)
        finally:
            self.playout.finish()

    # --------------------------------------------------------------- mind

    async def _think(self) -> None:
        cutter = Sentences(self._language)
        try:
            if self._wording and self._wording.opening:
                await self._phrases.put(self._wording.opening)
            async with aclosing(self._source) as stream:  # type: ignore[type-var]
                piece = await self._first(stream)
                while piece is not None:
                    await self._take(piece, cutter)
                    piece = await self._next(stream)
        except Exception as error:
            self._failed(error, "llm", "the model")
            if self._wording and not self.tokens:
                await self._phrases.put(self._wording.apology)
        for phrase in cutter.flush():
            await self._say(phrase)

    async def _first(self, stream: MindStream) -> Token | Note | Usage | None:
        """The first token; while it is awaited for long, a filler. Raises ProviderError after too long."""
        if self._wording is None:
            return await anext(stream, None)
        waiting = asyncio.create_task(_begin(stream), name="first token")
        try:
            for timeout, then in (
                (self._wording.filler_after_s, self._wording.filler),
                (self._wording.apology_after_s - self._wording.filler_after_s, None),
            ):
                done, _ = await asyncio.wait({waiting}, timeout=max(0.0, timeout))
                if done:
                    return waiting.result()
                if then:
                    await self._phrases.put(then)
            raise ProviderError("llm", "mind", "the model did not begin to answer in time", "timeout")
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})

    async def _next(self, stream: MindStream) -> Token | Note | Usage | None:
        """Raises ProviderError if the mind falls silent in mid-reply."""
        within_s = self._wording.apology_after_s if self._wording else None
        return await _within(within_s, anext(stream, None), "llm", "the model stopped in mid-reply")

    async def _take(self, piece: Token | Note | Usage, cutter: Sentences) -> None:
        if isinstance(piece, Note):
            self.note = {**(self.note or {}), **piece.data}
        elif isinstance(piece, Usage):
            self.usage = piece
        else:
            self.tokens += 1
            self._stamp("first_token")
            for phrase in cutter.push(piece.text):
                await self._say(phrase)

    async def _say(self, phrase: str) -> None:
        if phrase.strip():
            self._stamp("first_phrase")
            await self._phrases.put(phrase.strip())

    # -------------------------------------------------------------- voice

    async def _speak(self) -> None:
        while (phrase := await self._phrases.get()) is not None:
            spoken = speakable(phrase, self._language)
            if not spoken.display:
                continue
            words = _Words(spoken.display, self._language, self.playout, first=self._phrase_count == 0)
            self._phrase_count += 1
            if spoken.text and not self._text_only:
                try:
                    await self._speak_phrase(spoken.text, spoken.shown, words)
                except Exception as error:
                    self._failed(error, "tts", self._voice.name)
                    self._text_only = True  # the rest as a caption
            words.rest(self.playout.written)

    async def _speak_phrase(self, text: str, shown: Callable[[int], int], words: _Words) -> None:
        base = self.playout.written
        marked = False
        resampler: Resampler | None = None
        stream = self._voice.speak(text, language=self._language, style=self._style)
        async with aclosing(stream):  # type: ignore[type-var]
            while speech := await _within(VOICE_WITHIN_S, anext(stream, None), "tts", "the voice stopped"):
                if resampler is None:
                    resampler = Resampler(speech.rate, VOICE_RATE)
                    if not speech.words:
                        words.guess(base, CHARACTERS_PER_S)
                scale = VOICE_RATE / speech.rate
                for word in speech.words:
                    marked = True
                    words.at(base + int(word.at * scale), shown(_inside(word)))
                for phoneme in speech.phonemes:
                    for shape, weight, part in shapes_of(phoneme.mnemonic):
                        at = base + int((phoneme.at + part * phoneme.length) * scale)
                        self.playout.shape(ShapeMark(at, shape, weight))
                await self._until_room()
                self._stamp("first_audio")
                self.playout.write(resampler.push(speech.samples))
        if resampler is not None:
            self.playout.write(resampler.flush())
        if not marked:
            words.known_length(base, self.playout.written - base)

    async def _until_room(self) -> None:
        while not self.playout.room:
            self._room.clear()
            await self._room.wait()

    def _failed(self, error: Exception, stage: Stage, name: str) -> None:
        """A plug-in failed: as it should, with a ProviderError, or by a bug of its own."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # its stream made a mess of being closed
            raise asyncio.CancelledError from error
        if not isinstance(error, ProviderError):
            log.error("%s failed in a way that it should not", name, exc_info=error)
            error = ProviderError(stage, name, "it crashed", "crashed")
        self.failures.append(error)

    def _stamp(self, name: str) -> None:
        self.stamps.setdefault(name, self._clock())


async def _within(seconds: float | None, piece: Awaitable[Piece], stage: Stage, otherwise: str) -> Piece:
    """The next piece of a plug-in's stream. Raises ProviderError saying `otherwise` if it does not come."""
    try:
        async with asyncio.timeout(seconds):
            return await piece
    except TimeoutError as error:
        raise ProviderError(stage, "stream", otherwise, "timeout") from error


async def _begin(stream: MindStream) -> Token | Note | Usage | None:
    return await anext(stream, None)


def _inside(word: VoiceWord) -> int:
    return min(word.start, max(word.start, word.end - 1))


class _Words:
    """Puts the words of one phrase, as they are shown, into the playout."""

    def __init__(self, display: str, language: str, playout: Playout, *, first: bool) -> None:
        self._display = display
        self._playout = playout
        self._space = "" if first or language in ("zh", "ja") else " "
        self._starts = _word_starts(display, language)
        self._told = 0  # words that have their mark
        self._guessed_end = 0
        playout.mark(PhraseMark(playout.written, display))

    def at(self, sample: int, offset: int) -> None:
        """The word of the display that holds `offset` begins at `sample` (and those before it by then)."""
        while self._told < len(self._starts) and self._starts[self._told] <= offset:
            self._mark(sample)

    def rest(self, sample: int) -> None:
        """Whatever has no mark yet gets it here: the phrase is over."""
        while self._told < len(self._starts):
            self._mark(sample)

    def guess(self, base: int, characters_per_s: float) -> None:
        """The voice does not mark its words: spread them at a usual pace."""
        for start in self._starts:
            self._mark(base + int(start / characters_per_s * VOICE_RATE))
        self._guessed_end = base + int(len(self._display) / characters_per_s * VOICE_RATE) + 1

    def known_length(self, base: int, length: int) -> None:
        """The phrase's sound is whole: correct the guess."""
        if self._guessed_end > base:
            self._playout.move_marks(base, self._guessed_end, length / (self._guessed_end - base))

    def _mark(self, sample: int) -> None:
        start = self._starts[self._told]
        self._told += 1
        end = self._starts[self._told] if self._told < len(self._starts) else len(self._display)
        text = self._display[start:end].rstrip()
        between = self._space if start == 0 else self._display[:start][len(self._display[:start].rstrip()) :]
        self._playout.mark(WordMark(sample, between + text, start))


def _word_starts(display: str, language: str) -> list[int]:
    if language in ("zh", "ja"):
        return [0, *(i for i, letter in enumerate(display) if i and letter.isalnum())]
    return [
        i for i, letter in enumerate(display) if not letter.isspace() and (i == 0 or display[i - 1].isspace())
    ]
