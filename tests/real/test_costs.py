"""What real calls cost: the vendor's count, the client's, the operator's; budgets that end them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from pipeline.audio import MIC_RATE
from pipeline.languages import say
from pipeline.llm.openai import OpenAIMind
from pipeline.settings import Secrets, Settings
from pipeline.stt.openai import OpenAIRecognizer
from pipeline.tts.openai import OpenAIVoice
from server.budget import BudgetSettings
from server.prices import PriceSettings
from tests.real.served import CALLS, Caller, Served, caller, served, until
from tests.real.talker import Talker, talker
from tests.real.test_operating import KEYS, OPERATOR, SCHOOL, counted, status
from tests.realtime_events import Json
from tests.sounds import silence, speech
from tests.vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.real

ASKED = np.concatenate([silence(300), speech("really"), silence(2500)])
HEARD = ("stt", "seconds")
PRICES = PriceSettings.model_validate(
    {
        "models": {
            "127.0.0.1/gpt-4o-mini": {"input": 1000, "cached": 500, "output": 10_000},
            "127.0.0.1/gpt-4o-mini-tts": {"characters": 2000},
            "127.0.0.1/whisper-1": {"minute": 6},
        }
    }
)


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as one:
        one.reply = "It is a small store that answers at once."
        one.cached_tokens = 3
        yield one


@asynccontextmanager
async def charged(vendor: OpenAIServer, *, budget: Json | None = None, **more: Any) -> AsyncIterator[Served]:
    """A server whose three stages are the vendor's."""
    settings = Settings.model_validate(
        {
            "turns": {"nudges": 0, "speculate": False},
            "secrets": Secrets(openai_api_key=SecretStr("sk-test"), openai_base_url=vendor.base_url),
        }
    )
    door = {"prices": PRICES, "budget": BudgetSettings.model_validate(budget or {}), **more.pop("door", {})}
    parts: dict[str, Any] = {
        "ears": OpenAIRecognizer(settings),
        "mind": OpenAIMind(settings),
        "voice": OpenAIVoice(settings),
    }
    async with served(settings=settings, call={"greet": False}, door=door, **parts, **more) as server:
        yield server


async def talk(one: Talker, times: int = 1) -> None:
    """Says the same so often, and is answered."""
    await one.until("session.created")
    await one.send("session.update", session={"viva": {"greet": False}})
    await one.until("session.updated")
    for _ in range(times):
        before = len(one.events)
        await one.append(ASKED)
        await one.until("viva.turn_metrics", after=before)


def by_the_vendor(vendor: OpenAIServer) -> Counter[tuple[str, str]]:
    """What its server counted, from the requests as they arrived."""
    count: Counter[tuple[str, str]] = Counter()
    for seen in vendor.requests("chat"):
        prompt = sum(len(str(message["content"]).split()) for message in seen.body["messages"])
        count["llm", "input_tokens"] += prompt - vendor.cached_tokens
        count["llm", "cached_tokens"] += vendor.cached_tokens
        count["llm", "output_tokens"] += len(str(vendor.reply).split())
    for seen in vendor.requests("speech"):
        count["tts", "characters"] += len(seen.body["input"])
        count["tts", "seconds"] += len(bytes(vendor.sound)) / 2 / 24_000  # type: ignore[arg-type,assignment]
    for seen in vendor.requests("transcriptions"):
        count["stt", "seconds"] += (len(seen.file) - 44) / 2 / MIC_RATE  # type: ignore[assignment]
    return count


def told(one: Talker | Caller) -> Json:
    """What the client was told last."""
    return next(event for event in reversed(one.events) if event["type"] == "viva.costs")


async def settled(one: Talker, vendor: OpenAIServer) -> Json:
    """What the client is told once it knows of all that the vendor has counted."""

    def knows_all() -> bool:
        if "viva.costs" not in one.types():
            return False
        known, count = used(one), by_the_vendor(vendor)
        # A request that is broken off before it has left is told, and never seen there.
        count[HEARD] = max(count[HEARD], known.get(HEARD, 0.0))  # type: ignore[type-var,assignment]
        return bool(known == pytest.approx(count, abs=0.002))

    await until(knows_all)
    return told(one)


def used(one: Talker) -> dict[tuple[str, str], float]:
    return {(line["stage"], line["unit"]): line["amount"] for line in told(one)["used"]}


