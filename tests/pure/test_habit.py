"""What is learned within a call, and when a listener makes itself heard."""

from __future__ import annotations

from pipeline.habit import Encouragement, Idle, PauseHabit


def test_three_answers_with_a_long_pause_bring_more_patience() -> None:
    habit = PauseHabit()
    habit.answered(1500)
    habit.answered(1600)
    assert habit.patience_ms == 0
    habit.answered(1500)
    assert habit.patience_ms == 1875


def test_short_pauses_teach_nothing_and_long_ones_are_forgotten() -> None:
    habit = PauseHabit()
    for _ in range(3):
        habit.answered(1500)
    for _ in range(6):
        habit.answered(200)
    assert habit.patience_ms == 0


def test_what_is_learned_has_a_bound() -> None:
    habit = PauseHabit()
    for _ in range(3):
        habit.answered(9000)
    assert habit.patience_ms == 3000


def test_at_most_two_nudges_until_the_person_speaks() -> None:
    idle = Idle((20_000, 60_000, 60_000), most=2)
    nudges = [now for now in range(0, 600_000, 20) if idle.due(now)]
    assert nudges == [20_000, 20_020 + 60_000]
    idle.person_spoke()
    assert [now for now in range(600_000, 700_000, 20) if idle.due(now)] == [620_000, 680_020]


def test_a_reply_stops_the_idle_time() -> None:
    idle = Idle((20_000,), most=2)
    assert not idle.due(0)
    assert not idle.due(15_000)
    idle.floor_taken()
    assert not idle.due(21_000)
    assert idle.due(41_000)


def test_encouragement_comes_in_a_long_answer_and_never_twice_in_eight_seconds() -> None:
    sign = Encouragement()
    assert not sign.fits(5_000, 4_000, 300, 1000), "a short answer"
    assert not sign.fits(12_000, 11_000, 100, 1000), "no pause yet"
    assert not sign.fits(12_000, 11_000, 300, 200), "the reply is about to begin"
    assert sign.fits(12_000, 11_000, 300, 1000)
    assert not sign.fits(19_000, 18_000, 300, 1000)
    assert sign.fits(20_000, 19_000, 300, 1000)
