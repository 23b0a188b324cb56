"""Which requests are made once more, as the connection that was kept for them is gone. The contract has that
nobody notices."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest

from pipeline.choice import plugin
from pipeline.contract.bench import OPTIONS, TALK, all_of
from pipeline.errors import ProviderError
from pipeline.providers import Mind
from tests.vendors.openai_stages import OpenAIStage

KEPT = 3


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIStage]:
    async with OpenAIStage("llm") as server:
        yield server


@pytest.fixture
async def mind(vendor: OpenAIStage) -> AsyncIterator[Mind]:
    made: Mind = plugin("llm", "openai").create(vendor.settings())
    yield made
    await made.close()


async def test_all_that_were_kept_may_be_gone(vendor: OpenAIStage, mind: Mind) -> None:
    vendor.work.first_ms = 100  # so that each has a connection of its own
    await asyncio.gather(*(all_of(mind.reply(TALK, OPTIONS)) for _ in range(KEPT)))
    vendor.work.drops_opened_before_s = time.monotonic()
    assert await all_of(mind.reply(TALK, OPTIONS))
    assert [seen.outcome for seen in vendor.seen[KEPT:]] == [*["cut"] * KEPT, "served"]


async def test_one_that_was_opened_for_the_request_has_no_excuse(vendor: OpenAIStage, mind: Mind) -> None:
    vendor.work.drops_opened_before_s = math.inf
    with pytest.raises(ProviderError) as raised:
        await all_of(mind.reply(TALK, OPTIONS))
    assert raised.value.code == "unreachable"
    assert len(vendor.seen) == 1


async def test_an_answer_that_has_begun_is_not_asked_for_again(vendor: OpenAIStage, mind: Mind) -> None:
    await all_of(mind.reply(TALK, OPTIONS))
    vendor.work.cut_after = 0  # the head of the answer comes
    with pytest.raises(ProviderError):
        await all_of(mind.reply(TALK, OPTIONS))
    assert [seen.outcome for seen in vendor.seen] == ["served", "cut"]
