"""An utterance that a vendor hears while it is spoken: what recognisers behind a WebSocket have in common.

    the line's sound    ├────── the utterance before ──────┼────── this one ──────────▶
    what it makes of it      settled │ settled │ settled   │ settled │ may still change

A line, once open, serves one utterance after the other, as long as they have the language and the hints in
common: a hand-shake takes as long as a word. Where there is none yet, sound waits until one has come about.

A Pause asks the vendor for what was said. It answers at once, but not when it believes that there is nothing
to say; then the line is finished, which is always answered, and the next sound goes over a new one.

A line that breaks, as one may in the very moment when it is used again, costs nothing, once in an utterance:
what is not settled of its sound is sent again over a new one.
"""

from __future__ import annotations

import asyncio
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.languages import UNSPACED
from pipeline.notices import Spent, tell
from pipeline.providers import Pause, Transcript, Word
from pipeline.settings import LiveSettings
from pipeline.stt.lines import Line, Lines, Piece
from pipeline.stt.telling import Told, told
from pipeline.vendor_socket import Vendor, is_lost

# Without an answer to a Pause for so long, the line is finished. Words that are not settled yet will be
# answered for; where there are none, the vendor may keep silent.
INSIST_S, INSIST_ON_WORDS_S = 0.3, 1.0
BYTES_PER_MS = 2 * MIC_RATE // 1000
AT_ONCE = 1000 * BYTES_PER_MS  # of sound that is sent again


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
        self.vendor = Vendor(
            "stt",
            name,
            where,
            self._key,
            _key_name(name),
            own.timeout_s,
            closings,
            elsewhere=bool(own.base_url),
        )
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
        self._in_order = asyncio.Lock()  # what is sent over the line, also when another one takes its place
        self._reading: asyncio.Task[None] | None = None
        self._insisting: asyncio.Task[None] | None = None
        self._finishing = False  # the line takes no more sound
        self._waited = False  # the line did, for this utterance, and has said nothing of it
        self._sent_again = False
        self._began_ms = 0  # of the line's sound, where the utterance begins
        self._shift_ms = 0  # from the line's time to the utterance's
        self._heard_ms = 0  # of the utterance
        self._asked_ms = 0  # its last Pause
        self._unsettled = bytearray()  # the end of its sound, int16
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
                    await self._hear(piece.samples.tobytes())
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

    async def _hear(self, sound: bytes) -> None:
        await self._connect()
        async with self._over_the_line() as line:
            self._unsettled += sound
            self._heard_ms += len(sound) // BYTES_PER_MS
            await line.send(sound)

    async def _connect(self) -> None:
        if self._finishing:
            assert self._reading is not None
            await asyncio.wait({self._reading}, timeout=self._ears.vendor.timeout_s)
            await self._let_go(give_back=False)
        if self._line is None:
            line = await self._ears.lines.take(self._language, self._hints)
            self._line, self._finishing, self._waited = line, False, line.sent_ms > 0
            self._began_ms, self._shift_ms = line.sent_ms, self._heard_ms - line.sent_ms
            self._reading = asyncio.create_task(self._read(), name="utterance-read")

    @asynccontextmanager
    async def _over_the_line(self) -> AsyncIterator[Line]:
        """One at a time. That the line broke is told to whoever reads it, too, who sees to that."""
        async with self._in_order:
            assert self._line is not None, "it was opened for the sound"
            with suppress(ProviderError):
                yield self._line

    async def _let_go(self, *, give_back: bool) -> None:
        for task in (self._reading, self._insisting):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._reading = self._insisting = None
        if self._line is None:
            return
        self._tell_charge(self._line)
        if give_back:
            await self._ears.lines.give_back(self._line, self._language, self._hints)
        else:
            await self._line.close()
        self._line = None

    def _tell_charge(self, line: Line) -> None:
        if (charged_s := line.charged_s()) > 0:
            tell(replace(self._ears.charges, amount=charged_s))

    async def _read(self) -> None:
        try:
            while True:
                assert self._line is not None
                try:
                    await self._read_all(self._line)
                    return
                except ProviderError as error:
                    broke = error.code == "unreachable" or (self._waited and is_lost(error))
                    if self._sent_again or not broke:
                        raise
                await self._send_again(self._line)
        except Exception as error:
            self.out.put_nowait(error)

    async def _read_all(self, line: Line) -> None:
        while (piece := await line.read()) is not None:
            if piece.until_ms > self._began_ms:  # else it is of the utterance before
                self._waited = False
                self._take(piece)
        if self._open is not None:
            self._settle(self._open)
        self._answer(line.sent_ms)

    async def _send_again(self, lost: Line) -> None:
        """What is not settled, over a new line."""
        self._sent_again = True
        async with self._in_order:
            self._tell_charge(lost)
            await lost.close()
            sound = bytes(self._unsettled)
            from_ms = self._heard_ms - len(sound) // BYTES_PER_MS
            self._owed = [max(0, place + self._shift_ms - from_ms) for place in self._owed]
            self._began_ms, self._shift_ms, self._open = 0, from_ms, None
            self._line = line = await self._ears.connect(self._language, self._hints)
            asked_at = self._owed[-1] * BYTES_PER_MS if self._owed else 0
            await _send_all(line, sound[:asked_at])
            if self._owed and not self._finishing:
                await line.ask()
            await _send_all(line, sound[asked_at:])
            if self._finishing:
                await line.finish()

    async def _ask(self) -> None:
        """A Pause: all sound up to now is to be answered for."""
        if self._heard_ms == self._asked_ms:  # nothing new
            if self._owed:
                self._owed.append(self._owed[-1])
            else:
                self._say("final")
            return
        self._asked_ms = self._heard_ms
        assert self._reading is not None
        if self._finishing and self._reading.done():
            self._say("final")
            return
        async with self._over_the_line() as line:
            self._owed.append(line.sent_ms)
            self._idle.clear()
            if self._insisting is None or self._insisting.done():
                self._insist()
            if not self._finishing:
                await line.ask()

    def _insist(self) -> None:
        """On an answer to the oldest Pause."""
        self._insisting = asyncio.create_task(self._wait(), name="utterance-insist")

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._ears.vendor.timeout_s):
                await asyncio.sleep(INSIST_S)
                if self._open is not None and self._open.text:
                    await asyncio.sleep(INSIST_ON_WORDS_S - INSIST_S)
                if not self._finishing:
                    async with self._over_the_line() as line:
                        self._finishing = True
                        await line.finish()
                await self._idle.wait()
        except TimeoutError:
            self.out.put_nowait(self._ears.vendor.silent())

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
        unsettled_ms = max(0, self._heard_ms - self._shift_ms - piece.until_ms)
        del self._unsettled[: max(0, len(self._unsettled) - unsettled_ms * BYTES_PER_MS)]
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


async def _send_all(line: Line, sound: bytes) -> None:
    for at in range(0, len(sound), AT_ONCE):
        await line.send(sound[at : at + AT_ONCE])
