"""An utterance that grows while it is recognised: what recognisers that take whole recordings have in common.

            settled │ open: decoded again and again, until two decodings agree
    ────────────────┼──────────────────────┬──────────────▶ sound
                   cut                     what is new

While a person speaks, what is open is decoded in the background. Words on which two decodings in a row agree
are sure (local agreement: Liu et al. 2020, https://arxiv.org/abs/2005.11185), and are settled up to a pause
between two of them: their sound is dropped there, and they are handed on as text in front of what follows. So
what a Pause has to wait for is one decoding of the tail. Nothing is cut inside a word, and nothing before a
cut is decoded again: no word is lost or doubled there.

An answer to a Pause that turns out to be a long one stands as it is. Where a model gives no word times, that
is all there is, and shorter pauses count.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

import numpy as np

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.languages import UNSPACED, fold
from pipeline.providers import Pause, Transcript, Word
from pipeline.stt.recording import Recording
from pipeline.stt.telling import Told, told

log = logging.getLogger(__name__)

SHORTEST_S = 0.1  # of sound; less is no word, and refused by some
LOOK_EVERY_S = 0.2  # of sound: how often that is considered
SPARED = 2  # times as long as the last decoding took, the model is left to others, and free for a Pause
ABOUT_TO_PAUSE_S = 0.06  # of quiet: a Pause may come any moment, and would have to wait
VOICED_S = 0.2  # of the new sound, before it is worth decoding in the background
PAUSE_S = 0.2  # where agreed words may be cut apart: longer than any consonant is silent
REST_S = 1.0  # after which an answer to a Pause stands
LONG_PAUSE_S = 0.25  # likewise, where there are no word times to cut by
PATIENT_S = 10.0  # of open sound without such a pause: then at the quietest moment between two agreed words
AROUND_MS = 80  # of the boundary by the words' times, in which that moment is looked for
SAME_MS = 300  # in which two decodings put the same word


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be decoded now."""

    samples: np.ndarray  # int16, shape (n,), mono, MIC_RATE
    before: str  # all that was said before it
    owed: bool  # somebody waits for it


@dataclass(frozen=True, slots=True)
class Heard:
    """What a decoding made of a Part."""

    text: str
    words: tuple[Word, ...] = ()  # that make it up, spaces and stops included; times since its first sample
    language: str = ""  # "": the one asked for


class Decoder(Protocol):
    """One utterance's access to a model."""

    every_s: float  # of new sound, after which what is open is decoded in the background
    timed: bool  # its words have times

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        """`said` may be called with the text so far. Cancelled when nobody wants it any more."""


@dataclass(slots=True)
class Pace:
    """Of a model, for all who share it: one that has much to do is asked for less, from the first word on."""

    took_s: float = 0.0  # the last decoding, queueing included


def transcribe(
    decoder: Decoder,
    audio: AsyncIterator[AudioChunk | Pause],
    language: str,
    pace: Pace | None = None,
) -> AsyncGenerator[Transcript, None]:
    """See `pipeline.providers.Recognizer.transcribe`. `pace`: of the model, where others wait for it too."""
    utterance = _Utterance(decoder, language, pace or Pace())
    return told(utterance.out, partial(utterance.feed, audio), "utterance-feed")


@dataclass(frozen=True, slots=True)
class _Decoding:
    """One at a time."""

    task: asyncio.Task[None]
    end: int  # place up to which it hears
    owed: bool


@dataclass(frozen=True, slots=True)
class _Open:
    """What the last decoding made of the sound behind the cut."""

    text: str = ""
    words: Sequence[Word] = ()  # that make it up, with times since the utterance began
    agreed: int = 0  # of the words
    end: int = 0  # place up to which it heard
    answered: bool = False  # a Pause, there


