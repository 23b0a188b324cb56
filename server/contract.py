"""`viva --contract stt:name`: what every plug-in of a stage owes, tried on one of them, a line a check."""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from pipeline.choice import plugin
from pipeline.contract.bench import Subject
from pipeline.contract.checks import STAGES
from pipeline.contract.suite import examine
from pipeline.contract.vendor import Vendor
from pipeline.errors import ConfigError
from pipeline.settings import Settings


async def contract(settings: Settings, which: str, vendor: str | None) -> int:
    """0: it keeps the contract; 1: it does not, and lines say where. Raises ConfigError.

    Args:
        which: "stt:name" as in the configuration, or "stt:package.module" of one that is not announced yet.
        vendor: "package.module:Factory" that makes a `pipeline.contract.vendor.Vendor`.
    """
    examined = subject(settings, which, vendor)
    if vendor is None:
        print("without --vendor: what a vendor may do to it is not tried", flush=True)
    outcomes: Counter[str] = Counter()
    async for result in examine(examined, dead=_give_up):
        words = result.check.replace("_", " ")
        print(f"{result.outcome:14}  {words}{f': {result.why}' if result.why else ''}", flush=True)
        outcomes[result.outcome] += 1
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()), flush=True)
    return 1 if outcomes["failed"] else 0


def subject(settings: Settings, which: str, vendor: str | None) -> Subject:
    """What is to be examined. Raises ConfigError."""
    stage, _, name = which.partition(":")
    for known in STAGES:
        if stage == known and name:
            break
    else:
        raise ConfigError(f"--contract {which}: write stt:, llm: or tts: and a plug-in's name")
    make: Callable[[], Vendor] | None = _found("--vendor", vendor) if vendor else None
    if "." in name:
        return Subject(known, _found("--contract", name), settings, make)
    return Subject(known, plugin(known, name), settings, make, name)


def _found(option: str, path: str) -> Any:
    """A module, or what is behind the colon in it. The folder in which this is run is looked in, too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    module, _, name = path.partition(":")
    try:
        loaded = importlib.import_module(module)
        return getattr(loaded, name) if name else loaded
    except Exception as error:  # whatever the module does when it is imported
        raise ConfigError(f"{option} {path}: {type(error).__name__}: {error}") from error


def _give_up(why: str) -> None:
    """From a thread: nothing on the event loop will ever run again."""
    print(f"failed          {why}", flush=True)
    os._exit(1)
