"""What a call costs: prices of what it used, what was thrown away, what it had cost before, its budget."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.notices import Spent, Unit
from pipeline.settings import CallSettings
from server.budget import Budget, BudgetSettings
from server.config import load
from server.costs import Costs, budget_line
from server.prices import PriceSettings, is_own

PRICES = PriceSettings.model_validate(
    {"currency": "EUR", "models": {"mine": {"hour": 3.6}, "mine/free": {}, "127.0.0.1/m": {"input": 1.0}}}
)


def spent(unit: Unit, amount: float, model: str = "gpt-4o-mini", **more: Any) -> Spent:
    return Spent("llm", more.pop("provider", "openai"), model, unit, amount, **more)


def released(response_id: str) -> ev.ReplyCreated:
    return ev.ReplyCreated(response_id, CallSettings())


@pytest.mark.parametrize(
    ("used", "money"),
    [
        (spent("input_tokens", 1_000_000), 0.15),
        (spent("cached_tokens", 1_000_000), 0.075),
        (spent("output_tokens", 500), 0.0003),
        (spent("input_tokens", 1_000_000, "gpt-4o-mini-2024-07-18"), 0.15),
        (spent("seconds", 90, "whisper-1"), 0.009),
        (spent("characters", 200_000, "tts-1"), 3.0),
        (spent("seconds", 90, "tts-1"), 0.0),  # which is charged for by the character
        (spent("seconds", 10, "any", provider="mine"), 0.01),
        (spent("seconds", 10, "free", provider="mine"), None),
        (spent("input_tokens", 10, "gpt-9"), None),
        (spent("characters", 10, "x", provider="unheard-of"), None),
    ],
)
def test_what_is_used_costs_what_the_table_says(used: Spent, money: float | None) -> None:
    assert PRICES.cost(used) == (None if money is None else pytest.approx(money))


def test_cached_tokens_without_a_price_of_their_own_cost_what_others_do() -> None:
    prices = PriceSettings.model_validate({"models": {"openai/m": {"input": 2.0}}})
    assert prices.cost(spent("cached_tokens", 1_000_000, "m")) == 2.0


def test_a_server_of_ones_own_costs_nothing_unless_it_has_a_price_by_its_host() -> None:
    assert PRICES.cost(spent("input_tokens", 1000, host="192.168.1.7")) == 0
    assert PRICES.cost(spent("input_tokens", 1_000_000, "m", host="127.0.0.1")) == 1.0
    assert PRICES.cost(spent("input_tokens", 1000, host="api.groq.com")) is None, "it is not OpenAI's"


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("ollama", True),
        ("localhost", True),
        ("gpu.local", True),
        ("api.example.com", False),
        ("8.8.8.8", False),
    ],
)
def test_whose_server_it_is_is_told_by_its_address(host: str, own: bool) -> None:
    assert is_own(host) is own


def test_the_file_changes_single_prices_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text('[prices.models]\n"openai/gpt-4o" = { input = 9.0 }\n')
    prices = load().prices
    assert prices.rates("openai/gpt-4o") == {"input": 9.0}
    assert prices.rates("openai/whisper-1") == {"minute": 0.006}


def test_a_call_adds_up_what_it_used_and_names_what_has_no_price() -> None:
    costs = Costs(PRICES)
    assert costs.figures() == {}
    costs.observe(spent("input_tokens", 100_000))
    costs.observe(spent("input_tokens", 100_000))
    costs.observe(spent("seconds", 5, "free", provider="mine"))
    assert costs.figures() == {
        "currency": "EUR",
        "money": 0.03,
        "wasted": 0,
        "not_priced": ["mine/free"],
        "used": [
            {
                "stage": "llm",
                "name": "openai/gpt-4o-mini",
                "unit": "input_tokens",
                "amount": 200_000,
                "money": 0.03,
            },
            {"stage": "llm", "name": "mine/free", "unit": "seconds", "amount": 5, "money": None},
        ],
    }


def test_what_a_reply_that_nobody_heard_has_cost_is_wasted_whenever_that_is_told() -> None:
    costs = Costs(PRICES)
    costs.observe(spent("output_tokens", 1_000_000, response_id="dropped"))
    costs.observe(spent("output_tokens", 1_000_000, response_id="heard"))
    costs.observe(released("heard"))
    costs.observe(spent("output_tokens", 1_000_000, response_id="heard"))
    costs.observe(spent("output_tokens", 1_000_000, response_id="dropped"))
    assert costs.money == pytest.approx(2.4)
    assert costs.wasted == pytest.approx(1.2)


def test_costs_go_on_in_the_next_process_and_are_paid_once() -> None:
    first, second = Budget(BudgetSettings(day=10)), Budget(BudgetSettings(day=10))
    costs = Costs(PRICES, first)
    for reply in ("heard", "dropped"):
        costs.observe(spent("output_tokens", 1_000_000, response_id=reply))
    costs.observe(released("heard"))
    again = Costs(PRICES, second, before=costs.left())
    assert again.figures() == costs.figures()
    assert (first.spent, second.spent) == (pytest.approx(1.2), 0)


def test_the_log_has_the_costs_of_each_turn_and_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    costs = Costs(PRICES)
    turn = ev.TurnMeasured("item", "resp", {})
    costs.observe(turn)
    costs.observe(spent("output_tokens", 1_000_000))
    costs.observe(turn)
    costs.observe(spent("output_tokens", 2_000_000))
    costs.observe(turn)
    costs.close()
    told = [json.loads(message.removeprefix("costs ")) for message in caplog.messages]
    assert [(one["of"], one["money"]) for one in told] == [("turn", 0.6), ("turn", 1.2), ("call", 1.8)]


# ------------------------------------------------------------------ budget


class Clock:
    """Unix seconds, set by hand."""

    def __init__(self, at: str = "2026-06-01T12:00:00") -> None:
        self.now_s = 0.0
        self.set(at)

    def set(self, at: str) -> None:
        from datetime import UTC, datetime

        self.now_s = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now_s


def dollar(costs: Costs, times: float = 1) -> None:
    costs.observe(spent("characters", times * 1_000_000 / 15, "tts-1"))


def test_a_call_is_warned_and_then_over_when_its_budget_is_spent() -> None:
    costs = Costs(PRICES, Budget(BudgetSettings(call=5)))
    costs.open()
    dollar(costs, 3.9)
    assert not costs.nearly_spent.is_set()
    dollar(costs, 0.2)
    assert costs.nearly_spent.is_set()
    assert not costs.all_spent.is_set()
    dollar(costs)
    assert costs.all_spent.is_set()


def test_what_one_call_spends_ends_the_others_when_the_day_is_spent() -> None:
    budget = Budget(BudgetSettings(day=2))
    one, other, over = (Costs(PRICES, budget) for _ in range(3))
    for costs in (one, other, over):
        costs.open()
    over.close()
    dollar(one)
    assert not other.nearly_spent.is_set()
    dollar(one)
    assert budget.spent_for_s
    assert other.all_spent.is_set()
    assert not over.all_spent.is_set()


def test_a_new_day_begins_at_midnight_utc() -> None:
    clock = Clock("2026-06-01T23:00:00")
    budget = Budget(BudgetSettings(day=1), clock)
    budget.pay(1)
    assert budget.spent_for_s == 3600
    clock.set("2026-06-02T00:00:01")
    assert (budget.spent_for_s, budget.spent) == (0, 0)
    budget.pay(0.5)
    assert budget.spent == 0.5


class Asked:
    """A provider that is charged for, or that nobody charges for."""

    def __init__(self, charges: Spent | None = None) -> None:
        if charges is not None:
            self.charges = charges


def test_whoever_starts_it_is_told_what_the_budget_cannot_count() -> None:
    here, priced = Asked(), Asked(spent("seconds", 0, "whisper-1"))
    unknown, own = Asked(spent("seconds", 0, "gpt-9")), Asked(spent("seconds", 0, "llama", host="127.0.0.1"))
    budget = BudgetSettings(call=0.5, day=20)
    line = budget_line(PRICES, budget, [here, priced, own])
    assert line == "0.5 EUR a call, 20 EUR a day"
    line = budget_line(PRICES, budget, [priced, unknown])
    assert line.endswith("; not counted, as it has no price in [prices.models]: openai/gpt-9")
    assert budget_line(PRICES, BudgetSettings(), [unknown]) == ""


def test_what_no_budget_counts_is_said_once_when_it_is_used(caplog: pytest.LogCaptureFixture) -> None:
    costs = Costs(PRICES, Budget(BudgetSettings(day=1)))
    for _ in range(3):
        costs.observe(spent("seconds", 5, "own", provider="strangers"))
    assert [message for message in caplog.messages if "strangers/own" in message] == caplog.messages
    assert len(caplog.messages) == 1


def test_no_budget_is_never_spent() -> None:
    budget = Budget(BudgetSettings())
    costs = Costs(PRICES, budget)
    costs.open()
    dollar(costs, 1000)
    assert not budget.spent_for_s
    assert not costs.nearly_spent.is_set()


def test_the_days_sum_outlives_the_process_and_not_the_day(tmp_path: Path) -> None:
    clock, settings = Clock(), BudgetSettings(day=3, file=str(tmp_path / "state" / "spent.json"))
    first = Budget(settings, clock)
    first.pay(1)
    first.pay(1)  # within a second: written with the next, or at the end
    assert Budget(settings, clock).spent == 1
    first.save()
    assert Budget(settings, clock).spent == 2
    assert (tmp_path / "state" / "spent.json").stat().st_mode & 0o777 == 0o600
    clock.now_s += 2
    first.pay(1)
    assert Budget(settings, clock).spent_for_s
    clock.set("2026-06-02T00:00:00")
    assert Budget(settings, clock).spent == 0


@pytest.mark.parametrize(
    "text", ["", "[]", '{"day": "2026-06-01"}', "\0", '{"day": "2026-06-01", "spent": "x"}']
)
def test_a_file_that_cannot_be_read_is_said_and_begins_anew(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "spent.json"
    file.write_text(text)
    budget = Budget(BudgetSettings(day=1, file=str(file)), Clock())
    assert budget.spent == 0
    assert "cannot be read" in caplog.text
    budget.pay(0.25)
    assert json.loads(file.read_text()) == {"day": "2026-06-01", "spent": 0.25}


def test_a_place_that_cannot_be_written_is_said_and_costs_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    budget = Budget(BudgetSettings(file=str(tmp_path / "file" / "spent.json")))
    budget.pay(1)
    assert "is not kept" in caplog.text
