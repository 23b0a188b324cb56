"""When a provider of a chain is left alone, when it is tried again, and when it is late."""

from __future__ import annotations

import pytest

from pipeline.chain.circuit import Circuit, Pace
from pipeline.errors import ProviderError
from pipeline.settings import ChainSettings

SETTINGS = ChainSettings(
    failures=2, cool_down_s=10, cool_down_growth=2, longest_cool_down_s=30, refused_s=900
)


def error(code: str = "timeout", retry_after_s: float | None = None) -> ProviderError:
    return ProviderError("tts", "first", "it failed", code, retry_after_s)


def opened(at_s: float = 100.0) -> Circuit:
    circuit = Circuit(SETTINGS)
    circuit.failed(error(), at_s)
    circuit.failed(error(), at_s)
    return circuit


def test_one_failure_is_forgiven_and_two_in_a_row_are_not() -> None:
    circuit = Circuit(SETTINGS)
    assert not circuit.failed(error(), 100)
    assert circuit.admits(100)
    assert circuit.failed(error(), 101)
    assert not circuit.admits(110.9)
    assert circuit.admits(111)


def test_what_works_in_between_makes_it_good_again() -> None:
    circuit = Circuit(SETTINGS)
    circuit.failed(error(), 100)
    circuit.worked()
    circuit.failed(error(), 101)
    assert circuit.admits(101)


def test_after_the_cool_down_one_request_tries_it_and_no_other() -> None:
    circuit = opened()
    assert circuit.begin()
    assert not circuit.admits(111)
    assert not circuit.begin()


def test_a_try_that_works_closes_it() -> None:
    circuit = opened()
    circuit.begin()
    circuit.worked()
    assert circuit.why is None
    assert circuit.admits(111)
    circuit.failed(error(), 112)
    assert circuit.admits(112)


def test_a_try_that_was_given_up_lets_another_one_try() -> None:
    circuit = opened()
    circuit.broke_off(tried=circuit.begin())
    assert circuit.admits(111)


def test_each_try_that_fails_makes_it_rest_longer_up_to_a_bound() -> None:
    circuit = opened()
    rests_s, now_s = [], 110.0
    for _ in range(3):
        circuit.failed(error(), now_s, tried=circuit.begin())
        rests_s.append(circuit.until_s - now_s)
        now_s = circuit.until_s
    assert rests_s == [20, 30, 30]


def test_failures_of_many_calls_in_one_moment_are_one() -> None:
    circuit = opened()
    for _ in range(20):
        assert not circuit.failed(error(), 100.1)
    assert circuit.until_s == 110
    circuit.failed(error(), 110, tried=circuit.begin())
    assert circuit.until_s == 130


@pytest.mark.parametrize("code", ["auth", "forbidden"])
def test_a_key_that_is_refused_is_not_shown_again_for_long(code: str) -> None:
    circuit = Circuit(SETTINGS)
    assert circuit.failed(error(code), 100)
    assert not circuit.admits(999)
    assert circuit.admits(1000)


def test_a_vendor_that_says_when_to_come_back_is_left_alone_until_then() -> None:
    circuit = Circuit(SETTINGS)
    assert circuit.failed(error("rate_limited", 42), 100)
    assert circuit.until_s == 142
    circuit.failed(error("rate_limited", 60), 110)
    assert circuit.until_s == 170


@pytest.mark.parametrize(
    ("took_s", "late_after_s"),
    [
        ([], 4.0),  # nothing is known of it
        ([0.2], 0.6),
        ([0.3] * 20, 0.6),
        ([0.7] * 20, 0.875),  # what is usual for it is not late
        ([0.6, 0.7, 0.8] * 6, 1.0),
        ([3.0] * 20, 3.6),  # a slow model on a small machine; who waits for it waits 0.6 s more
        ([0.3] * 19 + [2.0], 0.6),  # one in twenty that hangs does not make hanging usual
        ([0.3] * 12 + [2.0] * 8, 0.9),  # uneven: no more than 0.6 s beyond the usual
        ([3.0] * 20 + [0.2] * 20, 0.6),  # it has become fast
        ([0.2] * 20 + [3.0] * 20, 3.6),
    ],
)
def test_late_is_what_it_hardly_ever_takes(took_s: list[float], late_after_s: float) -> None:
    pace = Pace()
    for one_s in took_s:
        pace.took(one_s)
    assert pace.late_after_s(0.6, 4.0) == pytest.approx(late_after_s)


def test_what_is_at_hand_does_not_show_how_fast_a_vendor_is() -> None:
    pace = Pace()
    pace.took(0.7)
    for _ in range(8):
        pace.took(0.005)
    assert pace.late_after_s(0.6, 4.0) == pytest.approx(1.25 * 0.7)
