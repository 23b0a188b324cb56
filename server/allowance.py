"""How long a call may be, and what it may cost: the person is told before, and it ends with a farewell."""

from __future__ import annotations

import asyncio

from pipeline.session import Session
from server.access.door import LimitSettings
from server.costs import Costs
from server.wire.realtime import Realtime

ASKED_EVERY_S = 0.25  # whether the person has come to the end of a sentence
FAREWELL_WITHIN_S = 20.0  # for that, and for the farewell; then the call ends without
HEARD_AFTER_S = 1.0  # the last word is in the client's jitter buffer when it has left here

TIME, MONEY = "time_over", "budget_spent"  # why


async def use_up(
    limits: LimitSettings, costs: Costs, session: Session, wire: Realtime, ended: asyncio.Event
) -> str:
    """Returns when the call is to be hung up, and why.

    Args:
        ended: set when the session has said its last word.
    """
    over = {
        asyncio.create_task(_time(limits, wire), name="time"): TIME,
        asyncio.create_task(_money(costs, wire), name="money"): MONEY,
    }
    try:
        done, _ = await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in over:
            task.cancel()
        await asyncio.wait(over)
    why = over[done.pop()]
    try:
        async with asyncio.timeout(FAREWELL_WITHIN_S):
            while not session.farewell(why):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(ASKED_EVERY_S)
            await ended.wait()
    except TimeoutError:
        return why
    await asyncio.sleep(HEARD_AFTER_S)
    return why


async def _time(limits: LimitSettings, wire: Realtime) -> None:
    if not limits.call_s:
        await asyncio.Event().wait()  # as long as they like
    warning_s = min(limits.call_warning_s, limits.call_s)
    await asyncio.sleep(limits.call_s - warning_s)
    wire.ending(warning_s, TIME)
    await asyncio.sleep(warning_s)


async def _money(costs: Costs, wire: Realtime) -> None:
    await costs.nearly_spent.wait()
    wire.ending(None, MONEY)
    await costs.all_spent.wait()
