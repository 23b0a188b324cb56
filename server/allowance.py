"""The longest that a call may be: the person is told before it ends, and it ends with a farewell."""

from __future__ import annotations

import asyncio

from pipeline.session import Session
from server.access.door import LimitSettings
from server.wire.realtime import Realtime

ASKED_EVERY_S = 0.25  # whether the person has come to the end of a sentence
FAREWELL_WITHIN_S = 20.0  # for that, and for the farewell; then the call ends without
HEARD_AFTER_S = 1.0  # the last word is in the client's jitter buffer when it has left here

WHY = "time_over"


async def use_up(limits: LimitSettings, session: Session, wire: Realtime, ended: asyncio.Event) -> None:
    """Returns when the call is to be hung up.

    Args:
        ended: set when the session has said its last word.
    """
    warning_s = min(limits.call_warning_s, limits.call_s)
    await asyncio.sleep(limits.call_s - warning_s)
    wire.ending(warning_s, WHY)
    await asyncio.sleep(warning_s)
    try:
        async with asyncio.timeout(FAREWELL_WITHIN_S):
            while not session.farewell(WHY):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(ASKED_EVERY_S)
            await ended.wait()
    except TimeoutError:
        return
    await asyncio.sleep(HEARD_AFTER_S)
