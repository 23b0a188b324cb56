"""`viva --check`: every stage once, on one turn of synthetic speech, a line and a time for each.

The voice says a sentence, the recogniser hears it, the mind answers what was heard, the voice says that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from time import perf_counter
from typing import TypeVar

import numpy as np

from pipeline import modes
from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk, Resampler
from pipeline.errors import ProviderError
from pipeline.languages import fold
from pipeline.providers import Message, Pause, ReplyOptions, Token
from pipeline.session import Parts
from server.config import Config
from server.engines import STAGES, WORDS, Engines

SENTENCE = "Tell me about your work as an engineer."
LANGUAGE = "en"  # what every recogniser and voice knows
STAGE_WITHIN_S = 60.0  # a model that has to be fetched first is not waited for longer
SCRIPTED = "scripted"  # a mind that is no language model, and calls no tools
ROBOT = "espeak"  # a voice that recognisers, trained on people, hardly understand
LEAD_MS = 300  # silence around the sentence, as the gate would hand it on

Result = TypeVar("Result")


class Failed(Exception):
    """What went wrong, in words."""


async def check(config: Config) -> int:
    """0: all stages work; 1: one does not, and its line says why. Raises ConfigError."""
    engines = Engines(config.pipeline)
    began = perf_counter()
    try:
        engines.start()
        await _in_time(engines.loaded())
        for stage in STAGES:
            engine = engines.stages[stage]
            if engine.error:
                raise Failed(f"{WORDS[stage]} {engine.chosen.name}: {engine.error}")
            _say(f"load {WORDS[stage]}", engine.took_s or 0.0, f"{engine.chosen.name} ({engine.chosen.why})")
        _tools(engines)
        await _turn(await engines.parts(), config)
    except (Failed, ProviderError) as error:
        print(f"failed: {error}", flush=True)
        return 1
    finally:
        await engines.close()
    _say("all", perf_counter() - began, "works")
    return 0


def _tools(engines: Engines) -> None:
    names = ", ".join(tool.name for tool in engines.toolbox.tools)
    mind = engines.stages["llm"].chosen.name
    if names:
        print(
            f"tools: {names}{f' (which the mind {mind} never calls)' if mind == SCRIPTED else ''}", flush=True
        )


async def _turn(parts: Parts, config: Config) -> None:
    sound, took_s = await _timed(_spoken(parts, SENTENCE, config))
    if not len(sound):
        raise Failed("the voice gave no sound")
    _say("speak", took_s, f'"{SENTENCE}" ({len(sound) / MIC_RATE:.1f} s of sound)')

    heard, took_s = await _timed(_heard(parts, sound))
    if not heard:
        raise Failed("the recogniser heard nothing")
    _say("listen", took_s, f'"{heard}"{_how_well(heard, parts.voice.name)}')

    answer, took_s = await _timed(_answered(parts, heard, config))
    if not answer:
        raise Failed("the mind gave no answer")
    _say("think", took_s, f'"{answer}"')

    sound, took_s = await _timed(_spoken(parts, answer, config))
    if not len(sound):
        raise Failed("the voice gave no sound for the answer")
    _say("answer", took_s, f"{len(sound) / MIC_RATE:.1f} s of sound")


async def _spoken(parts: Parts, text: str, config: Config) -> np.ndarray:
    """int16 at MIC_RATE."""
    style = modes.style(config.call.mode, config.call.persona, parts.voice.name, LANGUAGE)
    pieces: list[np.ndarray] = []
    resampler: Resampler | None = None
    async with aclosing(parts.voice.speak(text, language=LANGUAGE, style=style)) as speech:  # type: ignore[type-var]
        async for piece in speech:
            resampler = resampler or Resampler(piece.rate, MIC_RATE)
            pieces.append(resampler.push(piece.samples))
    if resampler is not None:
        pieces.append(resampler.flush())
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


async def _heard(parts: Parts, sound: np.ndarray) -> str:
    async def utterance() -> AsyncIterator[AudioChunk | Pause]:
        quiet = np.zeros(LEAD_MS * MIC_RATE // 1000, np.int16)
        whole = np.concatenate([quiet, sound, quiet])
        for at in range(0, len(whole) - MIC_CHUNK + 1, MIC_CHUNK):
            yield AudioChunk(whole[at : at + MIC_CHUNK], MIC_RATE, at)
        yield Pause()

    text = ""
    async with aclosing(parts.ears.transcribe(utterance(), language=LANGUAGE)) as transcripts:  # type: ignore[type-var]
        async for transcript in transcripts:
            if transcript.kind != "partial":
                text = transcript.text
    return text.strip()


async def _answered(parts: Parts, heard: str, config: Config) -> str:
    call, llm = config.call, config.pipeline.llm
    messages = [
        Message("system", modes.system_prompt(call.mode, call.persona, LANGUAGE, call.topic)),
        Message("user", heard),
    ]
    options = ReplyOptions(
        LANGUAGE, call.mode, call.topic, temperature=llm.temperature, max_tokens=llm.max_tokens
    )
    words: list[str] = []
    async with aclosing(parts.mind.reply(messages, options)) as tokens:  # type: ignore[type-var]
        async for token in tokens:
            if isinstance(token, Token | str):
                words.append(token.text if isinstance(token, Token) else token)
    return "".join(words).strip()


def _how_well(heard: str, voice: str) -> str:
    """Right words say something about a recogniser only where the voice is like a person's."""
    if voice == ROBOT:
        return " (a robot's voice is hard to understand: this shows only that it listens)"
    said = fold(heard, LANGUAGE).split()
    wanted = fold(SENTENCE, LANGUAGE).split()
    return f" ({sum(word in said for word in wanted)} of {len(wanted)} words)"


async def _timed(work: Awaitable[Result]) -> tuple[Result, float]:
    began = perf_counter()
    return await _in_time(work), perf_counter() - began


async def _in_time(work: Awaitable[Result]) -> Result:
    try:
        return await asyncio.wait_for(work, STAGE_WITHIN_S)
    except TimeoutError:
        raise Failed(f"no result within {STAGE_WITHIN_S:g} s") from None


def _say(what: str, took_s: float, result: str) -> None:
    print(f"{what:11} {1000 * took_s:6.0f} ms  {result}", flush=True)
