"""The Python package's `client.realtime`, as its users take it, against the server as its owner starts it.

The ears are pocketsphinx, the voice is espeak-ng, the mind is a server that speaks OpenAI's protocol.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import openai
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import ClientSecretCreateResponse, RealtimeServerEvent

from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from tests.real.started import KEY, Started, started
from tests.realtime_events import check_server_event
from tests.sounds import silence, speech
from tests.vendors.openai_server import OpenAIServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

QUESTION = "what is a cache"
HAPPENS_WITHIN_S = 20.0
AUDIBLE = 500  # RMS of 20 ms, int16; espeak-ng speaks at about 3000
THINGS = "books songs films maps letters plans names prices faces dates notes keys".split()
LONG = (
    "A cache keeps what was asked before, "
    + "".join(f"and it keeps {things} for a long while, " for things in THINGS)
    + "until it is full."
)
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """Server and vendor live as long as the module, in its event loop."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendors() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as one:
        yield one


@pytest.fixture
def vendor(vendors: OpenAIServer) -> OpenAIServer:
    vendors.reply, vendors.calls = "That is a good question.", []
    return vendors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(vendors: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Started]:
    async with started(
        tmp_path_factory.mktemp("certificates"),
        VIVA_LLM__PROVIDER="openai",
        VIVA_LLM__OPENAI__BASE_URL=vendors.base_url,
        VIVA_TURNS__NUDGES="0",
        VIVA_CALL__MODE="chat",
        VIVA_CALL__GREET="false",
        VIVA_LIMITS__OFFERS_PER_MINUTE="0",
    ) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: Started) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key=KEY,
        base_url=f"{server.url}/v1",
        websocket_base_url=f"{server.url}/v1".replace("https:", "wss:"),
        http_client=openai.DefaultAsyncHttpxClient(verify=server.tls),
        max_retries=0,
    ) as one:
        yield one


