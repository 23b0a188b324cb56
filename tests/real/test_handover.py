"""A server is stopped and started again, and whoever talked to it goes on talking."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipeline.absence import Left, Missed
from pipeline.items import Item
from pipeline.settings import CallSettings, Settings
from server.handover import Waiting, hand_over, take_over
from tests.real.served import CALLS, Caller, Served, caller, served
from tests.session.call import Mind

pytestmark = pytest.mark.real

QUIET = Settings.model_validate({"turns": {"nudges": 0}})
REPLIES = ["Tell me of a cache. What is it for?", "And what when it is full?", "Thank you."]


def waiting(until: float) -> Waiting:
    items = (
        Item("item_1", "user", "completed", "Grüße", figures={"patience_ms": 240}),
        Item("item_2", "assistant", "incomplete", "Hello", note={"asked": ["q1"]}, words=[(0, 0), (200, 5)]),
        Item("item_3", None, "completed", "{}", kind="function_call", call_id="call_1", name="look"),
    )
    left = Left(items, Missed("item_2", " there."), owed=False)
    call = CallSettings(mode="chat", language="de", instructions="Be brief.")
    return Waiting("call_local_1", "resume_local_1", 3, 2, "", "sess_1", call, left, until)


def test_what_is_handed_over_comes_out_as_it_went_in_and_only_once(tmp_path: Path) -> None:
    file = tmp_path / "state" / "conversations"
    one = waiting(time.time() + 60)
    hand_over(file, [one])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert take_over(file) == [one]
    assert not file.exists()
    assert take_over(file) == []


def test_whoever_took_too_long_is_not_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "conversations"
    hand_over(file, [waiting(time.time() - 1), waiting(time.time() + 60)])
    assert len(take_over(file)) == 1


@pytest.mark.parametrize("text", ["", "[", '[{"call_id": 1}]', "\0"])
def test_a_file_of_another_kind_is_left_out_and_said(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "conversations"
    file.write_text(text)
    assert take_over(file) == []
    assert "no conversation is taken up" in caplog.text


def test_a_place_that_cannot_be_written_costs_the_conversations_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    hand_over(tmp_path / "file" / "below", [waiting(time.time() + 60)])
    assert "1 conversations end here" in caplog.text


async def talked(server: Served, one: Caller) -> str:
    """Greets, is greeted, and returns the token."""
    await one.until("session.created")
    one.send("session.update", session={"viva": {}})
    updated = await one.until("session.updated")
    await one.until("output_audio_buffer.stopped")
    return str(updated["session"]["viva"]["resume"]["token"])


async def test_a_conversation_goes_on_in_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "conversations"
    settings: dict[str, Any] = {"handover": str(file), "settings": QUIET, "call": {"language": "de"}}
    async with served(mind=Mind(REPLIES), **settings) as server, caller(server) as one:
        token = await talked(server, one)
        session = (await one.until("session.created"))["session"]["id"]
        await server.worker.drain(0)
        ending = await one.until("viva.ending")
        assert ending["why"] == "server_stops"
        assert file.exists()
    async with served(mind=Mind(REPLIES), **settings) as server:
        assert not file.exists()
        assert server.worker.load().calls == 1
        async with caller(server, resume=token) as again:
            created = await again.until("session.created")
            assert created["session"]["id"] == session
            await again.until("viva.resumed")
            item = (await again.until("conversation.item.added"))["item"]
            assert item["content"][0]["transcript"] == REPLIES[0]
            again.send("session.update", session={"viva": {}})
            await again.until("output_audio_buffer.started")
            said = (await again.until("response.done"))["response"]["output"][0]["content"][0]["transcript"]
            assert said.endswith("What is it for?"), "the question at hand is asked again"
            assert (await again.until("session.updated"))["session"]["viva"]["language"] == "de"


async def test_without_a_file_to_wait_in_a_conversation_ends_with_its_process(tmp_path: Path) -> None:
    async with served(mind=Mind(REPLIES), settings=QUIET) as server, caller(server) as one:
        token = await talked(server, one)
        await server.worker.drain(0)
    async with served(mind=Mind(REPLIES), settings=QUIET) as server:
        again = Caller(server)
        body = aiohttp.FormData(default_to_multipart=True)
        body.add_field("sdp", await again.offer())
        body.add_field("resume", token)
        async with server.http.post(server.url + CALLS, data=body) as response:
            assert response.status == 410
        await again.close()
