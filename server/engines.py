"""The three stages that all calls share, chosen at once and loaded behind the page's back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from pipeline.choice import Chosen, choose, come_since
from pipeline.errors import ProviderError, Stage
from pipeline.session import Parts
from pipeline.settings import Settings
from pipeline.silero import SileroModel
from pipeline.toolbox import Toolbox

log = logging.getLogger(__name__)

STAGES: Sequence[Stage] = ("stt", "llm", "tts")
WORDS = {"stt": "ears", "llm": "mind", "tts": "voice"}  # what people call them


@dataclass(slots=True)
class Engine:
    """One stage: what it took, and how far loading it is."""

    chosen: Chosen
    ready: bool = False
    error: str | None = None  # fit for a person
    took_s: float | None = None


class Engines:
    """The three stages of a process.

    Args:
        settings: what to take. Raises ConfigError when something named cannot run here, or is no tool.
        chosen: taken instead of what the settings name.
    """

    def __init__(self, settings: Settings, chosen: Sequence[Chosen] = ()) -> None:
        taken = chosen or [choose(stage, settings) for stage in STAGES]
        self.stages = {choice.stage: Engine(choice) for choice in taken}
        self.toolbox = Toolbox(settings.tools)
        self._settings = settings
        self._looks_again = not chosen and settings.llm.local.look_again_s > 0
        self._looking: asyncio.Task[None] | None = None
        self._left: list[Chosen] = []  # for a better one; calls that began with one of them go on with it
        self._silero: asyncio.Future[SileroModel] | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return all(engine.ready for engine in self.stages.values())

    def start(self) -> None:
        """Begins to load everything; returns at once."""
        self._silero = asyncio.ensure_future(asyncio.to_thread(SileroModel))
        self._loading = asyncio.create_task(self._load(), name="engines")
        if self._looks_again:
            self._looking = asyncio.create_task(self._look_again(), name="look for minds")

    async def loaded(self) -> None:
        """Returns when every stage is ready or has failed."""
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def parts(self) -> Parts:
        """For a session. Waits for the voice detector only: calls to the three wait for what they need."""
        if self._silero is None:
            raise RuntimeError("start() comes first")
        silero = await asyncio.shield(self._silero)
        ears, mind, voice = (self.stages[stage].chosen.provider for stage in STAGES)
        return Parts(ears=ears, mind=mind, voice=voice, silero=silero, toolbox=self.toolbox)

    async def close(self) -> None:
        """Ends loading, threads, processes and connections."""
        for task in (self._looking, self._loading, self._silero):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        chosen = [*(engine.chosen for engine in self.stages.values()), *self._left]
        closing = (one.provider.close() for one in chosen)
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("closing a provider failed: %r", outcome)

    async def _look_again(self) -> None:
        """A server with models that is started after this one is the mind of the next call, once its model is
        loaded."""
        while True:
            await asyncio.sleep(self._settings.llm.local.look_again_s)
            try:
                chosen = await come_since(self.stages["llm"].chosen, self._settings)
            except Exception:
                log.exception("looking for a mind on this machine failed")
                continue
            if chosen is None:
                continue
            engine = Engine(chosen)
            self._left.append(chosen)  # so that it is closed in any case
            await self._start("llm", engine)
            if engine.ready:
                before, self.stages["llm"] = self.stages["llm"], engine
                self._left[-1] = before.chosen
                log.info("mind: the next call has %s", chosen)

    async def _load(self) -> None:
        await asyncio.gather(*(self._start(stage, engine) for stage, engine in self.stages.items()))

    async def _start(self, stage: Stage, engine: Engine) -> None:
        began = perf_counter()
        try:
            await engine.chosen.provider.start()
        except ProviderError as error:
            engine.error = error.message
        except Exception:
            log.exception("%s: %s did not start", WORDS[stage], engine.chosen.name)
            engine.error = "it did not start: the log says why"
        else:
            engine.ready = True
        engine.took_s = perf_counter() - began
        if engine.error:
            log.error("%s: %s: %s", WORDS[stage], engine.chosen.name, engine.error)
        else:
            log.info("%s ready: %s in %.1f s", WORDS[stage], engine.chosen.name, engine.took_s)
