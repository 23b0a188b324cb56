"""In which of llama.cpp's slots a conversation is read.

A slot knows what it has read last, and reads only what is new. The server gives a request to the free slot
that knows most of it. But a reply that was prepared and thrown away keeps its slot busy for a moment, on a
small machine for seconds; the one that follows then goes to a slot that knows nothing, and all is read again.
So a conversation names its slot, and the server has it wait there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEPT_S = 120.0  # a conversation that says nothing for so long may be over


class Slots:
    """Of one server. Args: count: how many it has. clock: seconds."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._talks = [0] * count  # that each was last named by; 0: none
        self._used_s: list[float | None] = [None] * count

    def of(self, talk: int) -> int:
        """The slot of a conversation. A new one takes a slot that has read such a prompt and is not needed
        any more, else one that has read nothing, else the one that was not used for longest."""
        slot = self._talks.index(talk) if talk in self._talks else self._free()
        self._talks[slot], self._used_s[slot] = talk, self._clock()
        return slot

    def _free(self) -> int:
        over_s = self._clock() - KEPT_S
        used = [(at_s, slot) for slot, at_s in enumerate(self._used_s) if at_s is not None]
        _, oldest = min(used, default=(0.0, 0))
        unread = [slot for slot, at_s in enumerate(self._used_s) if at_s is None]
        over = [slot for at_s, slot in used if at_s <= over_s or not self._talks[slot]]
        return next(iter([*over, *unread]), oldest)
