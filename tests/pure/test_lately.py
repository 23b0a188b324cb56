"""What happened at least twice in the last seconds."""

from __future__ import annotations

from server.media.lately import Lately


def test_one_alone_is_forgiven() -> None:
    lately = Lately()
    assert lately.worst(0.0) == 0
    lately.note(7, 1.0)
    assert lately.worst(1.0) == 0
    lately.note(3, 1.1)
    assert lately.worst(1.1) == 3


def test_what_happened_twice_counts_until_it_is_forgotten() -> None:
    lately = Lately(memory_s=5.0)
    for at_s, value in ((0.0, 4), (1.0, 6), (2.0, 5)):
        lately.note(value, at_s)
    assert lately.worst(5.0) == 5
    assert lately.worst(5.5) == 5
    assert lately.worst(6.5) == 0


def test_hours_of_it_take_no_more_room() -> None:
    lately = Lately(memory_s=1e9)
    for number in range(10_000):
        lately.note(number % 10, float(number))
    assert len(lately) == 256
    assert lately.worst(10_000.0) == 9
