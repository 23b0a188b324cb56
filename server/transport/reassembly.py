"""A message on a data channel that has no end, or no beginning, is not collected for ever.

aiortc 1.16 keeps every fragment until its message is whole, however much that is, and looks through all of
them at each new one: a few hundred megabytes would take the memory, and before that the time of all calls. A
peer that keeps to the window that it was told (RFC 9260 §6.2) cannot get there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from aiortc import RTCSctpTransport

log = logging.getLogger(__name__)

# Private names of aiortc's: what takes a fragment, bytes that may still come, numbers that came out of order.
RECEIVE, WINDOW, MISORDERED = "_receive_data_chunk", "_advertised_rwnd", "_sack_misordered"
MOST_MISORDERED = 2000  # packets; a window of 1 MiB in full packets has 900


def bound_reassembly(sctp: RTCSctpTransport, most_bytes: int, too_much: Callable[[], None]) -> bool:
    """Calls `too_much`, once, when more than `most_bytes` wait for the rest of their messages.

    After that nothing more is taken. To be called before the connection is made. Returns False where a
    private name is missing: then nothing is bounded.
    """
    missing = [name for name in (RECEIVE, WINDOW, MISORDERED) if not hasattr(sctp, name)]
    if missing:
        log.warning("aiortc has no %s; fragments on data channels are not bounded", ", ".join(missing))
        return False
    receive = getattr(sctp, RECEIVE)
    least = getattr(sctp, WINDOW) - most_bytes
    over = False

    async def bounded(chunk: Any) -> None:
        nonlocal over
        if over:
            return
        await receive(chunk)
        if getattr(sctp, WINDOW) < least or len(getattr(sctp, MISORDERED)) > MOST_MISORDERED:
            over = True
            too_much()

    setattr(sctp, RECEIVE, bounded)
    return True
