"""The stand-ins of Deepgram and AssemblyAI themselves, under the vendors' own SDKs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from assemblyai.streaming.v3 import (
    AsyncStreamingClient,
    StreamingClientOptions,
    StreamingError,
    StreamingEvents,
    StreamingParameters,
)
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment

from tests.sounds import noise
from tests.vendors import assemblyai_server, deepgram_server
from tests.vendors.assemblyai_server import AssemblyAIServer
from tests.vendors.deepgram_server import DeepgramServer

SOUND = noise(1500).tobytes()


def deepgram(vendor: DeepgramServer, key: str = deepgram_server.KEY) -> Any:
    here = DeepgramClientEnvironment(
        base=vendor.base_url, production=vendor.base_url, agent=vendor.base_url, agent_rest=vendor.base_url
    )
    return AsyncDeepgramClient(api_key=key, environment=here).listen.v1


async def test_deepgrams_sdk_hears_results_and_a_summary() -> None:
    async with DeepgramServer() as vendor:
        live = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000", "interim_results": "true"}
        async with deepgram(vendor).connect(**live, keyterm=["Kafka", "B-tree"]) as socket:
            await socket.send_keep_alive()
            await socket.send_media(SOUND)
            await socket.send_finalize()
            results = [await socket.recv() for _ in range(6)]
            assert [each.type for each in results] == ["Results"] * 6
            assert results[2].channel.alternatives[0].transcript == "i worked on"
            assert [each.is_final for each in results] == [False, False, False, True, False, True]
            assert results[-1].from_finalize
            assert results[-1].channel.alternatives[0].words[-1].end == 1.25
            await socket.send_close_stream()
            assert (await socket.recv()).type == "Metadata"
        assert vendor.connections[0].query["keyterm"] == ["Kafka", "B-tree"]
        assert (await vendor.request()).outcome == "served"


async def test_deepgrams_sdk_is_refused_as_by_the_vendor() -> None:
    async with DeepgramServer() as vendor:
        misspelled = {"additional_query_parameters": {"modle": "nova-3"}}
        for key, options, status in (("wrong", None, 401), (deepgram_server.KEY, misspelled, 400)):
            with pytest.raises(ApiError) as raised:
                async with deepgram(vendor, key).connect(model="nova-3", request_options=options):
                    pass
            assert raised.value.status_code == status


class Misspelled:
    """A message that Deepgram does not know."""

    def dict(self) -> dict[str, str]:
        return {"type": "Finalise"}


async def test_deepgrams_sdk_is_told_of_a_message_that_cannot_be_read() -> None:
    live = {"model": "nova-3", "encoding": "linear16", "sample_rate": "16000"}
    async with DeepgramServer() as vendor, deepgram(vendor).connect(**live) as socket:
        await socket.send_finalize(Misspelled())
        error = await socket.recv()
        assert (error.type, error.variant) == ("Error", "SchemaError")


def assemblyai(vendor: AssemblyAIServer, key: str = assemblyai_server.KEY) -> AsyncStreamingClient:
    return AsyncStreamingClient(StreamingClientOptions(api_key=key, api_host=vendor.base_url))


ENGLISH = StreamingParameters(
    sample_rate=16_000,
    format_turns=True,
    speech_model="universal-streaming-english",
    keyterms_prompt=["Kafka"],
)


async def test_assemblyais_sdk_hears_a_turn_and_its_end() -> None:
    came: list[Any] = []
    async with AssemblyAIServer() as vendor:
        client = assemblyai(vendor)
        for event in (StreamingEvents.Begin, StreamingEvents.Turn, StreamingEvents.Termination):
            client.on(event, lambda _, message: came.append(message))
        await client.connect(ENGLISH)
        await client.stream(SOUND[: 2 * 16_000])
        await client.stream(SOUND[2 * 16_000 :])
        await client.force_endpoint()
        await client.disconnect(terminate=True)
        assert [each.type for each in came] == ["Begin", *["Turn"] * 7, "Termination"]
        turns = came[1:-1]
        assert [each.transcript for each in turns][2:] == [
            "i worked",
            "i worked on",
            "i worked on a",
            "i worked on a database",
            "I worked on a database.",
        ]
        assert [(each.end_of_turn, each.turn_is_formatted) for each in turns][-3:] == [
            (False, False),
            (True, False),
            (True, True),
        ]
        assert vendor.connections[0].query["keyterms_prompt"] == ['["Kafka"]']
        assert (await vendor.request()).outcome == "served"


@pytest.mark.parametrize(("key", "length", "code"), [("wrong", 0, 401), ("", 640, 3007)])
async def test_assemblyais_sdk_is_refused_as_by_the_vendor(key: str, length: int, code: int) -> None:
    errors: asyncio.Queue[StreamingError] = asyncio.Queue()
    async with AssemblyAIServer() as vendor:
        client = assemblyai(vendor, key or assemblyai_server.KEY)
        client.on(StreamingEvents.Error, lambda _, error: errors.put_nowait(error))
        await client.connect(ENGLISH)
        if length:
            await client.stream(SOUND[:length])
        assert (await errors.get()).code == code
        await client.disconnect()
