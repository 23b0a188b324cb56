"""Servers with language models that are found on this machine, and the mind behind one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline import modes
from pipeline.choice import choose, come_since, discovered, plugin
from pipeline.errors import ConfigError, ProviderError
from pipeline.llm.local_servers import discover
from pipeline.notices import heard_by
from pipeline.providers import Message, ReplyOptions, Token
from pipeline.settings import LlmSettings, LocalLlmSettings, LocalServer, OpenAILlmSettings, Secrets, Settings
from server.engines import Engines
from tests.real.served import served, until
from tests.vendors.openai_server import OpenAIServer

CHAT = ReplyOptions("en", "chat")
BOUND_MS = 1000  # enough for those that do answer, on a busy machine
SLACK_S = 1.0  # likewise


def port_of(vendor: OpenAIServer) -> int:
    port = urlsplit(vendor.base_url).port
    assert port
    return port


def looking_at(*ports: int, **own: Any) -> LocalLlmSettings:
    return LocalLlmSettings(ports=ports, within_ms=5 * BOUND_MS, **own)


def with_servers(*found: LocalServer, model: str = "", **llm: Any) -> Settings:
    own = LlmSettings(local=LocalLlmSettings(model=model), **llm)
    return Settings(llm=own, local_servers=found)


def ollama(vendor: OpenAIServer, **models: dict[str, Any]) -> None:
    """It answers as Ollama does, whose listing says more of each model at /api/tags."""
    vendor.owner = "library"
    vendor.model_names = [name.replace("__", ":") for name in models]
    vendor.tags = [{"name": name.replace("__", ":"), **told} for name, told in models.items()]


async def find(vendor: OpenAIServer) -> LocalServer:
    (found,) = await discover(looking_at(port_of(vendor)))
    assert found.base_url == vendor.base_url
    return found


@pytest.mark.parametrize(
    ("owner", "kind"),
    [
        ("library", "Ollama"),
        ("vllm", "vLLM"),
        ("llamacpp", "llama.cpp"),
        ("organization_owner", "LM Studio"),
        ("me", "a server"),
    ],
)
async def test_a_server_is_known_by_whom_it_says_its_models_belong_to(
    vendor: OpenAIServer, owner: str, kind: str
) -> None:
    vendor.owner, vendor.model_names = owner, ["qwen3-8b"]
    found = await find(vendor)
    assert (found.kind, found.models) == (kind, ("qwen3-8b",))


async def test_models_that_cannot_talk_are_left_out_by_their_names(vendor: OpenAIServer) -> None:
    vendor.model_names = [
        "text-embedding-nomic-embed-text-v1.5",
        "bge-m3",
        "whisper-large",
        "kokoro",
        "phi-4",
    ]
    assert (await find(vendor)).models == ("phi-4",)


async def test_ollama_says_itself_which_model_can_talk_on_this_machine(vendor: OpenAIServer) -> None:
    ollama(
        vendor,
        odd={"details": {"family": "nomic-bert"}},
        newer={"capabilities": ["embedding"]},
        big__cloud={"remote_host": "https://ollama.com:443"},
        my_whisperer={"capabilities": ["completion", "tools"]},
        llama3__latest={"details": {"family": "llama"}},
    )
    assert (await find(vendor)).models == ("my_whisperer", "llama3:latest")


async def test_an_ollama_with_nobodys_but_ones_own_models_is_one(vendor: OpenAIServer) -> None:
    ollama(vendor, mine={"details": {"family": "llama"}})
    vendor.owner = "me"
    assert (await find(vendor)).kind == "Ollama"


@asynccontextmanager
async def answering(raw: bytes, *, hang: bool = False) -> AsyncIterator[int]:
    """A port at which every request gets these bytes; `hang`: and the connection stays open."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            await writer.drain()
            if hang:
                await over.wait()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def http(body: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"\r\n" + body


ONE = b'{"object": "list", "data": [{"id": "phi-4", "object": "model"}]}'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x00\xff\r\n\r\n",
        http(b"<html></html>"),
        http(b'{"detail": "Not Found"}', b"404 Not Found"),
        http(ONE, b"401 Unauthorized"),
        http(b"", b"302 Found", b"Location: http://127.0.0.1/\r\n"),
        http(b"[]"),
        http(b'{"data": 3}'),
        http(b'{"data": [3, {"id": 4}, {"id": ""}]}'),
        http(b'{"data": []}'),
        http(ONE[:-9]),
        http(ONE, headers=b"Content-Length: many\r\n"),
        http(b"[" * 100_000),
        http(b"x" * (1 << 20) + ONE),
    ],
)
async def test_whatever_else_answers_is_passed_over(raw: bytes) -> None:
    async with answering(raw) as port:
        assert await discover(looking_at(port)) == ()