async def test_a_spoken_call_costs_what_the_vendors_server_counted(vendor: OpenAIServer) -> None:
    async with charged(vendor, door={"keys": KEYS}) as server:
        server.http.headers.update(SCHOOL)
        async with talker(server) as one:
            await talk(one, 2)
            costs = await settled(one, vendor)
            count = by_the_vendor(vendor)
            seconds = used(one)[HEARD]
            llm = (
                count["llm", "input_tokens"] * 1000
                + count["llm", "cached_tokens"] * 500
                + count["llm", "output_tokens"] * 10_000
            )
            money = llm / 1e6 + count["tts", "characters"] * 2000 / 1e6 + seconds / 10
            assert costs["money"] == pytest.approx(money, abs=1e-4)
            assert (costs["currency"], costs["wasted"], costs["not_priced"]) == ("USD", 0, [])
            async with server.http.get(f"{server.url}/v1/viva/admin/calls", headers=OPERATOR) as response:
                seen = await response.json()
            assert seen["list"][0]["money"] == pytest.approx(money, abs=1e-4)
            assert seen["today"] == {"spent": pytest.approx(money), "budget": 0, "currency": "USD"}
        figures = await counted(server)
        assert figures["viva_cost_total"] == pytest.approx(money)
        assert figures["viva_day_cost"] == pytest.approx(money)
        assert figures["viva_provider_usage_total"] == pytest.approx(
            sum(count.values()) - count[HEARD] + seconds, abs=0.1
        )


async def test_a_call_that_has_spent_its_budget_is_told_before_and_ends_with_a_farewell(
    vendor: OpenAIServer,
) -> None:
    vendor.reply = "Short."
    async with charged(vendor, budget={"call": 0.5, "warn_at": 0.4}) as server, talker(server) as one:
        await talk(one)
        ending = await one.until("viva.ending")
        assert (ending["in_s"], ending["why"]) == (None, "budget_spent")
        assert not [event for event in one.events if event["type"] == "viva.ended"]
        await one.append(ASKED)
        assert (await one.until("viva.ended"))["why"] == "budget_spent"
        said = [event for event in one.events if event["type"] == "response.output_audio_transcript.done"]
        assert said[-1]["transcript"].strip() in say("goodbye", "en")
        await server.until_idle()


async def test_when_the_day_is_spent_others_are_refused_until_midnight_and_after_a_restart(
    vendor: OpenAIServer, tmp_path: Path
) -> None:
    budget = {"day": 0.3, "file": str(tmp_path / "spent.json")}
    async with charged(vendor, budget=budget) as server:
        assert await status(server, "/readyz") == 200
        async with talker(server) as one, caller(server) as other:
            await other.until("session.created")
            other.send("session.update", session={"viva": {"greet": False}})
            await talk(one)
            assert (await one.until("viva.ended"))["why"] == "budget_spent"
            assert (await other.until("viva.ended"))["why"] == "budget_spent", "it shares the day"
            await refused(server)
        await server.until_idle()
    async with charged(vendor, budget=budget) as server:
        await refused(server)
        assert (await status(server, "/healthz"), await status(server, "/readyz")) == (200, 503)
    budget["day"] = 30.0
    async with charged(vendor, budget=budget) as server, caller(server) as one:
        await one.until("session.created")


async def refused(server: Served) -> None:
    one = Caller(server)
    offer = {"sdp": await one.offer(), "type": "offer"}
    async with server.http.post(f"{server.url}/offer", json=offer) as response:
        assert response.status == 503
        assert 0 < int(response.headers["Retry-After"]) <= 86_400
        assert (await response.json())["error"]["code"] == "budget_spent"
    await one.close()


async def test_what_a_call_has_cost_survives_a_lost_line_and_a_new_process(
    vendor: OpenAIServer, tmp_path: Path
) -> None:
    files = {"handover": str(tmp_path / "conversations")}
    async with charged(vendor, **files) as server:
        async with talker(server, goodbye=4000) as one:
            await talk(one)
            first = await settled(one, vendor)
            token = (await one.until("session.updated"))["session"]["viva"]["resume"]["token"]
        async with talker(server, f"viva-resume.{token}", goodbye=4000) as again:
            assert (await again.until("viva.costs"))["money"] == first["money"]
            token = (await again.until("session.created"))["session"]["viva"]["resume"]["token"]
        await server.worker.drain(0)
    async with charged(vendor, **files) as server, talker(server, f"viva-resume.{token}") as there:
        costs = await there.until("viva.costs")
        assert (costs["money"], costs["used"]) == (first["money"], first["used"])
        assert server.worker.today().spent == 0, "which was paid for before"


async def test_a_call_that_no_vendor_has_part_in_is_told_nothing_of_money() -> None:
    async with served(call={"greet": False}) as server, caller(server) as one:
        await one.until("session.created")
        one.send("session.update", session={"viva": {}})
        one.send("response.create")
        await one.until("output_audio_buffer.stopped")
        assert not [event for event in one.events if event["type"] == "viva.costs"]
        assert CALLS in one.location
