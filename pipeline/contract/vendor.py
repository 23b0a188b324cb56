"""A vendor's stand-in, and how it behaves: in time, late, broken, wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.settings import Settings

# of one request: "closed_by_client" is what a provider that was cancelled owes
Outcome = Literal["open", "served", "failed", "cut", "closed_by_client"]


@dataclass
class Behaviour:
    """How a route or a WebSocket answers. Pieces: a reply's tokens, a transcript's words, blocks of sound."""

    status: int = 200  # another one: the error that the vendor sends with it
    retry_after_s: int = 20  # what a 429 asks for
    first_ms: float = 0.0  # before the first piece (and before the headers)
    each_ms: float = 0.0  # before each later piece
    hang_after: int | None = None  # pieces; then nothing more comes, and the connection stays open
    cut_after: int | None = None  # pieces; then the connection is broken
    drops_opened_before_s: float = 0.0  # `time.monotonic`: such a connection breaks at its next request
    garbage: Literal["", "html", "json"] = ""  # 200, but a web page, or JSON that is none


async def paced(how: Behaviour, pieces: Sequence[str | bytes]) -> AsyncIterator[bytes]:
    """The pieces that are sent, each when it is due; after `hang_after` only the client ends the wait."""
    for number, piece in enumerate(pieces):
        if number == how.hang_after:
            await asyncio.Event().wait()  # until the client goes, which cancels the handler
        if number == how.cut_after:
            return
        await asyncio.sleep((how.each_ms if number else how.first_ms) / 1000)
        yield piece.encode() if isinstance(piece, str) else piece


class Seen(Protocol):
    """One piece of work as it arrived at the stand-in, and what became of it."""

    outcome: Outcome
    ended: asyncio.Event  # set when `outcome` is final


class Vendor(AbstractAsyncContextManager["Vendor"], Protocol):
    """Speaks the vendor's protocol on a free port of 127.0.0.1 while it is entered.

    It answers every piece of work well, unless `work` says otherwise: a recogniser's with some words, a
    mind's with some tokens, a voice's with some sound; the same each time."""

    work: Behaviour  # may be changed at any time; holds for what arrives from then on

    @property
    def seen(self) -> Sequence[Seen]:
        """In order of arrival."""

    async def request(self, number: int = 0) -> Seen:
        """The `number`-th of them, as soon as it has arrived."""

    def settings(self) -> Settings:
        """With which the plug-in asks the stand-in, and has a key (one that can be recognised in a log)."""
