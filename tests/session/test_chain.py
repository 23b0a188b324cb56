"""What chains of all three stages have in common, in a call: on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.errors import ProviderError
from pipeline.notices import Spent, tell
from tests import virtual
from tests.session.call import Call, Ears, Mind, Voice
from tests.session.chains import (
    ANSWER,
    DOWN,
    EVERY_MS,
    FAST,
    QUESTION,
    QUIET,
    ears,
    fell_over,
    mind,
    talk,
    turns,
    voice,
)
from tests.session.wild import Way, WildEars, WildMind, WildVoice

COOL_S = 20.0


def failing(stage: str, ends: str = "error") -> Any:
    made = {
        "stt": lambda: WildEars([Way(ends=ends)]),
        "llm": lambda: WildMind([Way(ends=ends)]),
        "tts": lambda: WildVoice([Way(ends=ends)]),
    }
    return made[stage]()


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
@pytest.mark.parametrize("ends", ["error", "bug"])
def test_where_all_fail_a_turn_is_lost_and_never_the_call(stage: str, ends: str) -> None:
    chain = {"stt": ears, "llm": mind, "tts": voice}[stage](failing(stage, ends), failing(stage))
    call = talk(**{stage: chain}, count=2)
    assert len(call.of(ev.Trouble)) == 2
    assert {seen.event.stage for seen in call.of(ev.Trouble)} == {stage}
    assert not call.of(ev.FellOver)
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"
    assert len(call.tasks) <= 4


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_change_is_told_once_and_the_return_after_the_cool_down_too(stage: str) -> None:
    well = {"stt": Way(QUESTION), "llm": Way(ANSWER), "tts": Way()}[stage]
    wild = {"stt": WildEars, "llm": WildMind, "tts": WildVoice}[stage]
    first = wild([Way(ends="error"), Way(ends="error"), *[well] * 20])
    second = {"stt": Ears([[QUESTION]] * 9), "llm": Mind([ANSWER]), "tts": Voice()}[stage]
    settings = FAST.model_copy(update={"cool_down_s": COOL_S})
    chain = {"stt": ears, "llm": mind, "tts": voice}[stage](first, second, settings=settings)
    call = talk(**{stage: chain}, count=6)
    assert fell_over(call) == [("first", "second", "unreachable"), ("second", "first", "returned")]
    gone, back = (seen.at_ms for seen in call.of(ev.FellOver))
    assert COOL_S * 1000 <= back - gone <= 1000 * COOL_S + 2 * EVERY_MS
    assert [text for _, text in call.texts()] == [QUESTION, ANSWER] * 6


def test_what_a_vendor_charges_reaches_the_call_also_for_what_came_too_late() -> None:
    class Charging(Voice):
        async def speak(self, text: str, **how: Any) -> Any:
            tell(Spent("tts", "vendor", "", "characters", len(text)))
            async for piece in super().speak(text, **how):
                yield piece

    call = talk(tts=voice(Charging(delay_ms=3000), Charging()))
    assert [seen.event.amount for seen in call.of(ev.Spent)] == [len(ANSWER)] * 2


def test_a_vendor_that_has_had_enough_is_asked_again_when_it_said() -> None:
    class Limited(Voice):
        async def speak(self, text: str, **how: Any) -> Any:
            if not self.spoken:
                self.spoken.append("")
                raise ProviderError("tts", "fake", "too many requests", "rate_limited", 20.0)
            async for piece in super().speak(text, **how):
                yield piece

    limited = Limited()
    call = talk(tts=voice(limited, Voice()), count=5)
    assert fell_over(call) == [("first", "second", "rate_limited"), ("second", "first", "returned")]
    assert len(limited.spoken) == 3  # the refused phrase, and those of the fourth and the fifth turn


# ---------------------------------------------------------------- starting


class Starting(Voice):
    def __init__(self, *outcomes: Exception | float) -> None:
        super().__init__()
        self.outcomes = list(outcomes)  # of each start: what it raises, or how many seconds it takes

    async def start(self) -> None:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        await asyncio.sleep(outcome)


def test_a_chain_is_ready_when_its_first_one_is() -> None:
    assert started(Starting(2.0), Starting(9.0)) == 2.0


def test_a_first_one_that_does_not_start_is_passed_over_at_once() -> None:
    assert started(Starting(DOWN, DOWN, DOWN), Starting(3.0)) == 3.0


def test_where_none_starts_the_chain_does_not() -> None:
    with pytest.raises(ProviderError, match="no connection"):
        started(Starting(DOWN), Starting(DOWN))


def started(*providers: Starting) -> float:
    """After how many seconds the chain was."""

    async def start() -> float:
        chain, loop = voice(*providers), asyncio.get_running_loop()
        began = loop.time()
        try:
            await chain.start()
            return loop.time() - began
        finally:
            await chain.close()

    return virtual.run(start())


def test_a_call_begins_with_whatever_is_ready_and_the_first_one_joins_when_it_is() -> None:
    loading = Starting(EVERY_MS / 1000)
    chain = voice(loading, Starting(0.0))
    call = Call(Ears([[QUESTION]] * 2), Mind([ANSWER]), chain, *turns(2), settings=QUIET)
    call.at(0, lambda session: _in_background(chain.start())).run(2 * EVERY_MS)
    assert fell_over(call) == [("first", "second", "loading"), ("second", "first", "returned")]
    assert call.texts()[3] == ("assistant", ANSWER)


def test_one_that_did_not_start_is_tried_again_after_its_cool_down() -> None:
    chain = voice(Starting(DOWN, 0.0), Starting(0.0), settings=FAST.model_copy(update={"cool_down_s": 6.0}))
    call = Call(Ears([[QUESTION]] * 2), Mind([ANSWER]), chain, *turns(2), settings=QUIET)
    call.at(0, lambda session: _in_background(chain.start())).run(2 * EVERY_MS)
    assert fell_over(call) == [("first", "second", "unreachable"), ("second", "first", "returned")]


BACKGROUND: set[Any] = set()


def _in_background(work: Any) -> None:
    task = asyncio.get_running_loop().create_task(work)
    BACKGROUND.add(task)
    task.add_done_callback(BACKGROUND.discard)
