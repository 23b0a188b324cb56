"""All checks of a stage on one plug-in, one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.audio import MIC_RATE, Resampler
from pipeline.contract import ears, heartbeat, leftovers, lifetime, mind, refusals, streams, voice
from pipeline.contract.bench import Bench, Broken, NotApplicable, Subject
from pipeline.contract.checks import CHECKS, Check, Examination
from pipeline.errors import ProviderError, Stage
from pipeline.providers import VoiceStyle
from pipeline.settings import Settings
from pipeline.tts import espeak

MODULES = (lifetime, ears, mind, voice, refusals, streams)  # in which checks are written
WITHIN_S = 60.0  # a model on a slow machine, asked a dozen times
SENTENCE = "Tell me about it."
BEFORE_MS, AFTER_MS = 300, 120  # of silence around it, as the gate hands it on
CREATED = "it_is_created"
START = "it_starts"
LEFT = "it_leaves_nothing_behind"


@dataclass(frozen=True, slots=True)
class Result:
    check: str
    outcome: Literal["ok", "failed", "not applicable"]
    why: str = ""


def checks(stage: Stage, *, vendor: bool) -> list[Check]:
    """Those that fit a plug-in, with a stand-in of its vendor or without."""
    fitting = [check for check in CHECKS if stage in check.stages]
    return [check for check in fitting if vendor or not check.vendor]


def names(stage: Stage, *, vendor: bool) -> list[str]:
    """Of all results that an examination gives, in its order."""
    fitting = checks(stage, vendor=vendor)
    shared = [check.name for check in fitting if not check.alone]
    return [CREATED, START, *shared, LEFT, *(check.name for check in fitting if check.alone)]


async def examine(
    subject: Subject, only: Collection[str] = (), dead: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Result]:
    """A result for each check, as it comes.

    Args:
        only: names of checks; none: all.
        dead: see `heartbeat.listened_to`.
    """
    created = await _created(subject)
    yield created
    if created.outcome == "failed":
        return
    speech = await spoken() if subject.stage == "stt" else np.zeros(0, np.int16)
    fitting = checks(subject.stage, vendor=subject.vendor is not None)
    wanted = [check for check in fitting if not only or check.name in only]
    shared = [check for check in wanted if not check.alone]
    async with aclosing(_shared(subject, speech, shared, dead)) as results:
        async for result in results:
            yield result
    for check in wanted:
        if check.alone:
            yield await _alone(subject, speech, check, dead)


async def _created(subject: Subject) -> Result:
    try:
        lacks = None if subject.vendor else subject.module.missing(subject.settings)
        if lacks:
            return Result(CREATED, "failed", f"it lacks something here: {lacks}")
        async with _bench(subject, np.zeros(0, np.int16)) as bench:
            work = {"stt": "transcribe", "llm": "reply", "tts": "speak"}[subject.stage]
            for part in ("name", "detail", "start", "close", work):
                if not hasattr(bench.provider, part):
                    return Result(CREATED, "failed", f"it has no {part}")
    except Exception as error:
        return Result(CREATED, "failed", f"{type(error).__name__}: {error}")
    return Result(CREATED, "ok")


async def _shared(
    subject: Subject, speech: np.ndarray, wanted: list[Check], dead: Callable[[str], None]
) -> AsyncGenerator[Result, None]:
    """All of them on one provider, which then may leave nothing behind."""
    if not wanted:
        return
    before = leftovers.inventory()
    try:
        async with _bench(subject, speech) as bench:
            started = await _judged(START, bench, lambda each: each.provider.start(), dead)
            yield started
            if started.outcome == "ok":
                for check in wanted:
                    yield await _judged(check.name, bench, check.run, dead)
            during = leftovers.inventory()
    except Exception as error:
        yield Result(LEFT, "failed", _not_closed(error))
        return
    left = await leftovers.left(before, during)
    yield Result(LEFT, "failed" if left else "ok", left)


async def _alone(subject: Subject, speech: np.ndarray, check: Check, dead: Callable[[str], None]) -> Result:
    """One on a provider of its own."""
    before = leftovers.inventory()
    try:
        async with _bench(subject, speech) as bench:
            result = await _judged(check.name, bench, check.run, dead)
            during = leftovers.inventory()
    except Exception as error:
        return Result(check.name, "failed", _not_closed(error))
    left = await leftovers.left(before, during)
    if left and result.outcome == "ok":
        return Result(check.name, "failed", f"it leaves behind {left}")
    return result


def _not_closed(error: Exception) -> str:
    return f"it cannot be closed: {type(error).__name__}: {error}"


@asynccontextmanager
async def _bench(subject: Subject, speech: np.ndarray) -> AsyncIterator[Bench]:
    """With the stand-in of the vendor, if there is one; closed within WITHIN_S, or TimeoutError is raised."""
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(subject.vendor()) if subject.vendor else None
        bench = Bench(subject, vendor.settings() if vendor else subject.settings, vendor, speech)
        try:
            yield bench
        finally:
            async with asyncio.timeout(WITHIN_S):
                await bench.provider.close()


async def _judged(name: str, bench: Bench, run: Examination, dead: Callable[[str], None]) -> Result:
    try:
        with _logged() as lines:
            async with heartbeat.listened_to(dead) as heart, asyncio.timeout(WITHIN_S):
                await run(bench)
    except NotApplicable as why:
        return Result(name, "not applicable", str(why))
    except Broken as broken:
        return Result(name, "failed", str(broken))
    except TimeoutError:
        return Result(name, "failed", f"it did not end within {WITHIN_S:g} s")
    except ProviderError as error:
        return Result(name, "failed", f"{error} (“{error.code}”)")
    except Exception as error:
        return Result(name, "failed", f"{type(error).__name__}: {error}")
    shown = any(key in line for key in bench.secrets for line in lines)
    failure = "a log line shows a key" if shown else heart.failure
    return Result(name, "failed" if failure else "ok", failure)


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Every line that is logged inside, tracebacks included, as on a server that is told to log it all."""
    root = logging.getLogger()
    before, others = root.level, [(handler, handler.level) for handler in root.handlers]
    lines = _Lines()
    for handler, level in others:
        handler.setLevel(max(level, before))
    root.addHandler(lines)
    root.setLevel(logging.DEBUG)
    try:
        yield lines.written
    finally:
        root.setLevel(before)
        root.removeHandler(lines)
        for handler, level in others:
            handler.setLevel(level)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record))


async def spoken(sentence: str = SENTENCE) -> np.ndarray:
    """The embedded voice says it: int16 (n,) at MIC_RATE. Raises ProviderError."""
    voice_ = espeak.create(Settings())
    try:
        await voice_.start()
        stream = voice_.speak(sentence, language="en", style=VoiceStyle())
        said = np.concatenate([piece.samples async for piece in stream])
    finally:
        await voice_.close()
    resampler = Resampler(espeak.RATE, MIC_RATE)
    silences = [np.zeros(length * MIC_RATE // 1000, np.int16) for length in (BEFORE_MS, AFTER_MS)]
    return np.concatenate([silences[0], resampler.push(said), resampler.flush(), silences[1]])
