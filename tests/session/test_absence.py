"""Nobody is on the line for a while: what is kept, what waits, and how the talk is taken up again."""

from __future__ import annotations

import asyncio

import pytest

from pipeline import events as ev
from pipeline.absence import Missed
from pipeline.session import Session
from tests.session.call import Call, Ears, Mind, Voice, speech

QUESTION = "Well. What would you do then? Take your time."
BACK = "We were cut off for a moment."

pytestmark = pytest.mark.timeout(60)


class Line:
    """Lost and found again at those moments of the timeline."""

    def __init__(self, call: Call) -> None:
        self.missed: Missed | None = None
        self._tasks: list[asyncio.Task[None]] = []
        lost_ms, back_ms = call.away_ms
        call.at(lost_ms, Session.park)
        call.at(back_ms, self._back)

    def _back(self, session: Session) -> None:
        self._tasks.append(asyncio.create_task(self._come_back(session), name="back"))

    async def _come_back(self, session: Session) -> None:
        self.missed = await session.back()
        session.greet()


def greeted(call: Call) -> Call:
    return call.at(100, Session.greet)


def test_reply_that_was_being_spoken_becomes_text_and_its_question_is_asked_again() -> None:
    call = greeted(Call(Ears([]), Mind([QUESTION]), Voice(), greet=True, away_ms=(700, 3000)))
    line = Line(call)
    call.run(6000)
    assert call.texts() == [("assistant", QUESTION), ("assistant", f"{BACK} What would you do then?")]
    assert line.missed is not None
    heard = QUESTION.removesuffix(line.missed.text)
    assert 2 <= len(heard.split()) <= 4  # 600 ms of words of 200
    assert call.session.items[0].status == "completed"


def test_answer_that_nobody_had_heard_is_owed() -> None:
    call = Call(
        Ears([["what is a cache"]]),
        Mind(["A small fast store."], first_ms=1500),
        Voice(),
        speech(200, "what is a cache"),
        away_ms=(2400, 5000),
    )
    line = Line(call)
    call.run(9000)
    assert call.texts() == [("user", "what is a cache"), ("assistant", f"{BACK} A small fast store.")]
    assert line.missed is None


def test_what_was_being_said_is_kept_and_the_question_asked_again() -> None:
    said = "i would put a cache in front of the database"
    call = greeted(
        Call(
            Ears([[said]]),
            Mind([QUESTION, "never said"]),
            Voice(),
            speech(2600, said),
            greet=True,
            away_ms=(4200, 6000),
        )
    )
    Line(call)
    call.run(9000)
    assert [text for _, text in call.texts()] == [QUESTION, said, f"{BACK} What would you do then?"]


def test_nobody_is_nudged_and_nothing_is_said_to_an_empty_line() -> None:
    call = greeted(
        Call(Ears([]), Mind([QUESTION]), Voice(), mode="interview", greet=True, away_ms=(3000, 60_000))
    )
    Line(call)
    call.run(63_000)
    during = [seen for seen in call.events if 3000 < seen.at_ms < 60_000]
    assert not during
    assert [text for _, text in call.texts()] == [QUESTION, f"{BACK} What would you do then?"]


def test_who_speaks_as_soon_as_they_are_back_is_not_talked_over() -> None:
    call = greeted(
        Call(
            Ears([["well i would wait"]]),
            Mind([QUESTION, "Good."]),
            Voice(),
            speech(6000, "well i would wait"),
            greet=True,
            away_ms=(3000, 6000),
        )
    )
    line = Line(call)
    call.actions = [(at + 500 if at == 6000 else at, action) for at, action in call.actions]
    call.run(10_000)
    assert line.missed is None
    assert [text for _, text in call.texts()] == [QUESTION, "well i would wait", "Good."]


def test_a_line_lost_twice_in_mid_reply_costs_no_word() -> None:
    call = greeted(Call(Ears([]), Mind([QUESTION]), Voice(), greet=True, away_ms=(700, 2000)))
    Line(call)
    call.at(2300, Session.park)
    call.run(4000)
    assert call.texts()[0] == ("assistant", QUESTION)
    assert not call.of(ev.Trouble)
