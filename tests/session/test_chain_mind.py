"""Minds that fail in the middle of a reply, and the next ones that take over: on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.languages import say
from pipeline.providers import Message, Note, Piece, ReplyOptions, Token, ToolCall
from pipeline.settings import ChainSettings
from tests import virtual
from tests.session.call import Mind
from tests.session.chains import (
    ANSWER,
    DOWN,
    END,
    MOST_SILENCE_MS,
    QUESTION,
    counted,
    fell_over,
    longest_gap_ms,
    mind,
    talk,
)
from tests.session.wild import Way, WildMind


def test_a_mind_that_breaks_off_is_followed_by_one_that_goes_on_from_its_last_word() -> None:
    following = Mind([" ".join(ANSWER.split()[5:])])
    call = talk(llm=mind(WildMind([Way(ANSWER, ends="error", after=5)]), following))
    assert call.texts()[1] == ("assistant", ANSWER)
    assert [message.role for message in following.asked[0][-2:]] == ["assistant", "user"]
    assert following.asked[0][-2].text == "a cache keeps what was "
    assert fell_over(call) == [("first", "second", "unreachable")]
    assert longest_gap_ms(call, END) < 100


@pytest.mark.parametrize(
    ("broken", "goes_on"),
    [
        (["a", " cache", " keeps", " wh"], ["what", " was", " asked"]),  # in the middle of a word
        (["a cache", " keeps what"], ["what was asked"]),
        (["a cache keeps", " what"], ["a", " cache", " keeps what was", " asked"]),  # from the start again
        (["a cache", " keeps what was"], [" keeps", " what was asked"]),  # its last words again
        (["a cache keeps what was "], [" asked"]),
    ],
)
def test_no_word_of_a_reply_is_lost_or_said_twice(broken: list[str], goes_on: list[str]) -> None:
    class Breaking(Mind):
        async def reply(self, messages: Any, options: Any) -> Any:
            for text in broken:
                yield Token(text)
            raise DOWN

    call = talk(llm=mind(Breaking([]), Mind([[Token(text) for text in goes_on]])))
    assert call.texts()[1] == ("assistant", "a cache keeps what was asked")


def test_a_mind_that_is_late_is_joined_by_the_next_and_closed(wait_ms: int) -> None:
    late = WildMind([Way(ANSWER, delay_ms=3000)])
    call = talk(llm=mind(late, Mind([ANSWER])))
    assert call.texts()[1] == ("assistant", ANSWER)
    assert fell_over(call) == [("first", "second", "slow")]
    assert call.first_sound_ms() - END <= wait_ms + MOST_SILENCE_MS
    assert late.open_streams == 0


def test_a_mind_that_stops_in_mid_reply_is_followed_too() -> None:
    stopping = WildMind([Way(ANSWER, ends="hang", after=5)])
    call = talk(llm=mind(stopping, Mind([" ".join(ANSWER.split()[5:])])))
    assert call.texts()[1] == ("assistant", ANSWER)
    assert fell_over(call) == [("first", "second", "slow")]
    assert stopping.open_streams == 0


def test_a_slow_mind_is_waited_for_once_that_is_known_to_be_usual() -> None:
    slow = Mind([ANSWER], first_ms=1500)
    call = talk(llm=mind(slow, Mind(["no"]), settings=ChainSettings()), count=2)
    assert [text for _, text in call.texts()] == [QUESTION, ANSWER, QUESTION, ANSWER]
    assert not call.of(ev.FellOver)


class Reciting(Mind):
    """Cannot go on from another's words."""

    continues = False


@pytest.mark.parametrize(("delay_ms", "joined"), [(1000, False), (9000, True)])
def test_one_that_cannot_go_on_is_no_help_for_one_that_is_only_slow(delay_ms: int, joined: bool) -> None:
    slow = WildMind([Way(ANSWER), Way(ANSWER, delay_ms=delay_ms)])
    call = talk(llm=mind(slow, Reciting(["What is a cache?"]), settings=ChainSettings()), count=2)
    assert call.texts()[-1] == ("assistant", "What is a cache?" if joined else ANSWER)
    assert fell_over(call) == ([("first", "second", "slow")] if joined else [])


