"""Offers of real browsers are answered; what is none costs the server an error message."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings

from server.access.door import LimitSettings
from tests.hostile.offers import OFFERS
from tests.hostile.shapes import SHAPES, text
from tests.real.served import CALLS, Served, served, udp_sockets, until

pytestmark = pytest.mark.real

SDP = {"Content-Type": "application/sdp"}
REFUSALS = {400, 413, 415}
EXAMPLES = 150
UNLIMITED = {"limits": LimitSettings(offers_per_minute=0)}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def server(runner: asyncio.Runner) -> Iterator[Served]:
    stack = AsyncExitStack()
    yield runner.run(stack.enter_async_context(served(max_calls=4, door=UNLIMITED)))
    runner.run(stack.aclose())


async def offered(server: Served, offer: str) -> int:
    """The status; what was answered is hung up."""
    body = offer.encode(errors="surrogatepass")
    async with server.http.post(server.url + CALLS, data=body, headers=SDP) as response:
        answer = await response.text()
        if response.status != 201:
            assert json.loads(answer)["error"]["message"]
            return response.status
        location = response.headers["Location"]
    async with server.http.delete(server.url + location) as gone:
        assert gone.status == 204
    return 201


@pytest.mark.parametrize("browser", SHAPES)
def test_the_offer_of_a_browser_is_answered(runner: asyncio.Runner, server: Served, browser: str) -> None:
    assert runner.run(offered(server, text(SHAPES[browser]))) == 201


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(offer=OFFERS)
def test_a_spoilt_offer_is_answered_or_refused_and_leaves_nothing(
    runner: asyncio.Runner, server: Served, caplog: pytest.LogCaptureFixture, offer: str
) -> None:
    async def one() -> None:
        before = len(asyncio.all_tasks()), udp_sockets()
        began = time.process_time()
        assert await offered(server, offer) in REFUSALS | {201}
        assert time.process_time() - began < 1.0, "too dear"
        assert server.worker.load().calls == 0
        await until(lambda: len(asyncio.all_tasks()) <= before[0] + 1 and udp_sockets() <= before[1], 5)

    caplog.clear()
    with caplog.at_level(logging.ERROR):
        runner.run(one())
    assert not caplog.records, caplog.text
