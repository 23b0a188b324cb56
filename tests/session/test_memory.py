"""What a mind still knows of a long talk, and what that costs the talk."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from pipeline import events as ev
from pipeline.errors import ProviderError
from pipeline.llm.scripted import ScriptedMind
from pipeline.memory import HEADING
from pipeline.providers import Message, Piece, ReplyOptions, Token
from pipeline.session import Session
from pipeline.settings import LlmSettings, Settings
from pipeline.tokens import estimate_all
from tests.session.call import Call, Ears, Mind, Voice

TURN_MS = 1500
TURNS = 60
NOTES_TOKENS = 600
FACT = re.compile(r"fact \d+")


@dataclass
class Notetaker(Mind):
    """Notes the facts that it is told, and answers "Yes."."""

    replies: list[str | ProviderError | list[Piece]] = field(default_factory=lambda: ["Yes."])
    notes_ms: int = 100
    fails: bool = False
    notes: list[str] = field(default_factory=list)  # what it was told to note
    noting: list[list[Message]] = field(default_factory=list)  # requests for notes
    given_up: int = 0  # notes that gave way
    context_tokens: int | None = None
    taking: int = 0
    crowded: int = 0  # replies asked for while it took notes

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        if options.task == "side":
            self.taking += 1
            try:
                self.noting.append(list(messages))
                await asyncio.sleep(self.notes_ms / 1000 * options.max_tokens / NOTES_TOKENS)
                if self.fails:
                    raise ProviderError("llm", "fake", "no notes today", "unreachable")
                self.notes.append(", ".join(known(messages)))
                yield Token(self.notes[-1])
            except asyncio.CancelledError:
                self.given_up += 1
                raise
            finally:
                self.taking -= 1
            return
        self.crowded += self.taking
        async for piece in super().reply(messages, options):
            yield piece


def talk(
    mind: Mind | ScriptedMind, llm: LlmSettings | None = None, turns: int = TURNS, words: str = ""
) -> Call:
    """Typed turns, each with a fact of its own, each answered aloud."""
    call = Call(Ears([]), mind, Voice(), settings=Settings(llm=llm or LlmSettings(notes_tokens=NOTES_TOKENS)))

    def say(number: int) -> None:
        call.session.say(f"fact {number}{words}")
        call.session.reply()

    for number in range(turns):
        call.at(100 + number * TURN_MS, lambda _, number=number: say(number))
    return call.run(turns * TURN_MS + 500)


def known(messages: Sequence[Message]) -> list[str]:
    """The facts in a request, each once."""
    return list(dict.fromkeys(FACT.findall(" ".join(message.text for message in messages))))


def test_what_was_said_first_is_known_at_the_end_and_nothing_is_missing_between() -> None:
    mind = Notetaker()
    talk(mind)
    assert len(mind.asked) == TURNS
    for number, messages in enumerate(mind.asked):
        assert known(messages) == [f"fact {one}" for one in range(number + 1)]
        assert 1 + min(20, 2 * number + 1) <= len(messages) <= 2 + 32
    assert mind.asked[-1][1].text.startswith(HEADING)


def test_what_a_person_said_never_stands_in_the_prompt() -> None:
    mind = Notetaker()
    talk(mind)
    assert len({messages[0] for messages in mind.asked}) == 1
    assert not any(FACT.search(messages[0].text) for messages in mind.asked)


def test_the_beginning_of_a_request_seldom_changes() -> None:
    mind = Notetaker()
    talk(mind)
    changes = sum(before[:2] != after[:2] for before, after in pairwise(mind.asked))
    assert 0 < changes <= TURNS / 5
    assert changes == len(mind.notes)


def test_notes_that_take_long_delay_no_reply_and_lose_nothing() -> None:
    quick, slow = Notetaker(), Notetaker(notes_ms=3 * TURN_MS)
    times = []
    for mind in (quick, slow):
        times.append([seen.at_ms for seen in talk(mind).of(ev.AudioStarted)])
    assert times[0] == times[1]
    assert known(slow.asked[-1]) == [f"fact {one}" for one in range(TURNS)]
    assert slow.given_up > 0, "a reply was asked for while notes were taken"
    assert slow.notes, "and they were taken in the end"


def test_no_reply_ever_waits_for_notes() -> None:
    mind = Notetaker(notes_ms=3 * TURN_MS)
    talk(mind)
    assert mind.crowded == 0
    assert max(len(messages) for messages in mind.asked) <= 2 + 40


def test_a_mind_that_never_finds_the_time_for_notes_forgets_and_goes_on() -> None:
    mind = Notetaker(notes_ms=100 * TURN_MS)
    call = talk(mind)
    assert not mind.notes
    assert len(call.of(ev.AudioStarted)) == TURNS
    assert len(mind.noting) < TURNS / 2, "it is not asked for them at every turn"
    assert known(mind.asked[-1])[-10:] == [f"fact {one}" for one in range(TURNS - 10, TURNS)]


def test_notes_are_asked_for_at_the_end_of_the_talk_of_which_nothing_is_read_again() -> None:
    mind = Notetaker()
    talk(mind)
    for notes in mind.noting:
        before = next(asked for asked in reversed(mind.asked) if asked[:2] == notes[:2])
        assert notes[: len(before)] == before
        assert notes[-1].role == "user"


def test_a_mind_that_reads_little_at_once_is_given_notes_in_place_of_the_rest() -> None:
    mind = Notetaker(context_tokens=1400)
    talk(mind, words=" and what is told about it at some length" * 5)
    assert max(estimate_all(messages) for messages in mind.asked) <= 1400
    assert known(mind.asked[-1]) == [f"fact {one}" for one in range(TURNS)]


def test_a_mind_that_takes_no_notes_is_told_the_newest_messages_only() -> None:
    mind = Notetaker(fails=True)
    call = talk(mind)
    assert not call.of(ev.Trouble)
    assert len(call.of(ev.AudioStarted)) == TURNS
    assert len(mind.asked[-1]) <= 1 + 40
    assert known(mind.asked[-1])[-10:] == [f"fact {one}" for one in range(TURNS - 10, TURNS)]


async def test_an_interviewer_that_is_no_model_takes_no_notes() -> None:
    options = ReplyOptions("en", "interview", task="side")
    asked = [Message("system", "You keep the notes."), Message("user", "Person: my name is Ada")]
    assert [piece async for piece in ScriptedMind(Settings()).reply(asked, options)] == []


@pytest.mark.parametrize("budget", [500, 1500])
def test_a_request_keeps_within_its_tokens(budget: int) -> None:
    mind = Notetaker()
    llm = LlmSettings(history_tokens=budget, notes_tokens=100)
    talk(mind, llm, turns=30, words=" and what is told about it at some length" * 5)
    assert max(estimate_all(messages) for messages in mind.asked[1:]) <= budget
    assert "fact 0" in known(mind.asked[-1])


def test_without_notes_the_oldest_is_forgotten_in_steps() -> None:
    mind = Notetaker()
    talk(mind, LlmSettings(notes_tokens=0))
    assert not mind.notes
    assert all(len(messages) <= 1 + 32 for messages in mind.asked)
    assert sum(before[1] != after[1] for before, after in pairwise(mind.asked)) <= TURNS / 5


def test_another_process_goes_on_with_the_notes() -> None:
    call = talk(Notetaker(), turns=30)
    left = []

    async def hand_over() -> None:
        call.session.park()
        left.append(await call.session.leave())

    asyncio.run(hand_over())
    mind = Notetaker()
    later = Call(Ears([]), mind, Voice())

    def take_up(session: Session) -> None:
        session.restore(left[0])
        session.say("and what was my first fact?")
        session.reply()

    later.at(100, take_up).run(1500)
    assert known(mind.asked[0]) == [f"fact {one}" for one in range(30)]
    assert mind.asked[0][1].text.startswith(HEADING)