class Talk:
    """A connection, and all that came over it."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[RealtimeServerEvent] = []
        self._came = asyncio.Event()

    async def read(self) -> None:
        while True:
            raw = await self.connection.recv_bytes()
            check_server_event(json.loads(raw))
            self.events.append(self.connection.parse_event(raw))
            self._came.set()

    async def until(self, type: str, holds: Callable[[Any], bool] = lambda _: True) -> Any:
        """The first event of that type that fits, now or soon."""
        try:
            async with asyncio.timeout(HAPPENS_WITHIN_S):
                while True:
                    for event in self.events:
                        if event.type == type and holds(event):
                            return event
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"no {type}; there came {[event.type for event in self.events]}") from None

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    async def type(self, text: str) -> None:
        await self.connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        )
        await self.connection.response.create()

    async def say(self, text: str, then_ms: int = 1500) -> None:
        """At the pace of speech, as a microphone does."""
        resampler = Resampler(MIC_RATE, VOICE_RATE)
        sound = np.concatenate([speech(text), silence(then_ms)])
        sound = np.concatenate([resampler.push(sound), resampler.flush()])
        loop = asyncio.get_running_loop()
        began, piece = loop.time(), VOICE_RATE // 10
        for number, at in enumerate(range(0, len(sound), piece)):
            await asyncio.sleep(began + number / 10 - loop.time())
            said = base64.b64encode(sound[at : at + piece].tobytes()).decode()
            await self.connection.input_audio_buffer.append(audio=said)

    def heard(self) -> np.ndarray:
        """int16 at VOICE_RATE."""
        deltas = [base64.b64decode(event.delta) for event in self.of("response.output_audio.delta")]
        return np.frombuffer(b"".join(deltas), np.int16)

    def loudest(self) -> float:
        """RMS of 20 ms."""
        heard = self.heard()[: len(self.heard()) // 480 * 480].reshape(-1, 480).astype(float)
        return float(np.sqrt((heard**2).mean(axis=1)).max(initial=0.0))


@asynccontextmanager
async def talking(client: AsyncOpenAI, server: Started, **session: Any) -> AsyncIterator[Talk]:
    async with client.realtime.connect(
        model="viva", websocket_connection_options={"ssl": server.tls}
    ) as connection:
        talk = Talk(connection)
        reading = asyncio.create_task(talk.read(), name="read")
        try:
            await talk.until("session.created")
            await connection.session.update(session={"type": "realtime", **session})
            await talk.until("session.updated")
            yield talk
            assert not [event.error.message for event in talk.of("error")]
        finally:
            reading.cancel()
            (ended,) = await asyncio.gather(reading, return_exceptions=True)
            if not isinstance(ended, asyncio.CancelledError):
                raise ended


async def test_it_types_and_is_answered_in_writing(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    async with talking(client, server, output_modalities=["text"], instructions="Be brief.") as talk:
        await talk.type("Hello.")
        done = await talk.until("response.done")
        assert done.response.status == "completed"
        assert done.response.usage.output_tokens == 5
        deltas = [event.delta for event in talk.of("response.output_text.delta")]
        assert "".join(deltas) == "That is a good question."
        assert not talk.of("response.output_audio.delta")
    assert vendor.requests("chat")[-1].body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_it_speaks_is_understood_and_hears_the_answer(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    async with talking(client, server) as talk:
        await talk.say(QUESTION)
        heard = await talk.until("conversation.item.input_audio_transcription.completed")
        assert heard.transcript.startswith("what is")
        assert heard.usage.seconds > 0.5
        done = await talk.until("response.done")
        assert done.response.output[0].content[0].transcript == "That is a good question."
        assert talk.loudest() > AUDIBLE
        assert 1.0 < len(talk.heard()) / VOICE_RATE < 4.0


async def test_it_breaks_in_and_the_reply_is_cut_to_what_was_heard(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    vendor.reply = LONG
    async with talking(client, server) as talk:
        await talk.type("Tell me about caches.")
        await talk.until("response.output_audio_transcript.delta", lambda event: "keeps" in event.delta)
        vendor.reply = "Go on."
        await talk.say("no wait that is not what i wanted to know")
        cut = await talk.until("response.done")
        assert cut.response.status == "cancelled"
        assert cut.response.status_details.reason == "turn_detected"
        truncated = await talk.until("conversation.item.truncated")
        assert truncated.item_id == cut.response.output[0].id
        assert truncated.audio_end_ms > 500
        left = cut.response.output[0].content[0].transcript
        assert LONG.startswith(left)
        assert len(left) < len(LONG) / 2
        await talk.until("response.output_audio_transcript.done", lambda event: event.transcript == "Go on.")


async def test_its_function_is_called_and_the_answer_goes_on_with_what_it_said(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    vendor.reply, vendor.calls = "", [("weather", '{"city": "Bern"}')]
    async with talking(client, server, tools=[WEATHER]) as talk:
        await talk.type("What is the weather in Bern?")
        called = await talk.until("response.function_call_arguments.done")
        assert (called.name, json.loads(called.arguments)) == ("weather", {"city": "Bern"})
        pieces = [event.delta for event in talk.of("response.function_call_arguments.delta")]
        assert "".join(pieces) == called.arguments
        done = await talk.until("response.done")
        assert done.response.output[0].type == "function_call"
        assert done.response.output[0].status == "completed"
        vendor.reply, vendor.calls = "It is raining in Bern.", []
        await talk.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": called.call_id, "output": "Rain."}
        )
        await talk.connection.response.create()
        said = await talk.until("response.output_audio_transcript.done")
        assert said.transcript == "It is raining in Bern."
    told = vendor.requests("chat")[-1].body["messages"][-1]
    assert (told["role"], told["content"]) == ("tool", "Rain.")


async def test_its_reply_can_be_cancelled(client: AsyncOpenAI, server: Started, vendor: OpenAIServer) -> None:
    vendor.reply = LONG
    async with talking(client, server) as talk:
        await talk.type("Tell me about caches.")
        await talk.until("response.output_audio.delta")
        await talk.connection.response.cancel()
        done = await talk.until("response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "client_cancelled"


async def test_with_push_to_talk_it_commits_and_asks_by_itself(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    async with talking(client, server, audio={"input": {"turn_detection": None}}) as talk:
        await talk.say(QUESTION, then_ms=0)
        await talk.connection.input_audio_buffer.commit()
        await talk.until("conversation.item.input_audio_transcription.completed")
        assert not talk.of("response.created")
        await talk.connection.response.create()
        assert (await talk.until("response.done")).response.status == "completed"


async def test_an_item_is_retrieved_and_deleted(
    client: AsyncOpenAI, server: Started, vendor: OpenAIServer
) -> None:
    async with talking(client, server, output_modalities=["text"]) as talk:
        await talk.type("Hello.")
        await talk.until("response.done")
        item = (await talk.until("conversation.item.added")).item
        await talk.connection.conversation.item.retrieve(item_id=item.id)
        assert (await talk.until("conversation.item.retrieved")).item.content[0].text == "Hello."
        await talk.connection.conversation.item.delete(item_id=item.id)
        assert (await talk.until("conversation.item.deleted")).item_id == item.id


async def test_a_client_secret_holds_the_session_that_was_baked_in(
    client: AsyncOpenAI, server: Started
) -> None:
    made = await client.realtime.client_secrets.create(
        session={"type": "realtime", "output_modalities": ["text"]},
        expires_after={"anchor": "created_at", "seconds": 60},
    )
    ClientSecretCreateResponse.model_validate(made.model_dump(exclude_unset=True), strict=True)
    assert made.value.startswith("ek_")
    page = client.with_options(api_key=made.value)
    async with page.realtime.connect(
        model="viva", websocket_connection_options={"ssl": server.tls}
    ) as connection:
        created = await connection.recv()
        assert created.session.output_modalities == ["text"]


async def test_it_places_a_webrtc_call_and_hangs_it_up(client: AsyncOpenAI, server: Started) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio")
    channel = peer.createDataChannel("oai-events")
    first = asyncio.get_running_loop().create_future()
    channel.on("message", lambda text: first.done() or first.set_result(json.loads(text)))
    await peer.setLocalDescription(await peer.createOffer())
    placed = await client.realtime.calls.create(
        sdp=peer.localDescription.sdp, session={"type": "realtime", "instructions": "Be brief."}
    )
    await peer.setRemoteDescription(RTCSessionDescription(placed.text, "answer"))
    async with asyncio.timeout(HAPPENS_WITHIN_S):
        created = await first
    check_server_event(created)
    assert created["session"]["instructions"] == "Be brief."
    await client.realtime.calls.hangup(placed.response.headers["Location"].rsplit("/", 1)[1])
    await server.until_idle()
    await peer.close()


async def test_who_has_no_key_is_told_so_as_openai_would(client: AsyncOpenAI) -> None:
    nobody = client.with_options(api_key="sk-of-somebody-else-entirely")
    with pytest.raises(openai.AuthenticationError) as refused:
        await nobody.realtime.client_secrets.create(session={"type": "realtime"})
    assert refused.value.code