class _Utterance:
    def __init__(self, decoder: Decoder, language: str, pace: Pace) -> None:
        self._decoder = decoder
        self._language = language
        self._pace = pace
        self._timed = decoder.timed
        self._background = True  # until that fails: then only what is owed is decoded
        self._recording = Recording()
        self._settled = ""
        self._settled_words: list[Word] = []
        self._open = _Open()
        self._owed = 0  # pauses without a final
        self._asked = 0  # place of the last one
        self._decoding: _Decoding | None = None
        self._tried = 0  # place up to which the last decoding was to hear
        self._looked = 0  # place at which another one was last considered
        # Bounded by the decodings: a transcript each, or one a word where the model streams them.
        self.out: asyncio.Queue[Told] = asyncio.Queue()

    async def feed(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        try:
            async for piece in audio:
                if isinstance(piece, AudioChunk):
                    self._recording.push(piece.samples)
                    self._look()
                else:
                    await self._ask()
            if self._recording.end > self._asked and not self._answers_for_silence():
                await self._ask()
            if self._decoding is not None and self._decoding.owed:
                await self._decoding.task
            self.out.put_nowait(None)
        except Exception as error:  # the microphone's
            self.out.put_nowait(error)
        finally:
            await self._drop()

    # ------------------------------------------------------------------ what is decoded, and when

    def _look(self) -> None:
        """Whether what is open is worth decoding in the background."""
        end = self._recording.end
        new = end - max(self._tried, self._recording.start)
        every_s = max(self._decoder.every_s, (1 + SPARED) * self._pace.took_s)
        if self._decoding is not None or not self._background or new < every_s * MIC_RATE:
            return
        if end - self._looked < LOOK_EVERY_S * MIC_RATE:
            return
        self._looked = end
        if not self._recording.voiced_s(end - round(ABOUT_TO_PAUSE_S * MIC_RATE), end):
            return
        if not self._timed:
            pauses = self._recording.pauses(LONG_PAUSE_S)
            end = sum(pauses[-1]) // 2 if pauses else self._recording.start
        if self._recording.voiced_s(max(self._tried, self._recording.start), end) >= VOICED_S:
            self._begin(end, owed=False)

    async def _ask(self) -> None:
        """A Pause: all sound up to now is to be answered for."""
        end = self._asked = self._recording.end
        running = self._decoding
        if running is not None and running.owed and running.end == end:
            self._owed += 1
        elif running is None and self._open.end == end > 0:
            self._owed += 1
            self._answer()
        else:
            await self._drop()  # its answer may still come while it ends: to the pauses before this one
            self._owed += 1
            self._begin(end, owed=True)

    def _answers_for_silence(self) -> bool:
        """At the end: what was asked for at the last Pause holds for what came since, if that was no word. A
        turn ends in half a second of silence or more, and decoding it all once more keeps others waiting."""
        asked = self._open.answered if self._decoding is None else self._decoding.owed
        if not asked or self._recording.voiced_s(self._asked, self._recording.end) >= SHORTEST_S:
            return False
        self._owed += 1
        if self._decoding is None:
            self._answer()
        return True

    def _begin(self, end: int, *, owed: bool) -> None:
        if self._open.answered and self._rests_at(self._open.end):
            self._settle(0, self._open.end)
        self._tried = end
        part = Part(self._recording.sound(end), self._settled, owed)
        task = asyncio.create_task(self._decode(part, end), name=f"{'final' if owed else 'partial'}-decoding")
        self._decoding = _Decoding(task, end, owed)

    async def _drop(self) -> None:
        """Returns when it has ended; a request to a vendor takes a while to be called off."""
        if self._decoding is not None:
            task = self._decoding.task
            task.cancel()
            await asyncio.wait({task})  # and not the task itself: whoever closes us meanwhile cancels this
            self._decoding = None

    async def _decode(self, part: Part, end: int) -> None:
        began = asyncio.get_running_loop().time()
        try:
            heard = Heard("")
            if len(part.samples) >= SHORTEST_S * MIC_RATE:
                heard = await self._decoder.decode(part, self._stream if part.owed else _unheard)
        except Exception as error:
            self._decoding = None
            if part.owed:
                self.out.put_nowait(error)
            else:
                self._background = False
                log.warning("decoding in the background failed, so it is left: %s", error)
            return
        self._decoding = None
        self._pace.took_s = asyncio.get_running_loop().time() - began
        self._weigh(heard, end, part.owed)
        if part.owed:
            self._answer()
        else:
            if not self._timed:
                self._settle(0, end)
            self._say("partial")
        if self._timed:
            self._cut()

    # ------------------------------------------------------------------ what is made of it

    def _weigh(self, heard: Heard, end: int, owed: bool) -> None:
        """Takes a decoding of what is open in place of the last one."""
        offset_ms = 1000 * self._recording.start // MIC_RATE
        words = [
            replace(word, start_ms=word.start_ms + offset_ms, end_ms=word.end_ms + offset_ms)
            for word in heard.words
        ]
        agreed = 0
        for word, before in zip(words, self._open.words, strict=False):
            apart_ms = abs(word.start_ms + word.end_ms - before.start_ms - before.end_ms) / 2
            if fold(word.text, self._language) != fold(before.text, self._language) or apart_ms > SAME_MS:
                break
            agreed += 1
        self._open = _Open(heard.text, words, agreed, end, owed)
        self._language = heard.language or self._language
        if heard.text and not words:
            self._timed = False

    def _cut(self) -> None:
        """Settles what is agreed, up to the last pause inside it."""
        words, pauses = self._open.words, self._recording.pauses(PAUSE_S)
        inside = range(min(self._open.agreed, len(words) - 1), 0, -1)
        for number in inside:
            first, last = _middle(words[number - 1]), _middle(words[number])
            between = [pause for pause in pauses if first <= sum(pause) / 2 <= last]
            if between:
                longest = max(between, key=lambda pause: pause[1] - pause[0])
                self._settle(number, sum(longest) // 2)
                return
        if inside and self._recording.end - self._recording.start > PATIENT_S * MIC_RATE:
            self._cut_anywhere(inside[: (len(inside) + 1) // 2])

    def _cut_anywhere(self, numbers: Sequence[int]) -> None:
        """Nobody pauses: at the quietest moment between two words that both decodings put there."""
        words = self._open.words
        places = {}
        for number in numbers:
            first = max(_middle(words[number - 1]), _samples(words[number - 1].end_ms - AROUND_MS))
            last = min(_middle(words[number]), _samples(words[number].start_ms + AROUND_MS))
            if first <= last:
                places[number] = self._recording.quietest(first, last)
        if places:
            number = min(places, key=places.__getitem__)
            self._settle(number, places[number][1])

    def _rests_at(self, place: int) -> bool:
        """Whether that lies in a pause so long that what was heard before it may stand as it is."""
        pauses = self._recording.pauses(REST_S if self._timed else LONG_PAUSE_S)
        return any(begin < place <= end for begin, end in pauses)

    def _settle(self, number: int, place: int) -> None:
        """What was heard before `place` changes no more: the first words, or (0) all of it."""
        was, words = self._open, self._open.words
        self._settled = self._joined("".join(word.text for word in words[:number]) or was.text)
        self._settled_words += words[:number] if number else words
        self._recording.drop(place)
        rest = words[number:] if number else ()
        text = "".join(word.text for word in rest)
        self._open = _Open(text, rest, was.agreed - number, was.end, was.answered)

    # ------------------------------------------------------------------ what is said of it

    def _answer(self) -> None:
        for _ in range(self._owed):
            self._say("final")
        self._owed = 0

    def _say(self, kind: Literal["partial", "final"]) -> None:
        was = self._open
        text = self._joined(was.text)
        agreed = self._joined("".join(word.text for word in was.words[: was.agreed]))
        words = [*self._settled_words, *was.words]
        self.out.put_nowait(
            Transcript(
                kind,
                text.strip(),
                sure=len(agreed.strip()) if kind == "partial" else 0,
                words=tuple(replace(word, text=word.text.strip()) for word in words),
                language=self._language,
            )
        )

    def _stream(self, text: str) -> None:
        """What is owed, as far as the model has written it."""
        said = self._joined(text).strip()
        settled = len(self._settled.strip())
        self.out.put_nowait(Transcript("partial", said, sure=settled, language=self._language))

    def _joined(self, text: str) -> str:
        """Behind what is settled."""
        spaced = self._language in UNSPACED or not self._settled or not text or text[0].isspace()
        return self._settled + ("" if spaced else " ") + text


def _unheard(_: str) -> None:
    """What a decoding in the background has written so far is nobody's news."""


def _middle(word: Word) -> int:
    return _samples((word.start_ms + word.end_ms) / 2)


def _samples(ms: float) -> int:
    return round(ms * MIC_RATE / 1000)
