"""The stand-in for OpenAI itself, under the real SDK: what other tests lean on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest

from tests.vendors.openai_server import OpenAIServer


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


@pytest.fixture
async def client(vendor: OpenAIServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=vendor.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello there"}]


async def test_chat_streams_tokens_and_usage(vendor: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    vendor.reply = lambda body: f"You said {body['messages'][-1]['content']}."
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    words = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert words == ["You", " said", " hello", " there."]
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (2, 4)
    seen = await vendor.request("chat")
    await seen.ended.wait()
    assert seen.outcome == "served"
    assert seen.headers["authorization"] == "Bearer sk-test"


async def test_chat_without_streaming(vendor: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    vendor.reply = "Fine."
    answer = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert answer.choices[0].message.content == "Fine."


async def test_closing_a_stream_is_seen(vendor: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    vendor.chat.hang_after = 2
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    await anext(aiter(stream))
    await stream.close()
    seen = await vendor.request("chat")
    await seen.ended.wait()
    assert seen.outcome == "closed_by_client"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
async def test_errors_are_openais(
    vendor: OpenAIServer, client: openai.AsyncOpenAI, status: int, error: type[openai.APIStatusError]
) -> None:
    vendor.chat.status = status
    with pytest.raises(error):
        await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)


async def test_a_cut_stream_is_an_error(vendor: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    vendor.chat.cut_after = 1
    stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
    chunks = aiter(stream)
    await anext(chunks)
    with pytest.raises(openai.APIConnectionError):
        await anext(chunks)


async def test_models_transcriptions_and_speech(vendor: OpenAIServer, client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == vendor.model_names
    said = await client.audio.transcriptions.create(
        model="whisper-1",
        file=("speech.wav", b"RIFF", "audio/wav"),
        response_format="verbose_json",
        timestamp_granularities=["word"],
    )
    assert said.text == vendor.heard
    assert said.words is not None
    assert [word.start for word in said.words] == pytest.approx([0, 0.3, 0.6, 0.9, 1.2])
    assert (await vendor.request("transcriptions")).file == b"RIFF"
    sound = await client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Hello.", response_format="pcm"
    )
    assert sound.content == vendor.sound
