"""The providers of a chain: loading them, and which one is asked first just now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.chain.circuit import Circuit, Pace
from pipeline.errors import ProviderError, Stage
from pipeline.settings import ChainSettings

AGAIN_AFTER_S = 1.0  # at least, one that did not start is tried again

log = logging.getLogger(__name__)


class Link:
    """One of them, and what is known of it."""

    def __init__(self, name: str, provider: Any, settings: ChainSettings) -> None:
        self.name = name
        self.provider = provider
        self.circuit = Circuit(settings)
        self.pace = Pace()
        self.ready = False
        self.started = asyncio.Event()  # or it failed to, for the first time


class Links:
    """All of a stage, in the order in which they are preferred."""

    def __init__(self, stage: Stage, named: Sequence[tuple[str, Any]], settings: ChainSettings) -> None:
        self.stage: Stage = stage
        self.all = [Link(name, provider, settings) for name, provider in named]
        self.closing: set[asyncio.Task[None]] = set()  # streams that lost, until they have ended
        self.least_late_s: float = getattr(settings, f"{stage}_late_ms") / 1000
        self.untried_late_s = settings.untried_late_ms / 1000
        self._loading: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Loads all of them at once; returns when the best one that starts at all is ready. One that does not
        is passed over, and tried again later. Raises ProviderError if none starts."""
        self._loading = [
            asyncio.create_task(self._load(link), name=f"{self.stage} {link.name}") for link in self.all
        ]
        for link in self.all:
            await link.started.wait()
            if link.ready:
                return
        assert link.circuit.why is not None, "what is not ready has failed"
        raise link.circuit.why

    async def close(self) -> None:
        """Ends what is loading, then each of them. Raises the first of their errors."""
        tasks = [*self._loading, *self.closing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        outcomes = await asyncio.gather(*(link.provider.close() for link in self.all), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _load(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        while not link.ready:
            try:
                await link.provider.start()
                link.ready = True
                link.circuit.worked()
                log.info("%s: %s is ready", self.stage, link.name)
            except ProviderError as error:
                self.failed(link, error, tried=True)
            except Exception:
                log.exception("%s: %s does not start", self.stage, link.name)
                message = "it did not start: the log says why"
                self.failed(link, ProviderError(self.stage, link.name, message, "crashed"), tried=True)
            link.started.set()
            if not link.ready:
                await asyncio.sleep(max(AGAIN_AFTER_S, link.circuit.until_s - loop.time()))

    def order(self, fits: Callable[[Link], bool] = lambda link: True) -> list[Link]:
        """Those that may be asked now, in turn; one that is still loading comes behind those that are ready.
        Where all that fit are to be left alone, all of them: nobody else would answer."""
        now_s = asyncio.get_running_loop().time()
        fitting = [link for link in self.all if fits(link)]
        admitted = [link for link in fitting if link.circuit.admits(now_s)]
        return sorted(admitted or fitting, key=lambda link: not link.ready)

    def of_language(self, language: str) -> tuple[Link, list[Link]]:
        """The first one that knows it, and those that may be asked now, in turn. Where none knows it, the
        first one is to say so."""
        knowing = [link for link in self.all if link.provider.knows(language)] or self.all[:1]
        return knowing[0], self.order(lambda link: link in knowing)

    def failed(self, link: Link, why: ProviderError, *, tried: bool = False) -> None:
        now_s = asyncio.get_running_loop().time()
        if link.circuit.failed(why, now_s, tried=tried):
            left_s = link.circuit.until_s - now_s
            log.warning("%s: %s is left alone for %.0f s: %s", self.stage, link.name, left_s, why.message)

    def late_after_s(self, link: Link) -> float:
        """Without a result it is so late that the next one joins in."""
        return link.pace.late_after_s(self.least_late_s, self.untried_late_s)


class Chain:
    """What the chains of the three stages have in common, as providers. See `pipeline.providers.Provider`."""

    def __init__(self, links: Links) -> None:
        self.name = links.all[0].name  # whose styles a voice is given, and what the page calls it
        self._links = links

    @property
    def detail(self) -> str:
        return "; else ".join(link.provider.detail for link in self._links.all)

    @property
    def trouble(self) -> dict[str, str]:
        """Those that do not work at present, by name, with the words of their last failure."""
        return {link.name: link.circuit.why.message for link in self._links.all if link.circuit.why}

    async def start(self) -> None:
        await self._links.start()

    async def close(self) -> None:
        await self._links.close()
