"""A chain is a provider like any other: it keeps the whole contract, also where all its links fail alike."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.chain import chained
from pipeline.choice import Chosen
from pipeline.contract.bench import Subject
from pipeline.contract.suite import examine
from pipeline.settings import Settings
from tests.contract.parrot import Parrot, ParrotEars, ParrotMind, ParrotVoice
from tests.contract.parrot_server import ParrotServer

pytestmark = pytest.mark.timeout(600)  # a whole examination; each of its checks is bounded


class ChainOfParrots:
    """Two of them with one vendor."""

    def __init__(self, provider: type[Parrot]) -> None:
        self._provider = provider

    def missing(self, settings: Settings) -> str | None:
        return None

    def create(self, settings: Settings) -> Any:
        own, stage = settings.plugins["parrot"], self._provider.stage
        links = [Chosen(stage, name, "", self._provider(own)) for name in ("parrot", "other")]
        return chained(stage, links, settings)


@pytest.mark.parametrize("provider", [ParrotEars, ParrotMind, ParrotVoice])
async def test_a_chain_keeps_the_contract(provider: type[Parrot]) -> None:
    subject = Subject(provider.stage, ChainOfParrots(provider), Settings(), ParrotServer)
    failed = [result async for result in examine(subject) if result.outcome == "failed"]
    assert not failed
