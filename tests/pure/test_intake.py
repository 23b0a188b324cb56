"""Appended sound at the pace of the call: hurried, with credit, in real time; silence where none comes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio import MIC_CHUNK, MIC_RATE
from server.intake import CREDIT_S, MOST_EVENTS, MOST_WAITING_S, Intake

TICK_S = 0.02


def sound(seconds: float, start: int = 1) -> np.ndarray:
    """Samples that tell where they stand, never zero."""
    return (np.arange(start, start + round(seconds * MIC_RATE)) % 30_000 + 1).astype(np.int16)


class Clock:
    """An intake on a 20 ms beat."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.intake = Intake(0.1, 0.0)
        self.heard: list[np.ndarray | str] = []

    def run(self, seconds: float, *, hurry: bool | Callable[[], bool]) -> None:
        may = hurry if callable(hurry) else lambda: hurry
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            self.heard.extend(self.intake.due(self.now_s, may))

    def seconds(self) -> float:
        return sum(len(one) for one in self.heard if not isinstance(one, str)) / MIC_RATE

    def sound(self) -> np.ndarray:
        return np.concatenate([one for one in self.heard if not isinstance(one, str)] or [sound(0)])


def test_a_file_is_heard_ten_times_as_fast_where_nothing_is_at_stake() -> None:
    clock = Clock()
    clock.intake.append(sound(5), 0.0)
    clock.run(0.5, hurry=True)
    assert clock.seconds() == pytest.approx(5.0)
    assert (clock.sound() == sound(5)).all()


def test_while_a_reply_is_on_air_a_file_has_a_second_of_credit_and_then_the_clocks_pace() -> None:
    clock = Clock()
    clock.intake.append(sound(20), 0.0)
    clock.run(2.0, hurry=False)
    assert clock.seconds() == pytest.approx(2.0 + CREDIT_S, abs=0.03)
    clock.run(1.0, hurry=False)
    assert clock.seconds() == pytest.approx(3.0 + CREDIT_S, abs=0.03)


def test_a_stream_that_stood_still_for_a_moment_catches_up_at_once() -> None:
    clock = Clock()
    for number in range(20):
        clock.intake.append(sound(0.1), clock.now_s)
        clock.run(0.1, hurry=False)
        if number == 9:
            clock.run(0.08, hurry=False)  # shorter than what silence waits for
    assert clock.seconds() == pytest.approx(2.0)
    assert clock.sound().all(), "silence in the middle of speech"


@pytest.mark.parametrize("message_s", [0.02, 0.1, 0.5, 1.0])
def test_a_live_stream_is_never_torn_whatever_its_messages_length(message_s: float) -> None:
    clock = Clock()
    for _ in range(round(3 / message_s)):
        clock.intake.append(sound(message_s), clock.now_s)
        clock.run(message_s, hurry=True)
    assert clock.sound().all(), "silence in the middle of speech"
    assert clock.seconds() == pytest.approx(3.0)


def test_who_stops_is_silent_from_then_on_and_the_clock_has_lost_nothing() -> None:
    clock = Clock()
    clock.intake.append(sound(0.1), 0.0)
    clock.run(2.0, hurry=True)
    assert clock.seconds() == pytest.approx(0.1 + 2.0, abs=0.05)
    assert not clock.sound()[MIC_RATE // 10 :].any()


def test_an_event_waits_for_the_sound_before_it_and_not_for_what_follows() -> None:
    clock = Clock()
    clock.intake.append(sound(0.11), 0.0)
    clock.intake.wait("commit")
    clock.intake.append(sound(0.1), 0.0)
    clock.run(0.1, hurry=True)
    where = next(index for index, one in enumerate(clock.heard) if isinstance(one, str))
    before = [one for one in clock.heard[:where] if not isinstance(one, str)]
    assert sum(map(len, before)) == 6 * MIC_CHUNK  # the last one filled up with silence
    assert not clock.intake.events_wait


def test_what_is_cleared_was_never_appended_but_events_are_kept() -> None:
    clock = Clock()
    clock.intake.append(sound(3), 0.0)
    clock.intake.wait("commit")
    clock.intake.clear()
    clock.run(0.02, hurry=False)
    assert clock.heard == ["commit"]


def test_so_much_and_no_more_is_taken() -> None:
    clock = Clock()
    clock.intake.append(sound(MOST_WAITING_S + 0.1), 0.0)
    assert clock.intake.full
    clock.run(0.1, hurry=True)
    assert not clock.intake.full
    for _ in range(MOST_EVENTS):
        clock.intake.wait("event")
    assert clock.intake.full


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.booleans()), max_size=12))
def test_no_sound_is_lost_doubled_or_put_elsewhere(steps: list[tuple[float, float, bool]]) -> None:
    clock, appended = Clock(), []
    at = 1
    for length_s, wait_s, hurry in steps:
        piece = sound(length_s, at)
        at += len(piece)
        appended.append(piece)
        clock.intake.append(piece, clock.now_s)
        clock.run(wait_s, hurry=hurry)
    clock.run(40, hurry=True)
    heard = clock.sound()
    assert (heard[heard != 0] == np.concatenate(appended or [sound(0)])).all()
