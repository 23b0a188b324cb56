"""An utterance that a vendor hears while it is spoken: what recognisers behind a WebSocket have in common.

    the line's sound    ├────── the utterance before ──────┼────── this one ──────────▶
    what it makes of it      settled │ settled │ settled   │ settled │ may still change

A line, once open, serves one utterance after the other, as long as they have the language and the hints in
common: a hand-shake takes as long as a word. Where there is none yet, sound waits until one has come about.

A Pause asks the vendor for what was said. It answers at once, but not when it believes that there is nothing
to say; then the line is finished, which is always answered, and the next sound goes over a new one.
"""

from __future__ import annotations

import asyncio
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.languages import UNSPACED
from pipeline.notices import Spent, tell
from pipeline.providers import Pause, Transcript, Word
from pipeline.settings import LiveSettings
from pipeline.stt.telling import Told, told
from pipeline.vendor_socket import Vendor

# Without an answer to a Pause for so long, the line is finished. Words that are not settled yet will be
# answered for; where there are none, the vendor may keep silent.
INSIST_S, INSIST_ON_WORDS_S = 0.3, 1.0
KEPT = 32  # lines that wait for an utterance, at most


def missing(name: str, own: LiveSettings, key: SecretStr | None) -> str | None:
    """What a vendor's plug-in lacks to run, in words: a key, or a server of one's own, and its SDK.

    The SDK is a package of the plug-in's name."""
    lacks = []
    if not key and not own.base_url:
        lacks.append(f"set {_key_name(name)}")
    if importlib.util.find_spec(name) is None:
        lacks.append(f"pip install 'viva[{name}]'")
    return " and ".join(lacks) or None


def _key_name(name: str) -> str:
    """The environment variable that holds the key."""
    return f"{name.upper()}_API_KEY"


@dataclass(frozen=True, slots=True)
class Piece:
    """What a vendor makes of a stretch of sound. The newest takes the place of the last that may change."""

    text: str
    words: tuple[Word, ...]  # times since the line's first sample
    until_ms: int  # of the line's sound, up to which this is told
    settled: bool  # it will not change any more
    asked_for: bool = False  # it answers `ask`
    language: str = ""  # ISO 639-1; "": the one asked for


class Line(Protocol):
    """An open connection to a vendor. Its methods raise ProviderError."""

    sent_ms: int  # of sound, since it was opened

    @property
    def is_open(self) -> bool:
        """For more sound."""

    async def send(self, sound: bytes) -> None:
        """int16 mono at MIC_RATE."""

    async def ask(self) -> None:
        """Say now what was said: an answer is due, unless there is nothing to say."""

    async def finish(self) -> None:
        """Say all there is, and hang up."""

    async def read(self) -> Piece | None:
        """The next one; None: it has said all, as it was asked to."""

    async def close(self) -> None:
        """At once."""

    def charged_s(self) -> float:
        """Seconds that the vendor will charge since this was last asked."""


class Lines:
    """The lines of a provider to its vendor.

    Args:
        connect: opens one for a language and hints.
        keep_s: for so long a line waits for its next utterance.
    """

    def __init__(self, connect: Callable[[str, tuple[str, ...]], Awaitable[Line]], keep_s: float) -> None:
        self._connect = connect
        self._keep_s = keep_s
        self._kept: dict[Line, tuple[str, tuple[str, ...]]] = {}  # those that wait, the oldest first
        self._closing: dict[Line, asyncio.Task[None]] = {}

    async def take(self, language: str, hints: tuple[str, ...]) -> Line:
        for line, fit_for in reversed(self._kept.items()):
            if fit_for == (language, hints) and line.is_open:
                self._closing.pop(line).cancel()
                del self._kept[line]
                return line
        return await self._connect(language, hints)

    async def give_back(self, line: Line, language: str, hints: tuple[str, ...]) -> None:
        """It has said all about the sound that it was sent."""
        if not self._keep_s or len(self._kept) >= KEPT or not line.is_open:
            await line.close()
            return
        self._kept[line] = language, hints
        self._closing[line] = asyncio.create_task(self._close_later(line), name="line-kept")

    async def _close_later(self, line: Line) -> None:
        await asyncio.sleep(self._keep_s)
        del self._kept[line], self._closing[line]
        await line.close()

    async def close(self) -> None:
        self._keep_s = 0  # those that still serve an utterance do not wait for another
        for task in self._closing.values():
            task.cancel()
        kept = list(self._kept)
        self._kept.clear()
        self._closing.clear()
        await asyncio.gather(*(line.close() for line in kept))


