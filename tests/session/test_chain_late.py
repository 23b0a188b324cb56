"""One that falls silent after it has shown how fast it is: when the next one joins in, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.providers import Message, Pause, ReplyOptions, VoiceStyle
from pipeline.settings import ChainSettings, TurnSettings
from tests import virtual
from tests.session.chains import MOST_SILENCE_MS, ears, mind, voice
from tests.session.wild import Way, WildEars, WildMind, WildVoice
from tests.sounds import silence

NEXT_MS = 300


async def _sound() -> AsyncIterator[AudioChunk | Pause]:
    yield AudioChunk(silence(20), MIC_RATE, 0)
    yield Pause()


def _work(stage: str, chain: Any) -> Any:
    match stage:
        case "stt":
            return chain.transcribe(_sound(), language="en")
        case "llm":
            return chain.reply([Message("user", "what is a cache")], ReplyOptions("en", "chat"))
    return chain.speak("a cache", language="en", style=VoiceStyle())


async def _waits_ms(stage: str, chain: Any, count: int) -> list[float]:
    """For the first piece of each of so many works."""
    loop, found = asyncio.get_running_loop(), []
    for _ in range(count):
        began = loop.time()
        async with aclosing(_work(stage, chain)) as stream:
            await anext(stream)
            found.append(1000 * (loop.time() - began))
            async for _ in stream:
                pass
    return found


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
@pytest.mark.parametrize(
    ("took_ms", "waited_ms"),
    [
        ([200] * 6, 600),
        ([200, 300, 450] * 3, 600),
        ([700] * 6, 875),
        ([600, 700, 800] * 3, 1000),
        ([3000] * 6, 3600),
        ([300, 300, 300, 580] * 4, 725),
    ],
)
def test_the_next_one_joins_in_when_it_is_later_than_it_hardly_ever_is(
    stage: str, took_ms: list[int], waited_ms: int
) -> None:
    wild = {"stt": WildEars, "llm": WildMind, "tts": WildVoice}[stage]
    first = wild([*(Way(delay_ms=one_ms) for one_ms in took_ms), Way(ends="hang")])
    chain = {"stt": ears, "llm": mind, "tts": voice}[stage](
        first, wild([Way(delay_ms=NEXT_MS)] * len(took_ms)), settings=ChainSettings()
    )

    *usual_ms, last_ms = virtual.run(_waits_ms(stage, chain, len(took_ms) + 1))
    assert usual_ms == pytest.approx(took_ms), "it was waited for as long as it showed no trouble"
    assert last_ms == pytest.approx(waited_ms + NEXT_MS)
    assert last_ms - sorted(usual_ms)[len(usual_ms) // 2] <= MOST_SILENCE_MS


def test_however_slow_ears_have_become_the_next_ones_join_in_before_the_turn_is_given_up() -> None:
    slow = [Way(delay_ms=6500)] * 6
    following = WildEars([*[Way(delay_ms=9000)] * len(slow), Way(delay_ms=NEXT_MS)])
    chain = ears(WildEars([*slow, Way(ends="hang")]), following, settings=ChainSettings())
    *usual_ms, last_ms = virtual.run(_waits_ms("stt", chain, len(slow) + 1))
    assert usual_ms == pytest.approx([6500] * len(slow))
    assert last_ms + 2000 < TurnSettings().no_words_after_ms
