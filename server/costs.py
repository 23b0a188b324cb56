"""What one call has cost so far, in tokens, seconds, characters and money, and whether it may cost more.

Preparing answers is part of it: one that was thrown away, because the person went on speaking, is paid for
all the same. What belongs to a reply that was never released is told apart.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pipeline import events as ev
from pipeline.notices import Spent
from server.budget import Budget, BudgetSettings
from server.prices import PriceSettings, name_of

log = logging.getLogger(__name__)

Amounts = Counter[Spent]  # by what it was, itself without an amount


class Costs:
    """One call's.

    Args:
        on_spent: is told of everything, with its money (None: not priced).
        before: what it had spent in the process before this one.
    """

    def __init__(
        self,
        prices: PriceSettings | None = None,
        budget: Budget | None = None,
        on_spent: Callable[[Spent, float | None], None] = lambda spent, money: None,
        before: Iterable[Spent] = (),
    ) -> None:
        self.nearly_spent = asyncio.Event()  # the person is to be told
        self.all_spent = asyncio.Event()  # it is to end
        self.money = 0.0  # as far as prices are known
        self._prices = prices or PriceSettings()
        self._budget = budget or Budget(BudgetSettings())
        self._on_spent = on_spent
        self._released: set[str] = set()  # replies
        self._unreleased: dict[str, Amounts] = {}  # by reply: prepared, or thrown away
        self._used: Amounts = Counter()
        self._turn: Amounts = Counter()  # since the last turn was over
        for spent in before:
            _add(self._place(spent), spent)
            self.money += self._prices.cost(spent) or 0.0

    def open(self) -> None:
        """The call begins: it has to do with what others spend, too."""
        self._budget.watch(self._look)
        self._look()

    def close(self) -> None:
        """The call is over."""
        self._budget.unwatch(self._look)
        self._log("call", self._all())

    def observe(self, event: ev.Event) -> None:
        """One event of its session."""
        match event:
            case ev.Spent():
                self._spend(event)
            case ev.ReplyCreated(response_id=released):
                self._released.add(released)
                self._used += self._unreleased.pop(released, Counter())
            case ev.TurnMeasured():
                self._log("turn", self._turn)
                self._turn = Counter()

    def _spend(self, spent: Spent) -> None:
        _add(self._place(spent), spent)
        _add(self._turn, spent)
        money = self._prices.cost(spent)
        if money is None:
            self._budget.cannot_count(name_of(spent))
        self.money += money or 0.0
        self._on_spent(spent, money)
        self._budget.pay(money or 0.0)
        self._look()

    def _place(self, spent: Spent) -> Amounts:
        if spent.response_id and spent.response_id not in self._released:
            return self._unreleased.setdefault(spent.response_id, Counter())
        return self._used

    def _look(self) -> None:
        share = self._budget.share(self.money)
        if share >= self._budget.settings.warn_at:
            self.nearly_spent.set()
        if share >= 1:
            self.all_spent.set()

    # ----------------------------------------------------------------- out

    @property
    def wasted(self) -> float:
        """Of the money, what answers have cost that nobody heard."""
        return self._money(self._wasted())

    def left(self) -> tuple[Spent, ...]:
        """For the process after this one."""
        wasted = ((reply, spent) for reply, amounts in self._unreleased.items() for spent in _each(amounts))
        return (*_each(self._used), *(replace(spent, response_id=reply) for reply, spent in wasted))

    def figures(self) -> dict[str, Any]:
        """As `viva.costs` has them; {}: no vendor was asked for anything."""
        if not self._all():
            return {}
        return self._figures(self._all()) | {"wasted": _rounded(self.wasted)}

    def _wasted(self) -> Amounts:
        return sum(self._unreleased.values(), Counter())

    def _all(self) -> Amounts:
        return self._used + self._wasted()

    def _money(self, amounts: Amounts) -> float:
        return sum(self._prices.cost(spent) or 0.0 for spent in _each(amounts))

    def _figures(self, amounts: Amounts) -> dict[str, Any]:
        costs = {spent: self._prices.cost(spent) for spent in _each(amounts)}
        return {
            "currency": self._prices.currency,
            "money": _rounded(self._money(amounts)),
            "not_priced": sorted({name_of(spent) for spent, money in costs.items() if money is None}),
            "used": [
                {
                    "stage": spent.stage,
                    "name": name_of(spent),
                    "unit": spent.unit,
                    "amount": round(spent.amount, 3),
                    "money": None if money is None else _rounded(money),
                }
                for spent, money in costs.items()
            ],
        }

    def _log(self, what: str, amounts: Amounts) -> None:
        if amounts:
            costs = {"of": what, **self._figures(amounts)}
            log.info("costs %s", json.dumps(costs), extra={"costs": costs})


def budget_line(prices: PriceSettings, budget: BudgetSettings, providers: Iterable[Any]) -> str:
    """For whoever starts it: what calls may cost, and what of that cannot be counted. "": no limit."""
    limits = ((budget.call, "a call"), (budget.day, "a day"))
    told = ", ".join(f"{money:g} {prices.currency} {each}" for money, each in limits if money)
    if told and (names := prices.not_priced(providers)):
        told += f"; not counted, as it has no price in [prices.models]: {', '.join(names)}"
    return told


def _add(amounts: Amounts, spent: Spent) -> None:
    amounts[replace(spent, amount=0.0, response_id="")] += spent.amount  # type: ignore[assignment]


def _each(amounts: Amounts) -> Iterable[Spent]:
    return (replace(spent, amount=amount) for spent, amount in amounts.items())


def _rounded(money: float) -> float:
    return round(money, 6)
