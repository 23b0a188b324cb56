"""The real SDK against a server on this machine: streams, fails and is closed as a vendor's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction
from pydantic import SecretStr

from pipeline.contract.vendor import Behaviour
from pipeline.errors import ProviderError
from pipeline.llm import openai as plugin
from pipeline.providers import CutShort, Message, ReplyOptions, Token, ToolCall, Usage
from pipeline.settings import LlmSettings, NamedTool, OpenAILlmSettings, Secrets, Settings, Tool, ToolSettings
from pipeline.tool_use import thinking
from pipeline.toolbox import Toolbox
from tests import tools
from tests.vendors.openai_server import OpenAIServer

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


async def test_what_the_model_thinks_before_its_reply_is_not_part_of_it(vendor, mind):
    vendor.reply = "<think> They greet me.\n Greet back. </think>\n\nHello there."
    assert await said(mind) == "Hello there."


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


async def test_a_model_that_is_gone_is_forbidden(vendor, mind):
    vendor.chat = Behaviour(status=404)
    assert (await failure(mind)).code == "forbidden"


async def test_forbidden_model_is_said_with_what_else_there_is(vendor, mind):
    await mind.start()
    vendor.chat = Behaviour(status=403)
    vendor.model_names = ["gpt-4o-mini", "gpt-4.1", "whisper-1"]
    await mind.start()
    error = await failure(mind)
    assert "gpt-4o-mini may not be used with this key" in error.message
    assert "gpt-4.1" in error.message
    assert "whisper" not in error.message


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


# ---------------------------------------------------------------- functions

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="weather", description="Today's.", parameters=SCHEMA)
CLOCK = Tool(name="clock")


def with_tools(**more: Any) -> ReplyOptions:
    return replace(OPTIONS, tools=(WEATHER, CLOCK), **more)


async def called(mind: plugin.OpenAIMind) -> dict[str, tuple[str, str]]:
    """Name and arguments of each call, by its id."""
    calls: dict[str, tuple[str, str]] = {}
    async for piece in mind.reply(TALK, with_tools()):
        if isinstance(piece, ToolCall):
            _, before = calls.get(piece.id, ("", ""))
            calls[piece.id] = (piece.name, before + piece.arguments)
    return calls


async def test_tools_are_described_to_the_model(vendor, mind):
    assert [piece async for piece in mind.reply(TALK, with_tools())]
    body = (await vendor.request("chat")).body
    nothing = {"type": "object", "properties": {}}
    assert [tool["function"] for tool in body["tools"]] == [
        {"name": "weather", "description": "Today's.", "parameters": SCHEMA},
        {"name": "clock", "description": "", "parameters": nothing},
    ]
    assert body["tool_choice"] == "auto"


async def test_without_tools_nothing_is_said_of_them(vendor, mind):
    await said(mind)
    assert not {"tools", "tool_choice"} & (await vendor.request("chat")).body.keys()


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("none", "none"),
        ("required", "required"),
        (NamedTool(name="clock"), {"type": "function", "function": {"name": "clock"}}),
    ],
)
async def test_the_choice_among_tools_is_passed_on(vendor, mind, choice, sent):
    assert [piece async for piece in mind.reply(TALK, with_tools(tool_choice=choice))]
    assert (await vendor.request("chat")).body["tool_choice"] == sent


async def test_calls_come_piece_by_piece_behind_the_text(vendor, mind):
    vendor.reply, vendor.calls = "Let me look.", [("weather", '{"city": "Rome"}'), ("clock", "{}")]
    pieces = [piece async for piece in mind.reply(TALK, with_tools())]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Token)) == "Let me look."
    first = next(n for n, piece in enumerate(pieces) if isinstance(piece, ToolCall))
    assert not any(isinstance(piece, Token) for piece in pieces[first:])
    assert sum(isinstance(piece, ToolCall) for piece in pieces) > 4
    assert await called(mind) == {
        "call_weather_0": ("weather", '{"city": "Rome"}'),
        "call_clock_1": ("clock", "{}"),
    }


async def test_an_index_for_all_calls_and_no_ids_are_still_calls_of_their_own():
    calls: dict[int, ToolCall] = {}

    def part(name: str | None, arguments: str, id: str | None = None) -> ToolCall:
        function = ChoiceDeltaToolCallFunction(name=name, arguments=arguments)
        return plugin._call(ChoiceDeltaToolCall(index=0, id=id, function=function), calls)

    first, rest, second = part("weather", '{"a"'), part(None, ": 1}"), part("clock", "{}", "abc")
    assert first.id == rest.id != second.id == "abc"
    assert rest.name == "weather"


async def test_a_history_with_calls_is_told_as_the_api_wants_it(vendor, mind):
    call = ToolCall("call_1", "weather", '{"city": "Rome"}')
    history = [
        *TALK,
        Message("assistant", "", calls=(call,)),
        Message("tool", "", call_id="call_1"),
        Message("assistant", "It is sunny."),
    ]
    await said(mind, history)
    assert (await vendor.request("chat")).body["messages"][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "assistant", "content": "It is sunny."},
    ]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
async def test_a_reply_that_was_cut_says_so(vendor, mind, finish, reason):
    vendor.finish = finish
    pieces = [piece async for piece in mind.reply(TALK, OPTIONS)]
    assert pieces[-1] == CutShort(reason)


async def test_a_model_without_tools_answers_without_them(vendor, mind):
    vendor.refuses = {"tools": "this-model does not support tools"}
    assert [piece async for piece in mind.reply(TALK, with_tools())]
    bodies = [request.body for request in vendor.requests("chat")]
    assert ["tools" in body for body in bodies] == [True, False]
    assert "tool_choice" not in bodies[-1]


async def test_tools_that_are_wrong_are_no_reason_to_take_them_from_the_next_call(vendor, mind):
    vendor.refuses = {"tools": "Invalid schema for function 'weather' in tools[0]"}
    with pytest.raises(ProviderError, match="Invalid schema"):
        assert [piece async for piece in mind.reply(TALK, with_tools())]
    vendor.refuses = {}
    assert [piece async for piece in mind.reply(TALK, with_tools())]
    assert "tools" in vendor.requests("chat")[-1].body


@pytest.mark.parametrize("written", ["", "{", "[1]", "Rome"])
async def test_arguments_that_are_no_json_object_do_not_poison_what_follows(vendor, mind, written):
    call = ToolCall("call_1", "weather", written)
    history = [*TALK, Message("assistant", "", calls=(call,)), Message("tool", "no", call_id="call_1")]
    await said(mind, history)
    sent = (await vendor.request("chat")).body["messages"][2]["tool_calls"][0]
    assert sent["function"]["arguments"] == "{}"


async def test_a_tool_of_the_servers_own_runs_between_two_requests_of_one_reply(vendor, mind):
    tools.ran.clear()

    def calls(body: dict[str, Any]) -> list[tuple[str, str]]:
        answered = body["messages"][-1]["role"] == "tool"
        return [] if answered else [("forecast", '{"city": "Rome"}'), ("look_up", '{"word": "cache"}')]

    vendor.reply = lambda body: "Sunny." if body["messages"][-1]["role"] == "tool" else "Let me see."
    vendor.calls = calls
    box = Toolbox(ToolSettings(functions=("tests.tools:forecast", "tests.tools:look_up")))
    pieces = [piece async for piece in thinking(mind, TALK, OPTIONS, box)]
    assert "".join(piece.text for piece in pieces if isinstance(piece, Token)) == "Let me see.Sunny."
    assert sorted(name for name, _ in tools.ran) == ["forecast", "look_up"]
    first, second = (request.body for request in vendor.requests("chat"))
    assert {tool["function"]["name"] for tool in first["tools"]} == {"forecast", "look_up"}
    asked, *outputs = second["messages"][-3:]
    assert asked["content"] == "Let me see."
    assert [call["id"] for call in asked["tool_calls"]] == [output["tool_call_id"] for output in outputs]
    assert outputs[1]["content"] == "cache is a word"
