"""What an operator sees of a server: is it well, does it take calls, who talks, what is counted."""

from __future__ import annotations

import hashlib

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.settings import Settings
from server.access.keys import ServerKey
from tests.real.served import CALLS, Caller, Served, caller, served, until

pytestmark = pytest.mark.real

KEY, ADMIN_KEY = "an-ordinary-key-of-a-school", "the-key-of-an-operator-here"
KEYS = tuple(
    ServerKey(label, role, hashlib.sha256(key.encode()).digest())
    for label, role, key in (("school", "user", KEY), ("ops", "admin", ADMIN_KEY))
)
OPERATOR = {"Authorization": f"Bearer {ADMIN_KEY}"}
SCHOOL = {"Authorization": f"Bearer {KEY}"}


async def status(server: Served, path: str, headers: dict[str, str] | None = None) -> int:
    async with server.http.get(server.url + path, headers=headers) as response:
        return response.status


async def counted(server: Served) -> dict[str, float]:
    """Samples by name, as a scraper reads them; those with several labels added up."""
    async with server.http.get(f"{server.url}/metrics", headers=OPERATOR) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


async def test_a_full_server_is_well_and_not_ready() -> None:
    async with served(max_calls=1) as server:
        assert await status(server, "/readyz") == 200
        async with caller(server) as one:
            await one.until("session.created")
            assert (await status(server, "/healthz"), await status(server, "/readyz")) == (200, 503)
        await server.until_idle()
        assert await status(server, "/readyz") == 200


async def test_a_server_that_stops_is_well_and_not_ready() -> None:
    async with served() as server:
        await server.worker.drain(0)
        assert (await status(server, "/healthz"), await status(server, "/readyz")) == (200, 503)


@pytest.mark.parametrize("path", ["/metrics", "/v1/viva/admin/calls"])
async def test_only_an_operator_looks_in(path: str) -> None:
    async with served(door={"keys": KEYS}) as server:
        assert await status(server, path) == 401
        assert await status(server, path, SCHOOL) == 403
        assert await status(server, path, OPERATOR) == 200
    async with served() as server:  # open, and nobody is an operator
        assert await status(server, path) == 403


async def test_a_call_is_seen_counted_and_ended_by_an_operator() -> None:
    settings = Settings.model_validate({"turns": {"nudges": 0}})
    async with served(door={"keys": KEYS}, settings=settings) as server:
        before = await counted(server)
        assert before["viva_calls_active"] == 0
        server.key = KEY
        one = Caller(server)
        try:
            await one.connect()
            await one.until("session.created")
            one.send("session.update", session={})
            await one.until("output_audio_buffer.stopped")
            async with server.http.get(f"{server.url}/v1/viva/admin/calls", headers=OPERATOR) as response:
                seen = await response.json()
            (call,) = seen["list"]
            assert one.location == f"{CALLS}/{call['call_id']}"
            assert (call["line"], call["mode"], call["key"]) == ("webrtc", "chat", "school")
            assert {stage["stage"] for stage in seen["providers"]} == {"stt", "llm", "tts"}
            assert (await counted(server))["viva_calls_active"] == 1
            async with server.http.delete(server.url + one.location, headers=OPERATOR) as response:
                assert response.status == 204
        finally:
            await one.close()
        await until(lambda: not server.worker.load().calls)
        after = await counted(server)
        assert after["viva_calls_total"] == 1
        assert after["viva_call_duration_seconds_count"] == 1
        assert after["viva_model_tokens_total"] > 0


async def test_a_refused_offer_is_counted() -> None:
    async with served(door={"keys": KEYS}) as server:
        sdp = {"Content-Type": "application/sdp", **SCHOOL}
        async with server.http.post(server.url + CALLS, data=b"v=0\r\n", headers=sdp) as response:
            assert response.status == 400
        assert (await counted(server))["viva_calls_refused_total"] == 1
