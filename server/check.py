"""`viva --check`: what there is for every stage, what each plug-in needs, and one turn of synthetic speech.

The voice says a sentence, the recogniser hears it, the mind answers what was heard, the voice says that. Of a
chain every link does its piece of work: one that stands in for another is no use if it fails as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from pipeline import modes
from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk, Resampler
from pipeline.choice import Chosen, candidates, choose
from pipeline.errors import ProviderError, Stage
from pipeline.languages import fold
from pipeline.llm.local_servers import discover, shown
from pipeline.providers import Message, Pause, ReplyOptions, Token
from pipeline.settings import Settings
from pipeline.silero import SileroModel
from pipeline.toolbox import Toolbox
from server.config import Config
from server.costs import budget_line
from server.engines import STAGES, WORDS

SENTENCE = "Tell me about your work as an engineer."
LANGUAGE = "en"  # what almost every recogniser and voice knows
TRY_WITHIN_S = 60.0  # a model that has to be fetched first is not waited for longer
SCRIPTED = "scripted"  # a mind that is no language model, and calls no tools
ROBOT = "espeak"  # a voice that recognisers, trained on people, hardly understand
LEAD_MS = 300  # silence around the sentence, as the gate would hand it on

Result = TypeVar("Result")


class Failed(Exception):
    """What went wrong, in words."""


class Untried(Exception):
    """Why a piece of work is none for this link, in words."""


async def check(config: Config) -> int:
    """0: all that is taken works; 1: something does not, and its line says why. Raises ConfigError."""
    settings = config.pipeline
    settings = settings.model_copy(update={"local_servers": await discover(settings.llm.local)})
    chosen = [_chosen(stage, settings) for stage in STAGES]
    toolbox = Toolbox(settings.tools)
    began = perf_counter()
    trial = Trial(config, chosen)
    try:
        await asyncio.to_thread(SileroModel)
        await trial.load()
        _tools(toolbox, chosen)
        links = [link.provider for one in chosen for link in one.each]
        if budget := budget_line(config.prices, config.budget, links):
            print(f"budget: {budget}", flush=True)
        await trial.turn()
    except Failed as error:
        trial.failed.append(str(error))
    finally:
        await trial.close()
    if trial.failed:
        print(f"failed: {'; '.join(trial.failed)}", flush=True)
        return 1
    _say("all", perf_counter() - began, "works")
    return 0


# ------------------------------------------------------------------ what there is


def _chosen(stage: Stage, settings: Settings) -> Chosen:
    """What a stage takes; says what there is, also where the choice fails. Raises ConfigError."""
    taken: dict[str, str] = {}
    try:
        chosen = choose(stage, settings)
        taken = {link.name: f"{link.provider.detail} ({link.why})" for link in chosen.each}
        return chosen
    finally:
        print(WORDS[stage])
        for number, (name, detail) in enumerate(taken.items()):
            print(f"  {'then ' if number else 'takes'}  {name}: {detail}")
        for one in candidates(stage, settings):
            name = f"{one.name} of {one.source}" if one.source else one.name
            if one.lacks:
                print(f"  lacks  {name}: {one.lacks}")
            elif one.name not in taken:
                print(f"  there  {name}: taken if {stage}.provider names it")
        for server in settings.local_servers if stage == "llm" else ():
            models = ", ".join(map(shown, server.models)) or "no model"
            print(f"  found  {server.kind} at {server.address}: {models}")


def _tools(toolbox: Toolbox, chosen: Sequence[Chosen]) -> None:
    names = ", ".join(tool.name for tool in toolbox.tools)
    mind = next(one for one in chosen if one.stage == "llm").name
    if names:
        print(
            f"tools: {names}{f' (which the mind {mind} never calls)' if mind == SCRIPTED else ''}", flush=True
        )


# ------------------------------------------------------------------ what of it works


class Trial:
    """Every link of every stage, each with a piece of work of its own; `failed` says which did not do it."""

    def __init__(self, config: Config, chosen: Sequence[Chosen]) -> None:
        self.failed: list[str] = []
        self._config = config
        self._chosen = {one.stage: one for one in chosen}
        self._loaded: list[Chosen] = []

    async def load(self) -> None:
        """All at once, as a server does."""
        links = [link for stage in STAGES for link in self._chosen[stage].each]
        loading = (
            self._tried(f"load {WORDS[link.stage]}", link, link.provider.start(), partial(_detail, link))
            for link in links
        )
        loaded = await asyncio.gather(*loading)
        self._loaded = [link for link, result in zip(links, loaded, strict=True) if result is not None]

    async def turn(self) -> None:
        """Raises Failed when no link of a stage works: what comes behind it has nothing to work on."""
        sounds = await self._each("tts", "speak", self._speak, _sound)
        voice, sound = sounds[0]
        heard = await self._each(
            "stt", "listen", lambda link: self._listen(link, sound), lambda text: _how_well(text, voice.name)
        )
        answers = await self._each(
            "llm", "think", lambda link: self._think(link, heard[0][1]), lambda text: f'"{text}"'
        )
        await self._tried("answer", voice, self._speak(voice, answers[0][1]), _sound)

    async def close(self) -> None:
        """Of each link itself: a chain of them was never started."""
        links = [link for chosen in self._chosen.values() for link in chosen.each]
        await asyncio.gather(*(link.provider.close() for link in links), return_exceptions=True)

    async def _each(
        self,
        stage: Stage,
        what: str,
        work: Callable[[Chosen], Awaitable[Result]],
        told: Callable[[Result], str],
    ) -> list[tuple[Chosen, Result]]:
        """The links that did it, with what came out; at least one."""
        done: list[tuple[Chosen, Result]] = []
        for link in self._loaded:
            if link.stage == stage:
                result = await self._tried(what, link, work(link), told)
                if result is not None:
                    done.append((link, result[0]))
        if not done:
            raise Failed(f"no {WORDS[stage]}")
        return done

    async def _tried(
        self, what: str, link: Chosen, work: Awaitable[Result], told: Callable[[Result], str]
    ) -> tuple[Result] | None:
        """What came out of it; None: it failed, which is said and noted."""
        began = perf_counter()
        try:
            result = await asyncio.wait_for(work, TRY_WITHIN_S)
        except TimeoutError:
            error = f"no result within {TRY_WITHIN_S:g} s"
        except ProviderError as failure:
            error = failure.message
        except Failed as failure:
            error = str(failure)
        except Untried as reason:
            print(f"{what:11}   left   {link.name}: {reason}", flush=True)
            return None
        except Exception as failure:  # a plug-in that breaks its promise, which may be anybody's
            error = f"{type(failure).__name__}: {failure}"
        else:
            _say(what, perf_counter() - began, f"{link.name}: {told(result)}".rstrip(": "))
            return (result,)
        print(f"{what:11}  failed  {link.name}: {error}", flush=True)
        self.failed.append(f"{WORDS[link.stage]} {link.name}: {error}")
        return None

    async def _speak(self, link: Chosen, text: str = SENTENCE) -> np.ndarray:
        """int16 at MIC_RATE."""
        if not link.provider.knows(LANGUAGE):
            raise Untried("it does not know English, in which this check speaks")
        call = self._config.call
        style = modes.style(call.mode, call.persona, link.name, LANGUAGE)
        pieces: list[np.ndarray] = []
        resampler: Resampler | None = None
        async with aclosing(link.provider.speak(text, language=LANGUAGE, style=style)) as speech:
            async for piece in speech:
                resampler = resampler or Resampler(piece.rate, MIC_RATE)
                pieces.append(resampler.push(piece.samples))
        if resampler is not None:
            pieces.append(resampler.flush())
        if not any(len(piece) for piece in pieces):
            raise Failed("it gave no sound")
        return np.concatenate(pieces)

    async def _listen(self, link: Chosen, sound: np.ndarray) -> str:
        async def utterance() -> AsyncIterator[AudioChunk | Pause]:
            quiet = np.zeros(LEAD_MS * MIC_RATE // 1000, np.int16)
            whole = np.concatenate([quiet, sound, quiet])
            for at in range(0, len(whole) - MIC_CHUNK + 1, MIC_CHUNK):
                yield AudioChunk(whole[at : at + MIC_CHUNK], MIC_RATE, at)
            yield Pause()

        if not link.provider.knows(LANGUAGE):
            raise Untried("it does not know English, in which this check speaks")
        text = ""
        async with aclosing(link.provider.transcribe(utterance(), language=LANGUAGE)) as transcripts:
            async for transcript in transcripts:
                if transcript.kind != "partial":
                    text = transcript.text
        if not text.strip():
            raise Failed("it heard nothing")
        return text.strip()

    async def _think(self, link: Chosen, heard: str) -> str:
        call, llm = self._config.call, self._config.pipeline.llm
        messages = [
            Message("system", modes.system_prompt(call.mode, call.persona, LANGUAGE, call.topic)),
            Message("user", heard),
        ]
        options = ReplyOptions(
            LANGUAGE, call.mode, call.topic, temperature=llm.temperature, max_tokens=llm.max_tokens
        )
        words: list[str] = []
        async with aclosing(link.provider.reply(messages, options)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Token | str):
                    words.append(piece.text if isinstance(piece, Token) else piece)
        answer = "".join(words).strip()
        if not answer:
            raise Failed("it gave no answer")
        return answer


def _sound(samples: Any) -> str:
    return f"{len(samples) / MIC_RATE:.1f} s of sound"


def _detail(link: Chosen, _: object) -> str:
    """Which some know better when they are loaded."""
    return link.provider.detail


def _how_well(heard: str, voice: str) -> str:
    """Right words say something about a recogniser only where the voice is like a person's."""
    if voice == ROBOT:
        return f'"{heard}" (a robot\'s voice is hard to understand: this shows only that it listens)'
    said = fold(heard, LANGUAGE).split()
    wanted = fold(SENTENCE, LANGUAGE).split()
    return f'"{heard}" ({sum(word in said for word in wanted)} of {len(wanted)} words)'


def _say(what: str, took_s: float, result: str) -> None:
    print(f"{what:11} {1000 * took_s:6.0f} ms  {result}", flush=True)
