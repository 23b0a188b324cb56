"""A vendor that is slow, falls silent or breaks off; and a client that leaves before the end."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

from pipeline.contract import leftovers
from pipeline.contract.bench import Bench, Broken, NotApplicable, all_of, expect, first_of
from pipeline.contract.checks import check
from pipeline.contract.lifetime import cancelled
from pipeline.contract.vendor import Behaviour, Seen
from pipeline.errors import ProviderError
from pipeline.notices import Notice, Spent, heard_by

TIMEOUT_S = 0.3
LATE_S = 2.0  # behind its timeout that it may say so, on a busy machine
CLOSED_WITHIN_S = 1.0
ONE_PIECE = "its vendor answers in one piece"


@check(vendor=True)
async def a_slow_vendor_is_waited_for(bench: Bench) -> None:
    await bench.provider.start()
    bench.vendor.work = Behaviour(first_ms=150, each_ms=10)
    expect(await bench.done(), "it did nothing")


@check(vendor=True)
async def a_silent_vendor_is_a_timeout(bench: Bench) -> None:
    await _times_out(bench, Behaviour(hang_after=0))


@check(vendor=True)
async def a_vendor_that_falls_silent_in_mid_stream_is_a_timeout(bench: Bench) -> None:
    await _times_out(bench, Behaviour(hang_after=1))


@check(vendor=True)
async def a_connection_that_breaks_at_once_is_an_error(bench: Bench) -> None:
    await _breaks(bench, Behaviour(cut_after=0))


@check(vendor=True)
async def a_connection_that_breaks_in_mid_stream_is_an_error(bench: Bench) -> None:
    await _breaks(bench, Behaviour(cut_after=1))


@check(vendor=True)
async def a_kept_connection_that_is_gone_when_it_is_used_costs_nothing(bench: Bench) -> None:
    """A vendor closes what waits for the next piece of work just when that comes: nothing of it was answered,
    so it is asked for once more, and nobody notices."""
    await bench.provider.start()
    before = _content(await bench.done())
    await asyncio.sleep(0.05)  # for connections that are opened for the next piece of work
    bench.vendor.work = Behaviour(drops_opened_before_s=time.monotonic())
    number = len(bench.vendor.seen)
    try:
        came = _content(await bench.done())
    except ProviderError as error:
        raise Broken(f"it was not asked for once more: {error}") from error
    outcomes = [seen.outcome for seen in bench.vendor.seen[number:]]
    if "cut" not in outcomes:
        raise NotApplicable("it keeps no connection, or its stand-in drops none")
    expect(outcomes == ["cut", "served"], f"its vendor saw {outcomes}")
    expect(came == before, f"it gave {came[:80]!r}, and before {before[:80]!r}")


@check("llm", "tts", vendor=True)
async def what_came_before_a_break_is_handed_on(bench: Bench) -> None:
    """Whoever takes over goes on from there."""
    await bench.provider.start()
    bench.vendor.work = Behaviour(cut_after=3)
    came = []
    try:
        async with aclosing(bench.work()) as stream:  # type: ignore[type-var]
            async for piece in stream:
                came.append(piece)
    except ProviderError:
        expect(came, "three pieces came from its vendor, and it handed on nothing")
    else:
        raise Broken("it did not fail")


@check()
async def work_that_is_cancelled_does_not_pile_up(bench: Bench) -> None:
    """Some may be kept for the next piece of work; but not more and more."""
    for _ in range(2):
        await _given_up(bench)
    before = leftovers.inventory()
    for _ in range(3):
        await _given_up(bench)
    more = await leftovers.more(before)
    expect(not more, f"after three more pieces of work there are {more} more than before")


async def _given_up(bench: Bench) -> None:
    working = asyncio.create_task(all_of(bench.work(line_open=True)), name="given up")
    await asyncio.sleep(0.03)  # whatever it does by then
    await cancelled(working)


@check(vendor=True)
async def work_that_is_cancelled_is_closed_at_the_vendor(bench: Bench) -> None:
    """As when a person goes on speaking: a reply that is prepared is thrown away, and is to cost no more."""
    await bench.provider.start()
    bench.vendor.work = Behaviour(hang_after=0)
    number = len(bench.vendor.seen)
    working = asyncio.create_task(all_of(bench.work(line_open=True)), name="cancelled")
    seen = await bench.vendor.request(number)
    await asyncio.sleep(0.05)  # whatever it does by then
    await cancelled(working)
    await _closed(seen)


@check(vendor=True)
async def a_stream_that_is_closed_half_way_is_closed_at_the_vendor(bench: Bench) -> None:
    await bench.provider.start()
    bench.vendor.work = Behaviour(hang_after=2)
    number = len(bench.vendor.seen)
    async with aclosing(bench.work(line_open=True)) as stream:  # type: ignore[type-var]
        await first_of(stream)
        seen = await bench.vendor.request(number)
        if seen.outcome == "served":
            raise NotApplicable(ONE_PIECE)
    await _closed(seen)
    bench.vendor.work = Behaviour()
    expect(await bench.done(), "the next piece of work brought nothing")


@check(vendor=True)
async def many_at_once_are_not_mixed_up(bench: Bench) -> None:
    await bench.provider.start()
    alone = _content(await bench.done())
    bench.vendor.work = Behaviour(each_ms=5)
    for came in await asyncio.gather(*(bench.done() for _ in range(8))):
        expect(_content(came) == alone, f"with others: {_content(came)[:80]!r}, alone: {alone[:80]!r}")


@check(vendor=True)
async def what_the_vendor_charges_is_told(bench: Bench) -> None:
    """To the call that it works for (`pipeline.notices`)."""
    told: list[Notice] = []
    await bench.provider.start()
    await asyncio.create_task(bench.done(), context=heard_by(told.append))
    _charged(bench, told)


@check(vendor=True)
async def what_is_cancelled_is_charged_too(bench: Bench) -> None:
    """What was asked for is paid for, heard or not."""
    told: list[Notice] = []
    await bench.provider.start()
    bench.vendor.work = Behaviour(hang_after=1)
    number = len(bench.vendor.seen)
    context = heard_by(told.append)
    working = asyncio.create_task(all_of(bench.work(line_open=True)), name="cancelled", context=context)
    await bench.vendor.request(number)
    await asyncio.sleep(0.05)  # whatever it does by then
    await cancelled(working)
    _charged(bench, told)


def _charged(bench: Bench, told: list[Notice]) -> None:
    """Raises NotApplicable for one that has no `charges`, and has told of none."""
    spent = [notice for notice in told if isinstance(notice, Spent)]
    charges: Spent | None = getattr(bench.provider, "charges", None)
    if charges is None and not spent:
        raise NotApplicable("it says that nothing is charged")
    own = charges or Spent(bench.subject.stage, bench.provider.name, spent[0].model, spent[0].unit, 0.0)
    for notice in spent:
        same = (notice.stage, notice.provider, notice.model) == (own.stage, own.provider, own.model)
        expect(same, f"{notice} is not as its charges have it: {own}")
        expect(notice.amount >= 0, f"less than nothing: {notice}")
    expect(any(notice.amount > 0 for notice in spent), "it told of nothing that is charged")


async def _times_out(bench: Bench, how: Behaviour) -> None:
    bench.vendor.work = how
    brief = bench.again(timeout_s=TIMEOUT_S)
    try:
        async with asyncio.timeout(TIMEOUT_S + LATE_S):
            await brief.provider.start()
            await brief.done()
    except ProviderError as error:
        expect(error.code == "timeout", f"that is “{error.code}”, not “timeout”: {error}")
    except TimeoutError:
        raise Broken(f"it still waits {LATE_S:g} s after its timeout_s of {TIMEOUT_S:g} s") from None
    else:
        if bench.vendor.seen[-1].outcome == "served":
            raise NotApplicable(ONE_PIECE)
        raise Broken("it took what came for all")
    finally:
        await brief.provider.close()


async def _breaks(bench: Bench, how: Behaviour) -> None:
    bench.vendor.work = how
    error = await bench.failure()
    allowed = ("unreachable", "bad_response")
    expect(error.code in allowed, f"that is “{error.code}”, not “unreachable” or “bad_response”: {error}")


async def _closed(seen: Seen) -> None:
    try:
        async with asyncio.timeout(CLOSED_WITHIN_S):
            await seen.ended.wait()
    except TimeoutError:
        raise Broken(f"it is still open at the vendor after {CLOSED_WITHIN_S:g} s") from None
    expect(seen.outcome == "closed_by_client", f"at the vendor that is “{seen.outcome}”, not closed")


def _content(came: list[object]) -> str:
    """Of a piece of work, what may not depend on how it was cut up."""
    parts = []
    for item in came:
        samples = getattr(item, "samples", None)
        if samples is not None:
            parts.append(samples.tobytes().hex())
        elif getattr(item, "kind", "") != "partial":
            parts.append(item if isinstance(item, str) else getattr(item, "text", ""))
    return "".join(parts)
