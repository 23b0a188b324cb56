"""What a conversation costs, answers that nobody heard included: on virtual time, and a mind that charges."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from pipeline.notices import Spent, tell
from pipeline.providers import Message, Piece, ReplyOptions
from server.costs import Costs
from tests.session.call import Call, Ears, Mind, Voice, speech
from tests.sounds import speech as sound_of

FIRST, SECOND = "i would put it in memory", "and in redis too"


@dataclass
class ChargedMind(Mind):
    """A vendor's: 1000 tokens a reply, told when it is over or was broken off."""

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        try:
            async for piece in super().reply(messages, options):
                yield piece
        finally:
            tell(Spent("llm", "openai", "gpt-4o", "output_tokens", 1000))


def test_an_answer_that_is_prepared_for_nothing_is_paid_for_and_told_apart() -> None:
    second_at = 500 + len(sound_of(FIRST)) // 16 + 400
    mind = ChargedMind(["Good choice."])
    ears = Ears([[FIRST, f"{FIRST} {SECOND}"]])
    call = Call(ears, mind, Voice(), speech(500, FIRST), speech(second_at, SECOND)).run(9000)
    costs = Costs()
    for seen in call.events:
        costs.observe(seen.event)
    thrown_away = len(mind.asked) - 1
    assert thrown_away > 0
    assert costs.money == pytest.approx(0.01 * len(mind.asked))
    assert costs.wasted == pytest.approx(0.01 * thrown_away)


def test_a_reply_that_is_broken_into_was_heard_and_is_no_waste() -> None:
    long = "A cache keeps what was asked for lately, so that it need not be fetched again from far away."
    mind = ChargedMind([long, "Go on."], token_ms=40)
    ears = Ears([["what is a cache"], ["no i meant the other kind of cache"]])
    interruption = speech(4500, "no i meant the other kind of cache")
    call = Call(ears, mind, Voice(), speech(500, "what is a cache"), interruption).run(12_000)
    costs = Costs()
    for seen in call.events:
        costs.observe(seen.event)
    assert next(text for role, text in call.texts() if role == "assistant") != long
    assert costs.money > 0
    assert costs.wasted == pytest.approx(0.01 * (len(mind.asked) - 2))
