"""What calls may cost: the section [budget], and how much of it is spent today.

A day begins at midnight UTC, as it does for vendors. What was spent outlives the process in a small file.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from pipeline.settings import Section

log = logging.getLogger(__name__)

DAY_S = 86_400
SAVED_EVERY_S = 1.0  # at most: what a crash may lose
OWNER_ONLY = 0o600


class BudgetSettings(Section):
    """Money in the currency of [prices]; 0 means: no such limit."""

    call: float = Field(0.0, ge=0)
    day: float = Field(0.0, ge=0)  # of all calls together, from midnight to midnight UTC
    warn_at: float = Field(0.8, gt=0, le=1)  # of either, after which the person is told
    file: str = ""  # path, in which the day's sum outlives the process; "": it does not


class Budget:
    """Of one process.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, settings: BudgetSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._clock = clock
        self._path = Path(settings.file) if settings.file else None
        self._day = self._today()
        self._spent = self._read()
        self._saved_s = -math.inf  # on `clock`
        self._watchers: set[Callable[[], None]] = set()
        self._not_priced: set[str] = set()

    @property
    def spent(self) -> float:
        """Since midnight."""
        return self._spent if self._day == self._today() else 0.0

    @property
    def spent_for_s(self) -> int:
        """Seconds until midnight, where nothing more may be spent today; else 0."""
        if not self.settings.day or self.spent < self.settings.day:
            return 0
        return math.ceil(DAY_S - self._clock() % DAY_S)

    def share(self, call: float) -> float:
        """How much of what a call may cost is spent, when it has cost so much: 1.0 is all of it."""
        of_call = call / self.settings.call if self.settings.call else 0.0
        return max(of_call, self._of_day())

    def _of_day(self) -> float:
        return self.spent / self.settings.day if self.settings.day else 0.0

    def pay(self, money: float) -> None:
        """A call has spent so much."""
        if not money:
            return
        marks = self.settings.warn_at, 1.0
        before = self._of_day()
        self._spent, self._day = self.spent + money, self._today()
        if self._clock() - self._saved_s >= SAVED_EVERY_S:
            self.save()
        if any(before < mark <= self._of_day() for mark in marks):
            for look in tuple(self._watchers):
                look()

    def cannot_count(self, name: str) -> None:
        """A call has used what has no price."""
        if (self.settings.call or self.settings.day) and name not in self._not_priced:
            self._not_priced.add(name)
            log.warning("%s has no price in [prices.models]: no budget counts it", name)

    def watch(self, look: Callable[[], None]) -> None:
        """`look` is called when the day's sum passes the warning's mark, and when it is all spent."""
        self._watchers.add(look)

    def unwatch(self, look: Callable[[], None]) -> None:
        self._watchers.discard(look)

    # ---------------------------------------------------------------- file

    def _today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))

    def _read(self) -> float:
        if self._path is None:
            return 0.0
        try:
            kept = json.loads(self._path.read_bytes())
            return float(kept["spent"]) if kept["day"] == self._day else 0.0
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError, KeyError, TypeError):
            log.error("%s cannot be read: what was spent today before is not counted", self._path)
            return 0.0

    def save(self) -> None:
        """Writes the day's sum in place of what is there: some bytes, for which no call's sound waits."""
        if self._path is None:
            return
        self._saved_s = self._clock()
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.unlink(missing_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
                json.dump({"day": self._today(), "spent": self.spent}, file)
            beside.replace(self._path)
        except OSError as error:
            log.error("what was spent today is not kept: %s: %s", self._path, error.strerror)
