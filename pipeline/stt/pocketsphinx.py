"""The embedded recogniser: pocketsphinx with the US English model of its wheel, in processes of its own.

Speech is decoded as it comes (`pocketsphinx_worker`). A very long utterance is cut at a pause now and then,
because what a full pass costs grows with the length of what it looks at.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.forking import FRAME
from pipeline.providers import Pause, Recognizer, Transcript, Word
from pipeline.settings import Settings
from pipeline.stt.telling import Told, told
from pipeline.trunk import Trunk

NAME = "pocketsphinx"
CUT_AFTER_S = 10.0  # a stretch this long is cut where speech goes on after a pause

# Cepstral mean before anything was heard, of four synthetic voices at usual levels. The decoder's own guess
# (40,3,-1) does not fit its model: with it 12 words of 100 are wrong instead of 7 until it has adapted.
MEAN = "50,2,8,17,4,2,6,-9,-5,-5,8,2,3"


def missing(settings: Settings) -> str | None:
    """It comes with everything it needs, but cannot fork on Windows."""
    return None if hasattr(os, "fork") else "needs a system with fork (Linux, macOS)"


def to_know(settings: Settings, language: str) -> None:
    """Its model is English; nothing adds another language."""


def create(settings: Settings) -> Recognizer:
    return Pocketsphinx(settings.stt.pocketsphinx.at_once, settings.stt.pocketsphinx.full_pass)


class Pocketsphinx:
    """See `pipeline.providers.Recognizer`. Knows English only."""

    name = NAME
    detail = "US English, on this server"
    punctuates = False

    def __init__(self, at_once: int = 8, full_pass: bool = True) -> None:
        self.full_pass = full_pass
        self._slots = asyncio.Semaphore(at_once)
        self._trunk = Trunk("stt", NAME, "pipeline.stt.pocketsphinx_worker", "full" if full_pass else "fast")

    async def start(self) -> None:
        await self._trunk.start()

    async def close(self) -> None:
        await self._trunk.close()

    def knows(self, language: str) -> bool:
        return language == "en"

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        if not self.knows(language):
            raise ProviderError("stt", NAME, f"knows English, not “{language}”", "unsupported_language")
        async with self._slots:
            utterance = _Utterance(self._trunk, self.full_pass)
            feeding = told(utterance.out, partial(utterance.feed, audio), "pocketsphinx-feed")
            try:
                async with aclosing(feeding) as transcripts:
                    async for transcript in transcripts:
                        yield transcript
            finally:
                await utterance.close()


class _Utterance:
    """Joins the stretches of one utterance."""

    def __init__(self, trunk: Trunk, full_pass: bool) -> None:
        self._trunk = trunk
        self._full_pass = full_pass
        self._stretches: list[_Stretch] = []
        # Bounded by what the recogniser says: ten partials a second of speech.
        self.out: asyncio.Queue[Told] = asyncio.Queue()

    async def feed(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        """Audio into the newest stretch, to the end of both."""
        try:
            async for piece in audio:
                stretch = await self._stretch_for(piece)
                if isinstance(piece, Pause):
                    stretch.send(b"P")
                else:
                    stretch.send(b"A", piece.samples.tobytes())
                await stretch.drain()
            if self._stretches:
                self._stretches[-1].send(b"E")
                await asyncio.gather(*(stretch.reading for stretch in self._stretches))
            self.out.put_nowait(None)
        except Exception as error:
            self.out.put_nowait(error)

    async def _stretch_for(self, piece: AudioChunk | Pause) -> _Stretch:
        """The newest stretch, or a new one if that has become too long and just had its pause."""
        last = self._stretches[-1] if self._stretches else None
        if last is None or (
            isinstance(piece, AudioChunk) and last.paused and last.samples >= CUT_AFTER_S * MIC_RATE
        ):
            if last is not None:
                last.send(b"E")
            offset = last.offset + last.samples if last is not None else 0
            mean = last.mean if last is not None else MEAN
            stretch = _Stretch(*await self._trunk.fork(), offset, mean)
            stretch.send(b"M", mean.encode())
            self._stretches.append(stretch)
            stretch.reading = asyncio.create_task(self._read(stretch, last), name="pocketsphinx-read")
        return self._stretches[-1]

    async def _read(self, stretch: _Stretch, before: _Stretch | None) -> None:
        """Passes on what the stretch says, until it has ended."""
        try:
            async for line in stretch.reader:
                said = json.loads(line)
                stretch.take(said)
                if before is not None and said["kind"] != "partial":
                    await before.reading  # it had its pause long ago, so it is done unless all are late
                if stretch is self._stretches[-1]:
                    self.out.put_nowait(self._transcript(said["kind"], said.get("sure", 0)))
            if not stretch.settled(self._full_pass):
                raise ConnectionError
        except (ConnectionError, ValueError) as error:
            crashed = self._trunk.crashed("the decoder crashed; what was said is lost")
            crashed.__cause__ = error
            self.out.put_nowait(crashed)

    def _transcript(self, kind: Any, sure: int) -> Transcript:
        words = [word for stretch in self._stretches for word in stretch.words]
        sure_words = len(words) - len(self._stretches[-1].words) + sure
        return Transcript(
            kind,
            " ".join(word.text for word in words),
            sure=len(" ".join(word.text for word in words[:sure_words])) if kind == "partial" else 0,
            words=tuple(words),
        )

    async def close(self) -> None:
        for stretch in self._stretches:
            stretch.reading.cancel()
            stretch.writer.transport.abort()  # and not after all that waits to be sent
        for stretch in self._stretches:
            with suppress(asyncio.CancelledError):
                await stretch.reading
            with suppress(OSError):
                await stretch.writer.wait_closed()


class _Stretch:
    """One forked decoder: what was sent to it, and what it made of that."""

    reading: asyncio.Task[None]

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, offset: int, mean: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.offset = offset  # samples since the utterance began
        self.mean = mean  # cepstral, as known last
        self.samples = 0
        self.paused = False
        self.words: list[Word] = []
        self._owed = 0  # pauses without a final
        self._ended = False
        self._full_owed = False  # the last pause is without a full

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        asked = kind == b"P" or (kind == b"E" and not self.paused and self.samples > 0)
        if asked:
            self._owed += 1
            self._full_owed = True
        self.paused = self.paused if kind == b"E" else kind == b"P"
        self._ended = self._ended or kind == b"E"
        self.samples += len(payload) // 2 if kind == b"A" else 0
        self.writer.write(FRAME.pack(kind, len(payload)) + payload)

    async def drain(self) -> None:
        with suppress(ConnectionError):  # the reader says it, with the right words
            await self.writer.drain()

    def take(self, said: dict[str, Any]) -> None:
        offset_ms = 1000 * self.offset // MIC_RATE
        self.words = [
            Word(text, offset_ms + start, offset_ms + end, confidence)
            for text, start, end, confidence in said["words"]
        ]
        self.mean = said.get("mean") or self.mean
        self._owed -= said["kind"] == "final"
        if said["kind"] == "full":
            self._full_owed = False

    def settled(self, full_pass: bool) -> bool:
        """It was told to end, and everything it owed has come."""
        return self._ended and self._owed == 0 and not (full_pass and self._full_owed)
