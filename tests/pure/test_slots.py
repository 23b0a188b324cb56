"""Which slot of a server a conversation is read in."""

from __future__ import annotations

from pipeline.llm.slots import KEPT_S, Slots


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def test_a_conversation_stays_where_it_is_known() -> None:
    slots = Slots(3, Clock())
    first = [slots.of(talk) for talk in (11, 12, 13)]
    assert sorted(first) == [0, 1, 2]
    assert [slots.of(talk) for talk in (13, 11, 12)] == [first[2], first[0], first[1]]


def test_one_too_many_takes_the_place_of_who_has_been_silent_for_longest() -> None:
    slots = Slots(2, Clock())
    places = {talk: slots.of(talk) for talk in (11, 12, 11)}
    assert slots.of(13) == places[12]
    assert slots.of(11) == places[11]


def test_a_new_one_goes_where_such_a_prompt_was_read_for_nobody() -> None:
    slots = Slots(3, Clock())
    warmed = slots.of(0)
    assert slots.of(11) == warmed
    assert slots.of(12) != warmed


def test_a_new_one_takes_the_slot_of_a_talk_that_is_over_before_one_that_has_read_nothing() -> None:
    clock = Clock()
    slots = Slots(3, clock)
    before = slots.of(11)
    assert slots.of(12) != before
    clock.now_s += KEPT_S
    assert slots.of(13) == before