class Ears(ABC):
    """A vendor's recogniser but for what is its own: which languages it knows, and its lines.

    See `pipeline.providers.Recognizer`.

    Args:
        name: the plug-in's.
        company: the vendor's name, for a person.
        model: as the vendor calls it.
        closings: see `pipeline.vendor_socket.Vendor`.
    """

    full_pass = False
    punctuates = True

    def __init__(
        self,
        name: str,
        company: str,
        own: LiveSettings,
        key: SecretStr | None,
        model: str,
        closings: Mapping[int, str],
    ) -> None:
        where = urlsplit(own.base_url).hostname or own.base_url or company
        self._key = key.get_secret_value() if key else ""
        self.vendor = Vendor("stt", name, where, self._key, _key_name(name), own.timeout_s, closings)
        self.lines = Lines(self.connect, own.keep_s)
        self.charges = Spent("stt", name, model, "seconds", 0.0)
        self.name = name
        self.detail = f"{model} at {where}"

    @abstractmethod
    def knows(self, language: str) -> bool:
        """Whether it can transcribe that language (ISO 639-1)."""

    @abstractmethod
    async def connect(self, language: str, hints: tuple[str, ...]) -> Line:
        """A new line for utterances in that language. Raises ProviderError."""

    async def start(self) -> None:
        """Whether it lets us in."""
        line = await self.connect("en", ())
        await line.close()

    async def close(self) -> None:
        await self.lines.close()

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        if not self.knows(language):
            message = f"{self.charges.model} does not know “{language}”"
            raise ProviderError("stt", self.name, message, "unsupported_language")
        utterance = _Utterance(self, language, tuple(hints))
        running = told(utterance.out, partial(utterance.run, audio), "utterance-live")
        async with aclosing(running) as transcripts:
            async for transcript in transcripts:
                yield transcript


