"""Connections to a vendor that hears: each serves one utterance after the other, and waits between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.providers import Word

KEPT = 32  # lines that wait for an utterance, at most


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
