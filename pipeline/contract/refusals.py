"""A vendor that refuses, fails, or is not there: a ProviderError with the right code, and no key in it."""

from __future__ import annotations

from pipeline.contract.bench import Bench, NotApplicable, expect
from pipeline.contract.checks import check
from pipeline.contract.vendor import Behaviour
from pipeline.errors import ProviderError


@check(vendor=True)
async def a_refused_key_is_auth(bench: Bench) -> None:
    await _fails(bench, Behaviour(status=401), "auth")


@check(vendor=True)
async def what_the_key_may_not_use_is_forbidden(bench: Bench) -> None:
    await _fails(bench, Behaviour(status=403), "forbidden")


@check(vendor=True)
async def too_many_requests_are_rate_limited(bench: Bench) -> None:
    """With the seconds of Retry-After: so long a chain leaves it alone."""
    how = bench.vendor.work = Behaviour(status=429, retry_after_s=17)
    error = await bench.failure()
    expect(error.code == "rate_limited", f"429 is “{error.code}”, not “rate_limited”: {error}")
    expect(
        error.retry_after_s == how.retry_after_s,
        f"Retry-After is {how.retry_after_s} s, and the error says {error.retry_after_s}",
    )


@check(vendor=True)
async def a_vendor_that_fails_is_a_bad_response(bench: Bench) -> None:
    await _fails(bench, Behaviour(status=500), "bad_response", "unreachable")


@check(vendor=True)
async def a_web_page_is_a_bad_response(bench: Bench) -> None:
    """As a proxy or a hotel's router gives it, with status 200."""
    await _fails(bench, Behaviour(garbage="html"), "bad_response")


@check(vendor=True)
async def broken_json_is_a_bad_response(bench: Bench) -> None:
    bench.vendor.work = Behaviour(garbage="json")
    if bench.subject.stage == "tts" and await _is_noise(bench):
        raise NotApplicable("its vendor sends nothing but sound")
    await _fails(bench, bench.vendor.work, "bad_response")


@check(vendor=True)
async def nobody_there_is_unreachable(bench: Bench) -> None:
    make = bench.subject.vendor
    assert make is not None, "bench.vendor is there"
    async with make() as gone:
        settings = gone.settings()
    alone = bench.again(settings=settings)
    try:
        error = await alone.failure()
    finally:
        await alone.provider.close()
    expect(error.code == "unreachable", f"that is “{error.code}”, not “unreachable”: {error}")


@check(vendor=True)
async def a_failure_costs_one_piece_of_work(bench: Bench) -> None:
    bench.vendor.work = Behaviour(status=500)
    await bench.failure()
    bench.vendor.work = Behaviour()
    expect(await bench.done(), "the next piece of work brought nothing")


async def _is_noise(bench: Bench) -> bool:
    """Whether it takes anything for sound: there is nothing then by which it could be told."""
    try:
        return bool(await bench.done())
    except ProviderError:
        return False


async def _fails(bench: Bench, how: Behaviour, *codes: str) -> None:
    bench.vendor.work = how
    error = await bench.failure()
    allowed = " or ".join(f"“{code}”" for code in codes)
    expect(error.code in codes, f"that is “{error.code}”, not {allowed}: {error}")
