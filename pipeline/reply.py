"""One reply: the mind's tokens become phrases, the phrases speech, the speech samples in a playout.

It may be prepared while nobody hears it; whoever owns it decides when, and whether, its playout is read.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.audio import VOICE_RATE, Resampler
from pipeline.caption import Caption
from pipeline.errors import ProviderError, Stage
from pipeline.playout import Playout, ShapeMark, WordMark
from pipeline.providers import (
    CutShort,
    Expecting,
    Message,
    Note,
    Piece,
    Token,
    ToolCall,
    Usage,
    Voice,
    VoiceStyle,
    VoiceWord,
)
from pipeline.sentences import Sentences
from pipeline.speakable import speakable
from pipeline.tokens import estimate
from pipeline.tool_use import MindStream, Worked, Working
from pipeline.visemes import shapes_of

CHARACTERS_PER_S = 14.5  # how fast voices speak that do not mark their words, until the phrase is whole
VOICE_WITHIN_S = 20.0  # a piece of sound; a plug-in's own time-out comes first and says more
BROKEN_OFF = "Interrupted: it may have been done, or not."  # what a tool said that was not waited for
PHRASES = 64  # phrases that may wait for the voice; more than a reply of 300 tokens has
AGAIN_WORDS = 3  # a phrase of fewer may be said twice: "I see."
AGAIN = 2  # of a reply's phrases were said before: the model turns in a circle
LOOP = re.compile(r"(\W*\w.{2,40}?)\1{5}\Z", re.DOTALL)  # likewise: "pixel, pixel, pixel, ..."
AROUND = 6  # times in all that such a loop says the same
TAIL = 300  # characters in which it is looked for

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")
Thought = Piece | Working | Worked


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


@dataclass(slots=True)
class Calling:
    """A client's function that the mind wants called: nothing happens before somebody tells the client."""

    id: str
    name: str
    arguments: str = ""  # JSON, so far
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one reply."""

    tokens: int | None = None  # pieces of the mind after which it is cut, whatever mind it is
    asked: int | None = None  # tokens of the request, estimated; None: no mind is asked


class Reply:
    """Runs as one task; `playout` fills up while it does.

    Args:
        source: the mind's stream.
        wording: None for fixed words, which neither wait nor fail.
        text_only: nothing is spoken, and the text is what the mind wrote, as it comes.
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
        bounds: Bounds = Bounds(),
        clock: Callable[[], float],
    ) -> None:
        self._room = asyncio.Event()
        self.playout = Playout(on_room=self._room.set, silent=text_only)
        self.released = asyncio.Event()  # by its owner: now it may have effects beyond its own words
        self.acted = False  # and it has had some: tools ran
        self.speaks = False  # there are words of it
        self.thought = False  # the mind has said it all
        self.calls: list[Calling] = []
        self._worked: list[Message] = []
        self._working: tuple[ToolCall, ...] = ()
        self.cut_short: CutShort | None = None
        self.note: Mapping[str, Any] | None = None
        self.failures: list[ProviderError] = []
        self.stamps: dict[str, float] = {}  # name -> clock
        self.tokens = 0
        self._counted: Usage | None = None  # by the mind
        self._written: list[str] = []  # what it generated
        self._source = source
        self._voice = voice
        self._style = style
        self._language = language
        self._wording = wording
        self._text_only = text_only
        self._spells = text_only  # hands the mind's tokens on as they are
        self._bounds = bounds
        self._clock = clock
        self._cutter = Sentences(language)
        self._phrases: asyncio.Queue[str | None] = asyncio.Queue(PHRASES)
        self._phrase_count = 0
        self._phrases_said: set[str] = set()  # of words of the mind's
        self._said_again = 0
        self._tail = ""  # of what it generated

    @property
    def steps(self) -> tuple[Message, ...]:
        """The server's tools that it used, and what came out so far."""
        if not self._working:
            return tuple(self._worked)
        broken_off = [Message("tool", BROKEN_OFF, call_id=call.id) for call in self._working]
        return (*self._worked, Message("assistant", "", calls=self._working), *broken_off)

    @property
    def usage(self) -> Usage:
        """As the mind counted it, where it did and was heard out; else an estimate."""
        if self._bounds.asked is None:
            return Usage(0, 0)
        if self._counted is not None and self.thought:
            return self._counted
        return Usage(self._bounds.asked, estimate("".join(self._written)))

    async def run(self) -> None:
        """Until all is in the playout. Provider errors end up in `failures`, never here."""
        if isinstance(self._voice, Expecting) and not self._text_only:
            self._voice.expect(language=self._language, style=self._style)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._speak(), name="speak")
                await self._think()
                await self._phrases.put(None)
        finally:
            self.playout.finish()

    # --------------------------------------------------------------- mind

    async def _think(self) -> None:
        try:
            if self._wording and self._wording.opening:
                await self._say(self._wording.opening)
            async with aclosing(self._source) as stream:  # type: ignore[type-var]
                piece = await self._slow(stream)
                while piece is not None and not await self._enough(piece):
                    piece = await self._after(piece, stream)
            self.thought = True
            self._close_call()
            if self._wording and not (self._has_words or self.calls or self.acted):
                raise ProviderError("llm", "mind", "the model had nothing to say", "bad_response")
        except Exception as error:
            self._failed(error, "llm", "the model")
            if self._wording and not self._has_words and not self.calls:
                await self._say(self._wording.apology)
        if not self._breaks_off:
            await self._finish_phrase()

    @property
    def _has_words(self) -> bool:
        """The mind has said something that can be heard or read."""
        text = "".join(self._written)
        return bool(text.strip()) if self._text_only else any(map(str.isalnum, text))

    @property
    def _breaks_off(self) -> bool:
        """What is left is half a sentence behind whole ones: nobody is to hear that."""
        cut = self.cut_short is not None and self.cut_short.reason == "max_output_tokens"
        return (self._circles or cut) and bool(self._phrases_said)

    @property
    def _circles(self) -> bool:
        return self._said_again >= AGAIN

    async def _after(self, piece: Thought, stream: MindStream) -> Thought | None:
        if isinstance(piece, Working):
            await self._finish_phrase()
            await self.released.wait()
            self.acted, self._working = True, piece.calls
            return await self._slow(stream, bounded=False)  # tools have time-outs of their own
        if isinstance(piece, Worked):
            return await self._slow(stream)
        return await self._next(stream)

    async def _slow(self, stream: MindStream, *, bounded: bool = True) -> Thought | None:
        """A piece that may be long in coming: a filler meanwhile. Raises ProviderError after too long."""
        if self._wording is None:
            return await anext(stream, None)
        waiting = asyncio.create_task(_begin(stream), name="first token")
        apology_after_s = self._wording.apology_after_s - self._wording.filler_after_s if bounded else None
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self._wording.filler_after_s)
            if not done:
                if not self._spells:
                    await self._say(self._wording.filler)
                done, _ = await asyncio.wait({waiting}, timeout=apology_after_s and max(0.0, apology_after_s))
            if done:
                return waiting.result()
            raise ProviderError("llm", "mind", "the model did not begin to answer in time", "timeout")
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})

    async def _next(self, stream: MindStream) -> Thought | None:
        """Raises ProviderError if the mind falls silent in mid-reply."""
        within_s = self._wording.apology_after_s if self._wording else None
        return await _within(within_s, anext(stream, None), "llm", "the model stopped in mid-reply")

    async def _enough(self, piece: Thought) -> bool:
        """Takes it. True: the reply is as long as it may get."""
        if isinstance(piece, Token | str | ToolCall):
            if self.tokens == self._bounds.tokens:
                self.cut_short = CutShort("max_output_tokens")
                return True
            self.tokens += 1
        match piece:
            case Note():
                self.note = {**(self.note or {}), **piece.data}
            case Usage():
                self._counted = piece if self._counted is None else self._counted + piece
            case CutShort():
                self.cut_short = piece
            case Worked():
                self._worked += piece.messages
                self._working = ()
            case ToolCall():
                await self._call(piece)
            case Token():
                await self._word(piece.text)
            case str():
                await self._word(piece)
        return self._circles

    async def _word(self, text: str) -> None:
        self._stamp("first_token")
        self._written.append(text)
        if self._spells:
            self._spell(text)
            return
        self._tail = (self._tail + text)[-TAIL:]
        # Looked for in earnest it takes 0.3 ms a token: only where the last three letters are there so often.
        if self._tail.count(self._tail[-3:]) >= AROUND and LOOP.search(self._tail):
            self._said_again = AGAIN
        for phrase in self._cutter.push(text):
            if not self._again(phrase):
                await self._say(phrase)

    def _again(self, phrase: str) -> bool:
        """Whether it was said before in this reply, word for word, as small models do over and over."""
        words = re.findall(r"\w+", phrase.casefold())
        said = " ".join(words)
        if len(words) < AGAIN_WORDS or said not in self._phrases_said:
            self._phrases_said.add(said)
            return False
        self._said_again += 1
        return True

    async def _call(self, piece: ToolCall) -> None:
        self._written += (piece.name, piece.arguments)
        if not self.calls or self.calls[-1].id != piece.id:
            await self._finish_phrase()
            self._close_call()
            self.calls.append(Calling(piece.id, piece.name))
        self.calls[-1].arguments += piece.arguments

    def _close_call(self) -> None:
        """The last call begun has all its arguments, unless the reply was cut in the middle of them."""
        if self.calls and self.cut_short is None:
            self.calls[-1].whole = True

    async def _finish_phrase(self) -> None:
        for phrase in self._cutter.flush():
            await self._say(phrase)

    def _spell(self, text: str) -> None:
        self.speaks = True
        self.playout.mark(WordMark(self.playout.written, text, 0))

    async def _say(self, phrase: str) -> None:
        phrase = phrase.strip()
        if phrase and self._spells:
            self._spell(phrase + " ")
        elif phrase:
            self._stamp("first_phrase")
            self.speaks = True
            await self._phrases.put(phrase)

    # -------------------------------------------------------------- voice

    async def _speak(self) -> None:
        while (phrase := await self._phrases.get()) is not None:
            spoken = speakable(phrase, self._language)
            if not spoken.display:
                continue
            words = Caption(spoken.display, self._language, self.playout, first=self._phrase_count == 0)
            self._phrase_count += 1
            if spoken.text and not self._text_only:
                try:
                    await self._speak_phrase(spoken.text, spoken.shown, words)
                except Exception as error:
                    self._failed(error, "tts", self._voice.name)
                    self._text_only = True  # the rest as a caption
            words.rest(self.playout.written)

    async def _speak_phrase(self, text: str, shown: Callable[[int], int], words: Caption) -> None:
        base = self.playout.written
        resampler: Resampler | None = None
        stream = self._voice.speak(text, language=self._language, style=self._style)
        async with aclosing(stream):  # type: ignore[type-var]
            while speech := await _within(VOICE_WITHIN_S, anext(stream, None), "tts", "the voice stopped"):
                if resampler is None and not speech.words:
                    words.guess(base, CHARACTERS_PER_S)
                if resampler is None or resampler.source_rate != speech.rate:
                    if resampler is not None:  # another voice took over
                        self.playout.write(resampler.flush())
                    resampler = Resampler(speech.rate, VOICE_RATE)
                scale = VOICE_RATE / speech.rate
                for word in speech.words:
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


async def _within(seconds: float | None, piece: Awaitable[Thing], stage: Stage, otherwise: str) -> Thing:
    """The next piece of a plug-in's stream. Raises ProviderError saying `otherwise` if it does not come."""
    try:
        async with asyncio.timeout(seconds):
            return await piece
    except TimeoutError as error:
        raise ProviderError(stage, "stream", otherwise, "timeout") from error


async def _begin(stream: MindStream) -> Thought | None:
    return await anext(stream, None)


def _inside(word: VoiceWord) -> int:
    """Its last letter: a voice may speak several words as one, and Japanese ones go with their endings."""
    return max(word.start, word.end - 1)
