"""Chains of fake providers, calls with them, and what those show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from pipeline import events as ev
from pipeline.audio import VOICE_RATE
from pipeline.chain import ChainEars, ChainMind, ChainVoice
from pipeline.chain.links import Links
from pipeline.errors import ProviderError, Stage
from pipeline.settings import ChainSettings, Settings
from tests.session.call import Call, Ears, Mind, Sound, Voice, speech
from tests.sounds import speech as spoken

QUIET = Settings.model_validate({"turns": {"nudges": 0}})
FAST = ChainSettings(untried_late_ms=800)  # nothing has to show first how fast it is
NAMES = ("first", "second", "third")

QUESTION = "what is a cache"
ANSWER = "a cache keeps what was asked before so that it need not be fetched again"
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
MOST_SILENCE_MS = 1000  # that a change may add
EVERY_MS = 8000  # turns of the calls that have several
DOWN = ProviderError("tts", "fake", "no connection", "unreachable")


def links(stage: Stage, *providers: Any, settings: ChainSettings = FAST) -> Links:
    return Links(stage, list(zip(NAMES, providers, strict=False)), settings)


def ears(*providers: Any, settings: ChainSettings = FAST) -> ChainEars:
    return ChainEars(links("stt", *providers, settings=settings))


def mind(*providers: Any, settings: ChainSettings = FAST) -> ChainMind:
    return ChainMind(links("llm", *providers, settings=settings))


def voice(*providers: Any, settings: ChainSettings = FAST) -> ChainVoice:
    return ChainVoice(links("tts", *providers, settings=settings))


def fell_over(call: Call) -> list[tuple[str, str, str]]:
    """Every change that the call was told of: from, to, why."""
    return [(seen.event.failed, seen.event.to, seen.event.code) for seen in call.of(ev.FellOver)]


def words(call: Call) -> str:
    """What was heard, word by word."""
    return "".join(seen.event.text for seen in call.of(ev.Heard)).strip()


def longest_gap_ms(call: Call, from_ms: int) -> int:
    """The longest silence inside what was said after that moment."""
    loud = np.flatnonzero(np.abs(call.out[from_ms * VOICE_RATE // 1000 :].astype(int)) > 200)
    return int(np.diff(loud).max()) * 1000 // VOICE_RATE


def turns(count: int = 1) -> list[Sound]:
    return [speech(500 + EVERY_MS * number, QUESTION) for number in range(count)]


def talk(*, stt: Any = None, llm: Any = None, tts: Any = None, count: int = 1, **call: Any) -> Call:
    """So many turns; a stage that is not given works."""
    stt = stt or Ears([[QUESTION] for _ in range(count)])
    made = Call(stt, llm or Mind([ANSWER]), tts or Voice(), *turns(count), settings=QUIET, **call)
    return made.run(EVERY_MS * count)


async def counted(stream: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    number = 0
    async for one in stream:
        yield number, one
        number += 1