class Stalling(Mind):
    """Says nothing for a while after its first six words, as others before a function's call."""

    stall_s = 0.0

    async def reply(self, messages: Any, options: Any) -> Any:
        async for number, piece in counted(super().reply(messages, options)):
            if number == 6:
                await asyncio.sleep(self.stall_s)
            yield piece


@pytest.mark.parametrize("tools", [[], [{"name": "look_up"}]])
def test_a_mind_may_be_silent_while_what_it_has_said_is_heard(tools: list[dict[str, str]]) -> None:
    stalling = Stalling([ANSWER])
    stalling.stall_s = 3.0 if tools else 1.2
    call = talk(llm=mind(stalling, Mind(["no"]), settings=ChainSettings()), tools=tools)
    assert call.texts()[1] == ("assistant", ANSWER)
    assert not call.of(ev.FellOver)


class Calling(Mind):
    """Calls two functions; breaks in the middle of the second call."""

    async def reply(self, messages: Any, options: Any) -> Any:
        self.asked.append(list(messages))
        calls: Sequence[Piece] = (
            ToolCall("call_1", "look_up", '{"word": '),
            ToolCall("call_1", "look_up", '"cache"}'),
            ToolCall("call_2", "note", '{"wo'),
        )
        for call in calls if len(self.asked) == 1 else ():
            yield call
        raise DOWN


TOOLS = [{"name": "look_up"}, {"name": "note"}]


def test_what_was_called_whole_is_called_once_and_half_a_call_never() -> None:
    following = Mind([ANSWER])
    call = talk(llm=mind(Calling([]), following), tools=TOOLS)
    called = [(item.name, item.text) for item in call.session.items if item.kind == "function_call"]
    assert called == [("look_up", '{"word": "cache"}')]
    assert not following.asked
    assert not call.of(ev.Trouble)


def test_where_only_half_a_call_was_made_the_next_mind_answers() -> None:
    class HalfCalling(Mind):
        async def reply(self, messages: Any, options: Any) -> Any:
            yield ToolCall("call_1", "look_up", '{"wo')
            raise DOWN

    call = talk(llm=mind(HalfCalling([]), Mind([ANSWER])), tools=TOOLS)
    assert call.texts() == [("user", QUESTION), ("assistant", ANSWER)]


def test_a_mind_that_cannot_go_on_says_its_own_after_a_word_of_excuse() -> None:
    breaking = WildMind([Way("Tell me now what you", ends="error", after=4)])
    reciting = Reciting(["What is a cache?"])
    call = talk(llm=mind(breaking, reciting))
    assert call.texts()[1] == (
        "assistant",
        f"Tell me now what … {say('lost_thread', 'en')[0]} What is a cache?",
    )
    assert [message.role for message in reciting.asked[0]] == ["system", "user"]


def test_behind_a_whole_sentence_no_excuse_is_needed() -> None:
    breaking = WildMind([Way("I see what you mean. And", ends="error", after=5)])
    call = talk(llm=mind(breaking, Reciting(["What is a cache?"])))
    assert call.texts()[1] == ("assistant", "I see what you mean. What is a cache?")


def notes(*minds: Any, before: dict[str, Any]) -> dict[str, Any]:
    """What a reply leaves as its note."""

    async def reply() -> dict[str, Any]:
        said = [Message("assistant", "One?", before), Message("user", "two")]
        noted: dict[str, Any] = {}
        async for piece in mind(*minds).reply(said, ReplyOptions("en", "chat")):
            if isinstance(piece, Note):
                noted |= piece.data
        return noted

    return virtual.run(reply())


def test_a_mind_that_notes_nothing_hands_on_what_another_one_noted() -> None:
    noted = notes(Mind(["I see."]), before={"asked": "q1", "ended": "stopped", "mind": "second"})
    assert noted == {"asked": "q1", "mind": "first"}
    assert notes(Mind(["I see."]), before={"asked": "q1", "mind": "first"}) == {}


def test_what_a_mind_noted_before_it_failed_is_not_noted() -> None:
    noting = Reciting(["One?"], note={"asked": "q2"})
    assert notes(WildMind([Way(ends="error")]), noting, before={}) == {"asked": "q2", "mind": "second"}
