"""A check: a small coroutine over a bench, named after what it demands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.contract.bench import Bench
from pipeline.errors import Stage

STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")

Examination = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a provider owes.

    Its provider is started and shared with other checks of the kind, unless it is `alone`: then it has one
    of its own, not yet started. One that needs a `vendor` is always alone."""

    run: Examination  # raises Broken, NotApplicable, or whatever the provider raises
    stages: tuple[Stage, ...]
    vendor: bool
    alone: bool

    @property
    def name(self) -> str:
        return self.run.__name__


CHECKS: list[Check] = []  # filled by the modules of checks, which `suite` imports


def check(*stages: Stage, vendor: bool = False, alone: bool = False) -> Callable[[Examination], Examination]:
    """Makes a check of a coroutine, for providers of these stages (none: of all)."""

    def register(run: Examination) -> Examination:
        CHECKS.append(Check(run, stages or STAGES, vendor, alone or vendor))
        return run

    return register