async def test_a_server_that_keeps_the_connection_open_has_said_all_when_its_length_is_there() -> None:
    raw = http(ONE, headers=b"Content-Length: %d\r\nServer: llama.cpp\r\n" % len(ONE))
    async with answering(raw, hang=True) as port:
        (found,) = await discover(looking_at(port))
    assert found.kind == "llama.cpp"


async def test_one_more_viva_is_no_language_model() -> None:
    async with served() as viva:
        assert await discover(looking_at(viva.port)) == ()


async def test_what_hangs_delays_nothing_beyond_the_bound_and_hides_nobody(vendor: OpenAIServer) -> None:
    with socket.socket() as nobody, socket.socket() as full:
        nobody.bind(("127.0.0.1", 0))  # refused: nothing listens
        full.bind(("127.0.0.1", 0))
        full.listen()  # taken by the system, and never answered
        ports = [one.getsockname()[1] for one in (nobody, full)]
        async with answering(http(ONE[:9]), hang=True) as dripping:
            own = LocalLlmSettings(ports=(*ports, dripping, port_of(vendor)), within_ms=BOUND_MS)
            began = perf_counter()
            found = await discover(own)
            took_s = perf_counter() - began
    assert [server.base_url for server in found] == [vendor.base_url]
    assert took_s < BOUND_MS / 1000 + SLACK_S


async def test_no_ports_mean_that_nothing_is_looked_for(vendor: OpenAIServer) -> None:
    settings = Settings(llm=LlmSettings(local=LocalLlmSettings(ports=())))
    assert (await discovered(settings)).local_servers == ()
    assert "llm.local.ports is empty" in (plugin("llm", "local").missing(settings) or "")


@pytest.mark.parametrize(("provider", "looked"), [("auto", True), (("local",), True), ("scripted", False)])
async def test_only_a_choice_that_may_fall_on_one_looks_for_one(
    vendor: OpenAIServer, provider: Any, looked: bool
) -> None:
    settings = Settings(llm=LlmSettings(provider=provider, local=looking_at(port_of(vendor))))
    assert bool((await discovered(settings)).local_servers) == looked


OLLAMA = LocalServer(kind="Ollama", port=11434, models=("llama3.2:latest", "mistral:7b"))
LM_STUDIO = LocalServer(kind="LM Studio", port=1234, models=("gpt-4o-mini",))
EMPTY = LocalServer(kind="Ollama", port=11434, models=())


@pytest.mark.parametrize(
    ("found", "model", "openai_model", "detail"),
    [
        ([OLLAMA], "", "gpt-4o-mini", "llama3.2 on Ollama at 127.0.0.1:11434"),
        ([EMPTY, LM_STUDIO], "", "x", "gpt-4o-mini on LM Studio at 127.0.0.1:1234"),
        ([OLLAMA, LM_STUDIO], "", "gpt-4o-mini", "gpt-4o-mini on LM Studio at 127.0.0.1:1234"),
        ([OLLAMA], "", "llama3.2", "llama3.2 on Ollama at 127.0.0.1:11434"),
        ([OLLAMA], "mistral:7b", "llama3.2", "mistral:7b on Ollama at 127.0.0.1:11434"),
    ],
)
def test_the_first_model_is_taken_unless_one_is_named_that_is_there(
    found: list[LocalServer], model: str, openai_model: str, detail: str
) -> None:
    settings = with_servers(*found, model=model, openai=OpenAILlmSettings(model=openai_model))
    assert plugin("llm", "local").missing(settings) is None
    assert plugin("llm", "local").create(settings).detail == detail


