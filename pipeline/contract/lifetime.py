"""What all three owe from their start to their end, see `pipeline.providers.Provider`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from contextlib import aclosing
from typing import get_args

from pipeline.contract.bench import Bench, Broken, NotApplicable, all_of, expect, first_of
from pipeline.contract.checks import check
from pipeline.contract.leftovers import descendants, ended
from pipeline.contract.vendor import Behaviour
from pipeline.errors import ProviderError
from pipeline.settings import Language

UNKNOWN = "xx"  # no language
CLOSED_WITHIN_S = 5.0
CANCELLED_WITHIN_S = 2.0


@check()
async def it_says_what_it_is(bench: Bench) -> None:
    provider, stage = bench.provider, bench.subject.stage
    known = bench.subject.name or provider.name
    expect(isinstance(provider.name, str) and provider.name, "it has no name")
    expect(provider.name == known, f"it calls itself {provider.name}, the configuration calls it {known}")
    expect(isinstance(provider.detail, str) and provider.detail, "it has no detail for a person to read")
    expect(not any(key in provider.detail for key in bench.secrets), "its detail shows a key")
    flags = {"stt": ("full_pass", "punctuates"), "llm": ("wants_full",), "tts": ()}[stage]
    for flag in flags:
        expect(isinstance(getattr(provider, flag, None), bool), f"{flag} is no bool")
    if stage != "llm":
        answers = [provider.knows(language) for language in get_args(Language)]
        expect(any(answers) and all(isinstance(one, bool) for one in answers), f"knows() answers {answers}")


@check("stt", "tts")
async def a_language_that_it_does_not_know_is_refused(bench: Bench) -> None:
    expect(not bench.provider.knows(UNKNOWN), f"it says that it knows “{UNKNOWN}”")
    heard = bench.subject.stage == "stt"
    try:
        await all_of(bench.heard(bench.microphone(), UNKNOWN) if heard else bench.spoken("Hello.", UNKNOWN))
    except ProviderError as error:
        expect(error.code == "unsupported_language", f"that is “{error.code}”, not “unsupported_language”")
    else:
        raise Broken("it went to work")


@check(alone=True)
async def work_that_is_begun_before_the_start_waits_for_it(bench: Bench) -> None:
    async def started_late() -> None:
        await asyncio.sleep(0)  # the work begins first
        await bench.provider.start()

    done, _ = await asyncio.gather(bench.done(), started_late())
    expect(done, "it did nothing")


@check(alone=True)
async def it_may_be_closed_without_a_start_and_twice(bench: Bench) -> None:
    await bench.provider.close()
    await bench.provider.close()


@check(alone=True)
async def it_may_be_closed_while_it_works(bench: Bench) -> None:
    """The work then fails, or goes on until it is cancelled; the closing does not wait for it."""
    await bench.provider.start()
    with contextlib.suppress(NotApplicable):
        bench.vendor.work = Behaviour(hang_after=0)
    working = asyncio.create_task(all_of(bench.work(line_open=True)), name="in use")
    await asyncio.sleep(0.05)  # whatever it does by then
    try:
        async with asyncio.timeout(CLOSED_WITHIN_S):
            await bench.provider.close()
    except TimeoutError:
        raise Broken(f"close() takes longer than {CLOSED_WITHIN_S:g} s while it works") from None
    await cancelled(working)


@check(alone=True)
async def a_killed_process_costs_one_piece_of_work(bench: Bench) -> None:
    before = descendants()
    await bench.provider.start()
    processes = descendants() - before
    if not processes:
        raise NotApplicable("it has no process of its own")
    async with aclosing(bench.work(line_open=True)) as stream:  # type: ignore[type-var]
        await first_of(stream)
        for process, _ in descendants() - before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        await ended(processes)
        try:
            async with asyncio.timeout(CLOSED_WITHIN_S):
                async for _ in stream:
                    pass  # what it had said by then
        except ProviderError as error:
            expect(error.code == "crashed", f"that is “{error.code}”, not “crashed”")
        except TimeoutError:
            raise Broken("whoever waits for its work is told nothing") from None
    expect(await bench.done(), "it does no work any more")


async def cancelled(working: asyncio.Task[object]) -> None:
    """Cancels it. Raises Broken if that takes long, or if it fails with anything but ProviderError."""
    working.cancel()
    await asyncio.wait({working}, timeout=CANCELLED_WITHIN_S)
    if not working.done():
        raise Broken(f"it still works {CANCELLED_WITHIN_S:g} s after it was cancelled")
    error = None if working.cancelled() else working.exception()
    if error is not None and not isinstance(error, ProviderError):
        raise Broken(f"it raised {type(error).__name__}, not ProviderError: {error}") from error
