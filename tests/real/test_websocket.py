"""The same session over a WebSocket: sound in events, at any pace, and back-pressure both ways."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from contextlib import suppress

import numpy as np
import openai
import pytest
from aiohttp import WSServerHandshakeError

from pipeline.audio import MIC_RATE
from server.wire import g711
from server.wire.sound_formats import SoundIn
from tests.real.served import caller, served, until
from tests.real.talker import SOCKET, pcm, talker
from tests.session.call import Ears, Mind
from tests.sounds import silence, speech
from tests.wire_order import WireOrder

QUESTION = "what is a cache"
ASKED = np.concatenate([silence(300), speech(QUESTION), silence(2500)])
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"

pytestmark = pytest.mark.real


async def test_a_file_appended_at_once_is_answered_long_before_it_could_have_been_spoken() -> None:
    file = np.concatenate([silence(8000), ASKED])
    async with (
        served(ears=Ears([[QUESTION]]), mind=Mind(["A small fast store."]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        began = time.monotonic()
        await one.append(file)
        heard = await one.until("conversation.item.input_audio_transcription.completed")
        assert time.monotonic() - began < len(file) / MIC_RATE / 2
        assert heard["transcript"] == QUESTION
        done = await one.until("response.done")
        assert done["response"]["status"] == "completed"
        # 4 words of 200 ms: all of it came, and before it was over
        assert len(one.sound()) == 4 * 24_000 * 2 // 5
        order = WireOrder()
        for event in one.events:
            order.take(event)
        order.close()
        kinds = one.types()
        assert kinds.index("response.content_part.added") < kinds.index("response.output_audio.delta")
        assert not [kind for kind in kinds if kind.startswith(("output_audio_buffer.", "viva."))]


async def test_a_live_stream_is_answered_while_it_goes_on() -> None:
    async with (
        served(ears=Ears([[QUESTION]]), mind=Mind(["A small fast store."]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        await one.stream(ASKED)
        assert "response.done" in one.types()


async def test_who_stops_appending_has_a_silent_microphone_and_is_answered() -> None:
    async with (
        served(ears=Ears([[QUESTION]]), mind=Mind(["Yes."]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        await one.append(speech(QUESTION))  # and not a sample more
        assert (await one.until("response.done"))["response"]["status"] == "completed"


async def test_push_to_talk_commits_the_sound_before_it_and_answers_when_asked() -> None:
    async with (
        served(ears=Ears([[QUESTION]]), mind=Mind(["Yes."]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        audio = {"input": {"turn_detection": None}}
        await one.send("session.update", session={"type": "realtime", "audio": audio})
        await one.append(np.concatenate([silence(3000), speech(QUESTION)]))
        await one.send("input_audio_buffer.commit", event_id="mine")
        await one.send("response.create")
        done = await one.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Yes."
        committed = await one.until("input_audio_buffer.committed")
        heard = await one.until("conversation.item.input_audio_transcription.completed")
        assert heard["item_id"] == committed["item_id"]
        assert "error" not in one.types()


async def test_an_interruption_says_so_stops_the_sound_and_keeps_what_was_heard() -> None:
    async with (
        served(
            ears=Ears([["stop that please"]]), mind=Mind([LONG, "Fine."]), call={"greet": False}
        ) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        content = [{"type": "input_text", "text": "Count."}]
        await one.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )
        await one.send("response.create")
        await one.until("response.output_audio_transcript.delta")
        await one.stream(np.concatenate([speech("stop that please"), silence(800)]))
        done = await one.until("response.done")
        assert done["response"]["status"] == "cancelled"
        started = one.types().index("input_audio_buffer.speech_started")
        cut = await one.until("conversation.item.truncated")
        assert 0 < cut["audio_end_ms"] < 200 * len(LONG.split())
        reply = cut["item_id"]
        late = [e for e in one.events[started:] if e["type"] == "response.output_audio.delta"]
        assert not [event for event in late if event["item_id"] == reply]

        # the client had played less of it than was sent: what it says is what was heard
        await one.send("conversation.item.truncate", item_id=reply, content_index=0, audio_end_ms=250)
        await one.send("conversation.item.retrieve", item_id=reply)
        kept = await one.until("conversation.item.retrieved")
        assert kept["item"]["content"][0]["transcript"].split() == ["one", "two"]


async def test_telephones_speak_and_hear_g711() -> None:
    async with (
        served(ears=Ears([[QUESTION]]), mind=Mind(["A small fast store."]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        audio = {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcmu"}}}
        await one.send("session.update", session={"type": "realtime", "audio": audio})
        updated = await one.until("session.updated")
        assert updated["session"]["audio"]["input"]["format"] == {"type": "audio/pcma"}
        telephone = g711.encode("pcma", ASKED[::2])  # 8 kHz; speech(…) has little above 4 kHz
        await one.send_sound(telephone)
        await one.until("response.done")
        heard = SoundIn("audio/pcmu").push(one.sound())
        assert abs(len(one.sound()) - 4 * 1600) <= 1  # 4 words of 200 ms at 8 kHz
        assert np.abs(heard).max() > 1000


@pytest.mark.parametrize(
    ("audio", "code"),
    [("!!", "invalid_value"), ("AA==", "invalid_value"), (7, "invalid_type")],
)
async def test_sound_that_is_none_is_refused_and_costs_nothing_else(audio: object, code: str) -> None:
    async with served(call={"greet": False}) as server, talker(server) as one:
        await one.until("session.created")
        await one.send("input_audio_buffer.append", event_id="mine", audio=audio)
        error = (await one.until("error"))["error"]
        assert error["event_id"] == "mine"
        assert error["param"] == "audio"
        assert error["code"] == code
        await one.send("session.update", session={"type": "realtime"})
        await one.until("session.updated")


async def test_a_client_that_does_not_read_is_cut_off_and_the_next_one_is_served() -> None:
    async with served(call={"greet": False}) as server, talker(server) as one:
        await one.until("session.created")
        content = [{"type": "input_text", "text": "x" * 30_000}]
        item = {"id": "long", "type": "message", "role": "user", "content": content}
        await one.send("conversation.item.create", item=item)
        await one.until("conversation.item.done")
        one.read.cancel()  # and no more is read
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while server.worker.load().calls:
                    await one.send("conversation.item.retrieve", item_id="long")
                    await asyncio.sleep(0)
            await server.until_idle()
        async with talker(server) as other:
            await other.until("session.created")


async def test_sound_that_waits_holds_the_socket_up_and_not_the_memory() -> None:
    """A reply is on air: what is appended meanwhile is heard in real time, and no more is read."""
    async with (
        served(mind=Mind([LONG]), call={"greet": False}) as server,
        talker(server) as one,
    ):
        await one.until("session.created")
        await one.send("response.create")
        await one.until("response.output_audio.delta")
        sending = asyncio.create_task(one.send_sound(pcm(silence(2000)), times=300), name="ten minutes")
        done, _ = await asyncio.wait({sending}, timeout=1.5)
        assert not done, "ten minutes were taken in a second"
        sending.cancel()
        await asyncio.wait({sending})
        await server.worker.drain(0)  # hung up here: a goodbye from there would stand behind all that sound


async def test_a_browsers_sub_protocols_and_any_model_are_taken() -> None:
    async with (
        served(call={"greet": False}) as server,
        talker(server, "openai-insecure-api-key.ek_none", query="?model=gpt-realtime") as one,
    ):
        await one.until("session.created")
        assert one.socket.protocol == "realtime"


async def test_the_vendors_own_client_talks_and_hears() -> None:
    async with served(
        ears=Ears([[QUESTION]]), mind=Mind(["A small fast store."]), call={"greet": False}
    ) as server:
        client = openai.AsyncOpenAI(
            api_key="none", websocket_base_url=server.url.replace("http", "ws") + "/v1"
        )
        async with client.realtime.connect(model="viva") as connection:
            await connection.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
            await connection.input_audio_buffer.append(audio=b64encode(pcm(ASKED)).decode())
            sound = 0
            async with asyncio.timeout(20):
                async for event in connection:
                    if event.type == "response.output_audio.delta":
                        sound += len(event.delta)
                    if event.type == "response.done":
                        break
            assert sound > 10_000


async def test_what_is_no_websocket_is_told_so_and_a_full_server_says_when_to_come_back() -> None:
    async with served(max_calls=1) as server:
        async with server.http.get(server.url + SOCKET) as response:
            assert response.status == 426
        async with talker(server) as one:
            await one.until("session.created")
            with pytest.raises(WSServerHandshakeError) as full:
                async with talker(server):
                    pass
            assert full.value.status == 503
            assert full.value.headers is not None
            assert full.value.headers["Retry-After"]
        await server.until_idle()
        async with caller(server) as next_one:
            await next_one.until("session.created")


async def test_a_closed_socket_leaves_nothing_behind() -> None:
    async with served() as server:
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            async with talker(server) as one:
                await one.until("session.created")
        await server.until_idle()
        await until(lambda: len(asyncio.all_tasks()) <= tasks)