def test_what_it_lacks_is_said_with_what_there_is() -> None:
    missing = plugin("llm", "local").missing
    assert "start Ollama" in missing(with_servers())
    assert "11434" in missing(with_servers())
    assert "ollama pull" in missing(with_servers(EMPTY))
    said = missing(with_servers(OLLAMA, model="phi"))
    assert "'phi' is not on Ollama at 127.0.0.1:11434; there is llama3.2, mistral:7b" in said
    with pytest.raises(ConfigError, match=r'llm\.provider = "local": start Ollama'):
        choose("llm", with_servers(provider="local"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_that_is_named_for_openai_does_not_stand_in_for_itself(host: str) -> None:
    named = OpenAILlmSettings(base_url=f"http://{host}:11434/v1")
    missing, create = plugin("llm", "local").missing, plugin("llm", "local").create
    assert missing(with_servers(OLLAMA, openai=named)) == (
        "Ollama at 127.0.0.1:11434 is taken by llm.openai.base_url"
    )
    assert "LM Studio" in create(with_servers(OLLAMA, LM_STUDIO, openai=named)).detail
    elsewhere = OpenAILlmSettings(base_url="http://192.168.1.2:11434/v1")
    assert "Ollama" in create(with_servers(OLLAMA, openai=elsewhere)).detail


async def said(vendor: OpenAIServer, settings: Settings) -> str:
    """By the mind that is found there."""
    own = settings.llm.model_copy(update={"local": looking_at(port_of(vendor)), "provider": "local"})
    chosen = choose("llm", await discovered(settings.model_copy(update={"llm": own})))
    try:
        await chosen.provider.start()
        pieces = [piece async for piece in chosen.provider.reply([Message("user", "Hello.")], CHAT)]
    finally:
        await chosen.provider.close()
    return "".join(piece.text for piece in pieces if isinstance(piece, Token))


async def test_what_is_found_answers_without_being_given_the_key_of_a_vendor(vendor: OpenAIServer) -> None:
    ollama(vendor, llama3__latest={"details": {"family": "llama"}})
    secrets = Secrets(openai_api_key="sk-very-secret", openai_base_url="http://127.0.0.1:9/v1")
    assert await said(vendor, Settings(secrets=secrets)) == vendor.reply
    assert [seen.body["model"] for seen in vendor.requests("chat")] == ["llama3:latest"] * 2
    assert not any("secret" in str(seen.headers) for seen in vendor.seen)


async def test_the_model_is_loaded_before_anybody_waits_for_it(vendor: OpenAIServer) -> None:
    vendor.owner = "library"
    await said(vendor, Settings())
    first, second = vendor.requests("chat")
    assert first.body["max_tokens"] == 1
    assert second.body["max_tokens"] == CHAT.max_tokens


@pytest.mark.parametrize(
    ("owner", "asked"), [("library", "reasoning_effort"), ("vllm", "chat_template_kwargs")]
)
async def test_models_are_asked_to_answer_without_reasoning_first_where_they_know_how(
    vendor: OpenAIServer, owner: str, asked: str
) -> None:
    vendor.owner = owner
    await said(vendor, Settings())
    assert all(asked in seen.body for seen in vendor.requests("chat"))
    vendor.seen.clear()
    vendor.refuses = {asked: f"{asked} is not supported for this model."}
    assert await said(vendor, Settings()) == vendor.reply
    assert [asked in seen.body for seen in vendor.requests("chat")] == [True, False, False]


async def test_a_model_that_cannot_be_loaded_is_said_at_the_start(vendor: OpenAIServer) -> None:
    vendor.chat.status = 500
    with pytest.raises(ProviderError, match="answered 500") as caught:
        await said(vendor, Settings())
    assert caught.value.provider == "local"


async def test_one_that_takes_long_to_load_is_no_failure(vendor: OpenAIServer) -> None:
    vendor.chat.hang_after = 0
    found = await find(vendor)
    own = LlmSettings(local=LocalLlmSettings(timeout_s=1.0))
    mind = plugin("llm", "local").create(Settings(llm=own, local_servers=(found,)))
    try:
        await mind.start()
        assert (await vendor.request("chat")).body["max_tokens"] == 1
    finally:
        await mind.close()


async def test_a_model_that_its_server_calls_by_a_path_is_named_for_a_person(vendor: OpenAIServer) -> None:
    vendor.model_names = ["/srv/models/SmolLM2-135M-Instruct.Q4_1.gguf"]
    found = await find(vendor)
    for named in ("", "SmolLM2-135M-Instruct.Q4_1", vendor.model_names[0]):
        mind = plugin("llm", "local").create(with_servers(found, model=named))
        assert mind.detail.startswith("SmolLM2-135M-Instruct.Q4_1 on ")
        assert mind.model == vendor.model_names[0]
        await mind.close()
    assert "there is SmolLM2-135M-Instruct.Q4_1" in plugin("llm", "local").missing(
        with_servers(found, model="phi")
    )


async def test_the_prompt_of_an_interview_has_been_read_when_one_begins(vendor: OpenAIServer) -> None:
    await said(vendor, Settings())
    warming = vendor.requests("chat")[0].body["messages"]
    assert warming[0] == {"role": "system", "content": modes.system_prompt("interview")}


@pytest.mark.parametrize("told", [{"max_model_len": 2048}, {"meta": {"n_ctx": 2048}}])
async def test_how_much_a_model_reads_is_known_beforehand_where_its_server_says_so(told: Any) -> None:
    listing = json.dumps({"data": [{"id": "phi-4", **told}]}).encode()
    async with answering(http(listing)) as port:
        (found,) = await discover(looking_at(port))
    mind = plugin("llm", "local").create(with_servers(found))
    assert 1000 < mind.context.tokens < 2048 - LlmSettings().max_tokens_interview
    await mind.close()


async def test_a_conversation_names_the_slot_that_knows_it() -> None:
    listing = json.dumps({"data": [{"id": "phi-4"}], "total_slots": 2}).encode()
    async with answering(http(listing, headers=b"Server: llama.cpp\r\n")) as port:
        (found,) = await discover(looking_at(port))
    async with OpenAIServer() as vendor:
        vendor.model_names = ["phi-4"]
        there = found.model_copy(update={"port": port_of(vendor)})
        mind = plugin("llm", "local").create(with_servers(there))
        await mind.start()
        for seed in (7, 8, 7, 8, 0):
            options = ReplyOptions("en", "chat", seed=seed)
            assert [piece async for piece in mind.reply([Message("user", "Hi.")], options)]
        slots = [request.body.get("id_slot") for request in vendor.requests("chat")]
        assert slots == [0, 0, 1, 0, 1, None], "the first one goes where an interview's prompt was read"
        await mind.close()


async def test_what_is_spent_is_told_by_the_models_name_not_its_path(vendor: OpenAIServer) -> None:
    vendor.model_names = ["/srv/models/phi-4.gguf"]
    mind = plugin("llm", "local").create(with_servers(await find(vendor)))
    told: list[Any] = []

    async def reply() -> None:
        assert [piece async for piece in mind.reply([Message("user", "Hi.")], CHAT)]

    await asyncio.create_task(reply(), context=heard_by(told.append))
    assert {spent.model for spent in told} == {"phi-4"}
    await mind.close()


async def test_one_does_not_look_for_a_mind_at_ones_own_port(vendor: OpenAIServer) -> None:
    settings = Settings(llm=LlmSettings(local=looking_at(port_of(vendor))))
    assert (await discovered(settings)).local_servers
    assert not (await discovered(settings, port_of(vendor))).local_servers


# ---------------------------------------------------------------- servers that come and go


def waiting_for(*ports: int) -> Settings:
    """For minds; ears and voice are none that would take long to load."""
    nobody = {"base_url": "http://127.0.0.1:9/v1"}
    settings = {
        "stt": {"provider": "openai", "openai": nobody},
        "tts": {"provider": "openai", "openai": nobody},
    }
    llm = LlmSettings(local=looking_at(*ports, look_again_s=0.05))
    return Settings.model_validate({**settings, "llm": llm})


async def replies(engines: Engines) -> str:
    """By the mind that the next call would have."""
    mind = (await engines.parts()).mind
    pieces = [piece async for piece in mind.reply([Message("user", "Hello.")], CHAT)]
    return "".join(piece.text for piece in pieces if isinstance(piece, Token))


def mind_of(engines: Engines) -> str:
    return str(engines.stages["llm"].chosen)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Engines]:
    engines = Engines(settings)
    engines.start()
    try:
        await engines.loaded()
        yield engines
    finally:
        await engines.close()


async def test_a_server_that_is_started_later_is_the_mind_of_the_next_call(vendor: OpenAIServer) -> None:
    vendor.models.status = 500  # it is there, and has not loaded its models
    async with running(waiting_for(port_of(vendor))) as engines:
        before = (await engines.parts()).mind
        assert mind_of(engines).startswith("scripted: ")
        vendor.models.status = 200
        await until(lambda: mind_of(engines).startswith("local: gpt-4o-mini"))
        assert "; then scripted: " in mind_of(engines)
        assert await replies(engines) == vendor.reply
        began_before = [piece async for piece in before.reply([Message("user", "Hello.")], CHAT)]
        assert began_before, "a call that began without it goes on as it was"


async def test_nobody_looks_further_while_one_answers(vendor: OpenAIServer) -> None:
    settings = waiting_for(port_of(vendor))
    chosen = choose("llm", await discovered(settings))
    asked = len(vendor.requests("models"))
    assert await come_since(chosen, settings) is None
    assert len(vendor.requests("models")) == asked
    await chosen.provider.close()


async def test_when_it_has_gone_another_one_is_taken_that_comes_instead() -> None:
    async with OpenAIServer() as other:
        other.models.status, other.reply = 500, "I am the other one."
        async with OpenAIServer() as one:
            settings = await discovered(waiting_for(port_of(one), port_of(other)))
            context = running(settings)
            engines = await context.__aenter__()
            assert await replies(engines) == one.reply
        assert await replies(engines), "the scripted one stands in"
        other.models.status = 200
        await until(lambda: str(port_of(other)) in mind_of(engines))
        assert await replies(engines) == other.reply
        await context.__aexit__(None, None, None)


@pytest.mark.parametrize("provider", ["scripted", ("local", "scripted")])
async def test_what_is_named_stays_as_it_is_named(vendor: OpenAIServer, provider: Any) -> None:
    settings = waiting_for(port_of(vendor))
    chosen = choose("llm", await discovered(settings))
    named = settings.model_copy(update={"llm": settings.llm.model_copy(update={"provider": provider})})
    assert await come_since(choose("llm", with_servers(provider="scripted")), named) is None
    assert await come_since(chosen, settings) is None
    await chosen.provider.close()