class _Utterance:
    def __init__(self, ears: Ears, language: str, hints: tuple[str, ...]) -> None:
        self._ears = ears
        self._language = language
        self._heard_in = language
        self._hints = hints
        self._line: Line | None = None
        self._reading: asyncio.Task[None] | None = None
        self._insisting: asyncio.Task[None] | None = None
        self._finishing = False  # the line takes no more sound
        self._began_ms = 0  # of the line's sound, where the utterance begins
        self._shift_ms = 0  # from the line's time to the utterance's
        self._heard_ms = 0  # of the utterance
        self._asked_ms = 0  # its last Pause
        self._settled = ""
        self._settled_words: list[Word] = []
        self._open: Piece | None = None
        self._owed: list[int] = []  # Pauses without a final, as places in the line's sound
        self._said = ("", 0)  # the last text, and how much of it was sure
        self._idle = asyncio.Event()  # nothing is owed
        self._idle.set()
        # Bounded by the vendor: a transcript for each of its messages.
        self.out: asyncio.Queue[Told] = asyncio.Queue()

    async def run(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        failed: Exception | None = None
        try:
            async for piece in audio:
                if isinstance(piece, AudioChunk):
                    await (await self._connected()).send(piece.samples.tobytes())
                    self._heard_ms += 1000 * len(piece.samples) // MIC_RATE
                else:
                    await self._ask()
            if self._heard_ms > self._asked_ms:
                await self._ask()
            await self._idle.wait()
            await self._let_go(give_back=not self._finishing)
        except Exception as error:  # the vendor's, or the microphone's
            failed = error
        finally:
            await self._let_go(give_back=False)
        self.out.put_nowait(failed)

    # ------------------------------------------------------------------ the line

    async def _connected(self) -> Line:
        if self._finishing:
            assert self._reading is not None
            await asyncio.wait({self._reading}, timeout=self._ears.vendor.timeout_s)
            await self._let_go(give_back=False)
        if self._line is None:
            line = await self._ears.lines.take(self._language, self._hints)
            self._line, self._finishing, self._began_ms = line, False, line.sent_ms
            self._shift_ms = self._heard_ms - line.sent_ms
            self._reading = asyncio.create_task(self._read(line), name="utterance-read")
        return self._line

    async def _let_go(self, *, give_back: bool) -> None:
        for task in (self._reading, self._insisting):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._reading = self._insisting = None
        if self._line is None:
            return
        if (charged_s := self._line.charged_s()) > 0:
            tell(replace(self._ears.charges, amount=charged_s))
        if give_back:
            await self._ears.lines.give_back(self._line, self._language, self._hints)
        else:
            await self._line.close()
        self._line = None

    async def _read(self, line: Line) -> None:
        try:
            while (piece := await line.read()) is not None:
                if piece.until_ms > self._began_ms:  # else it is of the utterance before
                    self._take(piece)
            if self._open is not None:
                self._settle(self._open)
            self._answer(line.sent_ms)
        except Exception as error:
            self.out.put_nowait(error)

    async def _ask(self) -> None:
        """A Pause: all sound up to now is to be answered for."""
        if self._heard_ms == self._asked_ms:  # nothing new
            if self._owed:
                self._owed.append(self._owed[-1])
            else:
                self._say("final")
            return
        self._asked_ms = self._heard_ms
        line, reading = self._line, self._reading
        assert line is not None, "it was opened for the sound"
        assert reading is not None
        if self._finishing and reading.done():
            self._say("final")
            return
        self._owed.append(line.sent_ms)
        self._idle.clear()
        if self._insisting is None or self._insisting.done():
            self._insist()
        if not self._finishing:
            await line.ask()

    def _insist(self) -> None:
        """On an answer to the oldest Pause."""
        assert self._line is not None
        self._insisting = asyncio.create_task(self._wait(self._line), name="utterance-insist")

    async def _wait(self, line: Line) -> None:
        try:
            async with asyncio.timeout(self._ears.vendor.timeout_s):
                await asyncio.sleep(INSIST_S)
                if self._open is not None and self._open.text:
                    await asyncio.sleep(INSIST_ON_WORDS_S - INSIST_S)
                if not self._finishing:
                    self._finishing = True
                    await line.finish()
                await self._idle.wait()
        except TimeoutError:
            self.out.put_nowait(self._ears.vendor.silent())
        except Exception as error:
            self.out.put_nowait(error)

    # ------------------------------------------------------------------ what is made of what it says

    def _take(self, piece: Piece) -> None:
        self._heard_in = piece.language or self._heard_in
        if piece.settled:
            self._settle(piece)
        else:
            self._open = piece
        if piece.asked_for and self._owed:
            self._answer(max(piece.until_ms, self._owed[0]))
        elif not piece.settled or not self._answer(piece.until_ms):
            self._say("partial")

    def _settle(self, piece: Piece) -> None:
        self._settled, self._open = self._joined(piece.text), None
        self._settled_words += self._timed(piece)

    def _answer(self, until_ms: int) -> bool:
        """The Pauses up to there."""
        answered = [place for place in self._owed if place <= until_ms]
        if not answered:
            return False
        self._owed = self._owed[len(answered) :]
        for _ in answered:
            self._say("final")
        if self._insisting is not None and not self._finishing:
            self._insisting.cancel()
            self._insisting = None
            if self._owed:
                self._insist()
        if not self._owed:
            self._idle.set()
        return True

    def _say(self, kind: Literal["partial", "final"]) -> None:
        text = self._joined(self._open.text if self._open else "")
        sure = len(self._settled) if kind == "partial" else 0
        if kind == "partial" and (text, sure) == self._said:
            return
        self._said = text, sure
        words = [*self._settled_words, *(self._timed(self._open) if self._open else ())]
        self.out.put_nowait(Transcript(kind, text, sure, tuple(words), self._heard_in))

    def _timed(self, piece: Piece) -> list[Word]:
        """Its words with times since the utterance's first sample."""
        return [
            replace(
                word,
                start_ms=max(0, word.start_ms + self._shift_ms),
                end_ms=max(0, word.end_ms + self._shift_ms),
            )
            for word in piece.words
        ]

    def _joined(self, text: str) -> str:
        """Behind what is settled."""
        text = text.strip()
        space = "" if self._heard_in in UNSPACED or not self._settled or not text else " "
        return self._settled + space + text
