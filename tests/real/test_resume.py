"""A conversation outlives its line: whoever lost it comes back with a token and goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import WSCloseCode

from server.access.door import LimitSettings
from server.socket_route import RESUME
from tests.real.served import CALLS, Caller, Served, caller, served, until
from tests.real.talker import Talker, talker
from tests.real.test_calls import Microphone, hung_up, ice_sockets
from tests.session.call import Ears, Mind
from tests.sounds import silence, speech

QUESTION = "Good. What is a cache, and when would you use one?"
LONG = "Let me think about what you said there for a moment or two. " + QUESTION
BACK = "We were cut off for a moment. What is a cache, and when would you use one?"

pytestmark = pytest.mark.real


async def token_of(one: Caller | Talker) -> str:
    """Introduces itself as a client of ours."""
    created = await one.until("session.created")
    update = one.send("session.update", session={"type": "realtime", "viva": {}})
    if update is not None:
        await update
    updated = await one.until("session.updated")
    resume = updated["session"]["viva"]["resume"]
    assert resume["within_s"] > 0
    assert created["session"]["id"] == updated["session"]["id"]
    return str(resume["token"])


def vanish(one: Caller) -> None:
    """No goodbye: as if the machine had lost its network."""
    for transport in ice_sockets(one.pc):
        transport.abort()


@asynccontextmanager
async def resumed(server: Served, token: str, **settings: Any) -> AsyncIterator[Caller]:
    async with caller(server, resume=token, **settings) as one:
        await one.until("session.created")
        yield one


def texts(one: Caller | Talker) -> list[str]:
    """What the history holds, by the events of this line alone."""
    done = [event["item"] for event in one.events if event["type"] == "conversation.item.done"]
    return ["".join(part.get("transcript") or part.get("text") or "" for part in i["content"]) for i in done]


async def refusal(server: Served, token: str) -> tuple[int, str]:
    one = Caller(server)
    with aiohttp.MultipartWriter("form-data") as body:
        for name, text in (("sdp", await one.offer()), ("resume", token)):
            body.append(text, {"Content-Type": "text/plain"}).set_content_disposition("form-data", name=name)
    try:
        async with server.http.post(server.url + CALLS, data=body) as response:
            return response.status, (await response.json())["error"]["code"]
    finally:
        await one.close()


async def test_who_lost_the_line_in_mid_reply_reads_the_rest_and_is_asked_again() -> None:
    async with served(mind=Mind([LONG])) as server, caller(server) as one:
        token = await token_of(one)
        await one.until("viva.word")
        vanish(one)
        async with resumed(server, token) as again:
            assert again.location == one.location
            first = await again.until("session.created")
            assert first["session"]["id"] == one.events[0]["session"]["id"]
            assert first["session"]["viva"]["resume"]["epoch"] == 2
            unheard = (await again.until("viva.resumed"))["unheard"]
            assert LONG.endswith(unheard["text"].strip())
            assert len(unheard["text"]) > len(QUESTION)
            await until(lambda: texts(again) == [LONG])
            again.send("session.update", session={"type": "realtime", "viva": {}})
            done = await again.until("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"] == BACK
            assert server.worker.load().calls == 1


async def test_an_answer_that_nobody_heard_is_given_again_after_the_line_is_back() -> None:
    microphone = Microphone(np.concatenate([silence(300), speech("what is a cache"), silence(9000)]))
    mind = Mind(["A small fast store.", "A small fast store."], first_ms=1500)
    async with (
        served(ears=Ears([["what is a cache"]]), mind=mind, call={"greet": False}) as server,
        caller(server, audio=microphone) as one,
    ):
        token = await token_of(one)
        await one.until("response.created")
        vanish(one)
        async with resumed(server, token) as again:
            await until(lambda: texts(again) == ["what is a cache"])
            again.send("session.update", session={"type": "realtime", "viva": {}})
            done = await again.until("response.done")
            spoken = done["response"]["output"][0]["content"][0]["transcript"]
            assert spoken == "We were cut off for a moment. A small fast store."


async def test_what_was_being_said_is_kept_and_not_answered() -> None:
    said = "i would put a cache in front of the database"
    microphone = Microphone(np.concatenate([silence(300), speech(said), speech(said), silence(9000)]))
    async with (
        served(ears=Ears([[said]]), mind=Mind([QUESTION, "no"])) as server,
        caller(server, audio=microphone) as one,
    ):
        token = await token_of(one)
        await one.until("input_audio_buffer.speech_started")
        vanish(one)
        async with resumed(server, token) as again:
            await until(lambda: len(texts(again)) == 2)
            again.send("session.update", session={"type": "realtime", "viva": {}})
            done = await again.until("response.done")
            assert done["response"]["output"][0]["content"][0]["transcript"].startswith("We were cut off")


async def test_a_page_that_was_closed_is_waited_for_and_no_longer_than_it_was_told() -> None:
    async with served(resume_within_s=0.5) as server:
        async with caller(server) as one:
            token = await token_of(one)
        began = time.monotonic()
        assert server.worker.load().calls == 1
        await server.until_idle()
        assert 0.3 < time.monotonic() - began < 2
        assert await refusal(server, token) == (410, "conversation_over")


async def test_a_client_without_a_token_and_one_that_hangs_up_end_at_once() -> None:
    async with served() as server:
        async with caller(server) as stock:
            await stock.until("session.created")
        await server.until_idle()
        async with caller(server) as one:
            token = await token_of(one)
            assert await hung_up(server, one) == 204
            assert server.worker.load().calls == 0
        assert await refusal(server, token) == (410, "conversation_over")


async def test_of_two_with_a_token_the_later_one_has_the_conversation() -> None:
    async with served() as server, caller(server) as one:
        token = await token_of(one)
        async with resumed(server, token) as second:
            ended = await one.until("viva.ended")
            assert ended["why"] == "elsewhere"
            newer = await token_of(second)
            assert await refusal(server, token) == (409, "conversation_elsewhere")
            async with resumed(server, newer):
                assert (await second.until("viva.ended"))["why"] == "elsewhere"
            assert server.worker.load().calls == 1


async def test_an_answer_that_got_lost_costs_no_conversation() -> None:
    """The new line was made, and its client never learned of its token: the one before is still good."""
    async with served() as server, caller(server) as one:
        token = await token_of(one)
        vanish(one)
        async with caller(server, resume=token) as lost:
            await lost.until("session.created")
            vanish(lost)
            async with resumed(server, token) as again:
                assert (await again.until("session.created"))["session"]["viva"]["resume"]["epoch"] == 3


async def test_a_call_over_webrtc_goes_on_over_a_websocket() -> None:
    async with served(mind=Mind([QUESTION])) as server, caller(server) as one:
        token = await token_of(one)
        await one.until("response.done")
        vanish(one)
        async with talker(server, RESUME + token, goodbye=1001) as socket:
            await socket.until("viva.resumed")
            await until(lambda: texts(socket) == [QUESTION])
            newer = await token_of(socket)
            await socket.until("response.output_audio.delta")
            async with talker(server, RESUME + token) as late:
                await asyncio.wait({late.read})
                assert late.close_code == 4409
            await socket.socket.close(code=WSCloseCode.GOING_AWAY)  # a page that is reloaded
        async with resumed(server, newer) as back:
            await back.until("viva.resumed")
            newest = (await back.until("session.created"))["session"]["viva"]["resume"]["token"]
        async with talker(server, RESUME + newest) as last:
            await last.until("viva.resumed")
        await server.until_idle()  # it said goodbye


async def test_who_closes_a_websocket_has_hung_up() -> None:
    async with served(mind=Mind([QUESTION])) as server:
        async with talker(server) as socket:
            await token_of(socket)
        await server.until_idle()


async def test_who_ends_while_the_line_is_lost_is_not_waited_for() -> None:
    """The socket that would have said so is gone: the token does."""
    async with served() as server, talker(server) as socket:
        token = await token_of(socket)
        await socket.socket.close(code=WSCloseCode.GOING_AWAY)
        await until(lambda: server.worker.carried()[0].line == "")
        assert await ended_with(server, token) == 204
        assert server.worker.load().calls == 0
        assert await ended_with(server, token) == 204
        assert await refusal(server, token) == (410, "conversation_over")


async def test_a_token_of_before_does_not_end_the_talk_of_who_has_it_now() -> None:
    async with served() as server, caller(server) as one:
        token = await token_of(one)
        async with resumed(server, token) as second:
            newer = await token_of(second)
            assert await ended_with(server, token) == 204
            assert server.worker.load().calls == 1
            assert await ended_with(server, newer) == 204
            assert server.worker.load().calls == 0


async def ended_with(server: Served, token: str) -> int:
    async with server.http.delete(f"{server.url}{CALLS}/{token}") as response:
        return response.status


async def test_a_full_server_has_a_place_for_who_comes_back() -> None:
    async with served(max_calls=1) as server, caller(server) as one:
        token = await token_of(one)
        vanish(one)
        async with resumed(server, token) as again:
            await again.until("viva.resumed")


async def test_who_is_away_for_long_makes_room_for_somebody_who_is_there() -> None:
    door = {"limits": LimitSettings(offers_per_minute=0)}
    async with served(max_calls=1, resume_within_s=3, door=door) as server:
        async with caller(server) as one:
            token = await token_of(one)
        await until(lambda: one.pc.connectionState == "closed")
        began = time.monotonic()
        other = Caller(server)
        offer = (await other.offer()).encode()

        async def status() -> int:
            headers = {"Content-Type": "application/sdp"}
            async with server.http.post(server.url + CALLS, data=offer, headers=headers) as response:
                return response.status

        assert await status() == 503, "a page that is only loaded again keeps its place"
        async with asyncio.timeout(2):
            while await status() == 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert 0.3 < time.monotonic() - began < 2.5
        assert await refusal(server, token) == (410, "conversation_over")
        await other.close()


async def test_a_line_that_cannot_be_made_leaves_the_one_that_is_there() -> None:
    async with served(connect_timeout_s=0.5) as server, caller(server) as one:
        token = await token_of(one)
        other = Caller(server, resume=token)
        await other.post(await other.offer())  # and the answer is thrown away
        await asyncio.sleep(0)
        one.send("session.update", session={"type": "realtime", "viva": {"patience": 2.0}})
        await until(
            lambda: any(e.get("session", {}).get("viva", {}).get("patience") == 2.0 for e in one.events)
        )
        await other.close()
