"""The real SDK against a server on this machine: streams, fails and is closed as a vendor's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.errors import ProviderError
from pipeline.llm import openai as plugin
from pipeline.providers import Message, ReplyOptions, Token, Usage
from pipeline.settings import LlmSettings, OpenAILlmSettings, Secrets, Settings
from tests.vendors.openai_server import Behaviour, OpenAIServer

OPTIONS = ReplyOptions(language="en", mode="chat", temperature=0.7, max_tokens=99)
TALK = [Message("system", "Be kind."), Message("user", "Hello.")]
KEY = "sk-test-very-secret"


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


def settings(vendor: OpenAIServer | None = None, model: str = "gpt-4o-mini", **openai: Any) -> Settings:
    base_url = vendor.base_url if vendor else ""
    return Settings(
        llm=LlmSettings(openai=OpenAILlmSettings(model=model, base_url=base_url, **openai)),
        secrets=Secrets(openai_api_key=SecretStr(KEY)),
    )


@pytest.fixture
async def mind(vendor: OpenAIServer) -> AsyncIterator[plugin.OpenAIMind]:
    made = plugin.create(settings(vendor))
    yield made
    await made.close()


async def said(mind: plugin.OpenAIMind, messages: list[Message] = TALK) -> str:
    return "".join([part.text async for part in mind.reply(messages, OPTIONS) if isinstance(part, Token)])


async def failure(mind: plugin.OpenAIMind) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await said(mind)
    return caught.value


async def test_reply_streams_token_by_token_and_ends_with_its_usage(vendor, mind):
    vendor.reply = "Nice to meet you."
    parts = [part async for part in mind.reply(TALK, OPTIONS)]
    assert [part.text for part in parts[:-1]] == ["Nice", " to", " meet", " you."]
    assert parts[-1] == Usage(input_tokens=3, output_tokens=4)


async def test_request_holds_model_messages_and_limits(vendor, mind):
    await said(mind)
    body = (await vendor.request("chat")).body
    assert body["model"] == "gpt-4o-mini"
    assert body["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello."},
    ]
    assert (body["temperature"], body["max_tokens"]) == (0.7, 99)  # a server that is not OpenAI


async def test_interrupted_tag_stays_in_the_message(vendor, mind):
    await said(mind, [Message("system", "S"), Message("user", "[INTERRUPTED] Stop that.")])
    assert (await vendor.request("chat")).body["messages"][-1]["content"] == "[INTERRUPTED] Stop that."


async def test_only_the_last_messages_are_sent(vendor):
    made = plugin.create(
        Settings(llm=LlmSettings(history_messages=4, openai=OpenAILlmSettings(base_url=vendor.base_url)))
    )
    history = [Message("user" if n % 2 else "assistant", str(n)) for n in range(30)]
    await said(made, [Message("system", "S"), *history])
    sent = (await vendor.request("chat")).body["messages"]
    assert [message["content"] for message in sent] == ["S", "26", "27", "28", "29"]
    await made.close()


async def test_greeting_is_asked_for_by_a_message_because_some_models_never_speak_first(vendor, mind):
    await said(mind, [Message("system", "S")])
    sent = (await vendor.request("chat")).body["messages"]
    assert [message["role"] for message in sent] == ["system", "user"]


async def test_reply_of_which_nothing_was_heard_is_left_out(vendor, mind):
    await said(mind, [Message("user", "Hi."), Message("assistant", ""), Message("user", "Hello?")])
    assert [message["content"] for message in (await vendor.request("chat")).body["messages"]] == [
        "Hi.",
        "Hello?",
    ]


async def test_reasoning_model_gets_no_temperature_and_room_to_think(vendor):
    vendor.model_names = ["o4-mini"]
    made = plugin.create(settings(vendor, "o4-mini"))
    await said(made)
    body = (await vendor.request("chat")).body
    assert "temperature" not in body
    assert body["max_completion_tokens"] > OPTIONS.max_tokens
    await made.close()


async def test_closing_the_reply_closes_the_stream_at_the_server(vendor, mind):
    vendor.chat = Behaviour(hang_after=2)
    async with aclosing(mind.reply(TALK, OPTIONS)) as reply:
        await anext(reply)
    seen = await vendor.request("chat")
    await seen.ended.wait()
    assert seen.outcome == "closed_by_client"


async def test_slow_server_is_waited_for(vendor, mind):
    vendor.chat = Behaviour(first_ms=150, each_ms=5)
    vendor.reply = "Late but here."
    assert await said(mind) == "Late but here."


async def test_server_that_hangs_is_a_timeout(vendor):
    vendor.chat = Behaviour(hang_after=1)
    made = plugin.create(settings(vendor, timeout_s=0.2))
    assert (await failure(made)).code == "timeout"
    await made.close()


async def test_stream_cut_in_the_middle_fails_after_what_was_said(vendor, mind):
    vendor.chat = Behaviour(cut_after=2)
    got: list[str] = []

    async def listen() -> None:
        async for part in mind.reply(TALK, OPTIONS):
            got.append(part.text)

    with pytest.raises(ProviderError) as caught:
        await listen()
    assert caught.value.code in ("unreachable", "bad_response")
    assert got == ["That", " is"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "auth"), (403, "forbidden"), (404, "forbidden"), (429, "rate_limited"), (500, "bad_response")],
)
async def test_refusals_have_a_code_and_no_key_in_their_words(vendor, mind, status, code):
    vendor.chat = Behaviour(status=status)
    error = await failure(mind)
    assert (error.stage, error.provider, error.code) == ("llm", "openai", code)
    assert KEY not in str(error)
    assert "\n" not in error.message


async def test_forbidden_model_is_said_with_what_else_there_is(vendor, mind):
    await mind.start()
    vendor.chat = Behaviour(status=403)
    vendor.model_names = ["gpt-4o-mini", "gpt-4.1", "whisper-1"]
    await mind.start()
    error = await failure(mind)
    assert "gpt-4o-mini may not be used with this key" in error.message
    assert "gpt-4.1" in error.message
    assert "whisper" not in error.message


@pytest.mark.parametrize("garbage", ["html", "json"])
async def test_garbage_is_a_bad_response(vendor, mind, garbage):
    vendor.chat = Behaviour(garbage=garbage)
    assert (await failure(mind)).code == "bad_response"


async def test_nobody_there_is_unreachable(vendor, mind):
    nowhere = Settings(llm=LlmSettings(openai=OpenAILlmSettings(base_url="http://127.0.0.1:9/v1")))
    made = plugin.create(nowhere)
    assert (await failure(made)).code == "unreachable"
    with pytest.raises(ProviderError) as caught:
        await made.start()
    assert caught.value.code == "unreachable"
    await made.close()


async def test_start_names_the_models_there_are_if_ours_is_not(vendor):
    vendor.model_names = ["llama3.2:latest", "qwen3:8b"]
    made = plugin.create(settings(vendor, "gpt-4o-mini"))
    with pytest.raises(
        ProviderError,
        match=r"has no model gpt-4o-mini; there is llama3\.2:latest, qwen3:8b \(llm\.openai\.model\)",
    ):
        await made.start()
    await made.close()


async def test_ollama_model_without_its_tag_is_found(vendor):
    vendor.model_names = ["llama3.2:latest"]
    made = plugin.create(settings(vendor, "llama3.2"))
    await made.start()
    await made.close()


@pytest.mark.parametrize("status", [403, 404])
async def test_start_goes_on_where_models_may_not_be_listed(vendor, mind, status):
    vendor.models = Behaviour(status=status)
    await mind.start()


async def test_start_says_that_the_key_was_refused(vendor, mind):
    vendor.models = Behaviour(status=401)
    with pytest.raises(ProviderError) as caught:
        await mind.start()
    assert caught.value.code == "auth"


async def test_local_server_needs_no_key(vendor):
    made = plugin.create(Settings(llm=LlmSettings(openai=OpenAILlmSettings(base_url=vendor.base_url))))
    assert await said(made)
    await made.close()


def test_missing_names_both_ways_out():
    assert plugin.missing(Settings()) == "set OPENAI_API_KEY, or llm.openai.base_url for a local server"
    assert plugin.missing(settings()) is None
    local = Settings(llm=LlmSettings(openai=OpenAILlmSettings(base_url="http://127.0.0.1:11434/v1")))
    assert plugin.missing(local) is None
    assert plugin.missing(Settings(secrets=Secrets(openai_base_url="http://127.0.0.1:8000/v1"))) is None


def test_detail_names_model_and_place():
    assert plugin.create(settings()).detail == "gpt-4o-mini at OpenAI"
