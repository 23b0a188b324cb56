"""How a vendor's server on 127.0.0.1 behaves, whatever it speaks: in time, late, broken, wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

# of one request: "closed_by_client" is what a provider that was cancelled owes
Outcome = Literal["open", "served", "failed", "cut", "closed_by_client"]


@dataclass
class Behaviour:
    """How a route or a WebSocket answers. Pieces: a reply's tokens, a transcript's words, blocks of sound."""

    status: int = 200  # another one: the error that the vendor sends with it
    first_ms: float = 0.0  # before the first piece (and before the headers)
    each_ms: float = 0.0  # before each later piece
    hang_after: int | None = None  # pieces; then nothing more comes, and the connection stays open
    cut_after: int | None = None  # pieces; then the connection is broken
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
