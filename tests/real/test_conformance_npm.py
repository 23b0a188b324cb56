"""Clients from npm in Chromium, as their users take them, against the server as its owner starts it.

@openai/agents-realtime does everything, the plain ones of the package openai carry events. Microphones get
flite's voice. The ears are pocketsphinx, the voice is espeak-ng, the mind speaks OpenAI's protocol.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, TimeoutError, async_playwright

from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from tests.real.browser import chromium_arguments, chromium_path
from tests.real.npm_bundle import NPM, bundle
from tests.real.site import site
from tests.real.started import Started, started
from tests.realtime_events import check_server_event
from tests.sounds import speech
from tests.vendors.openai_server import OpenAIServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

QUESTION = "what is a cache"
HAPPENS_WITHIN_MS = 30_000
AUDIBLE, SILENT = 0.02, 0.001  # RMS of 20 ms; espeak-ng speaks at 0.1
THINGS = "books songs films maps letters plans names prices faces dates notes keys".split()
LONG = (
    "A cache keeps what was asked before, "
    + "".join(f"and it keeps {things} for a long while, " for things in THINGS)
    + "until it is full."
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The site that the clients come from."""
    folder = tmp_path_factory.mktemp("npm")
    for script in ("agent.js", "plain.js"):
        bundle(NPM / script, folder / script)
    async with site(folder) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    vendor: OpenAIServer, home: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Started]:
    async with started(
        tmp_path_factory.mktemp("certificates"),
        VIVA_LLM__PROVIDER="openai",
        VIVA_LLM__OPENAI__BASE_URL=vendor.base_url,
        VIVA_TURNS__NUDGES="0",
        VIVA_CALL__MODE="chat",
        VIVA_CALL__GREET="false",
        VIVA_SERVER__ALLOWED_ORIGINS=json.dumps([home]),
        VIVA_LIMITS__OFFERS_PER_MINUTE="0",
    ) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=chromium_path(), args=chromium_arguments())
        yield one
        await one.close()


class Caller:
    """A page that holds the client."""

    def __init__(self, page: Page, server: Started, transport: str) -> None:
        self.page = page
        self.server = server
        self.transport = transport

    async def connect(self) -> None:
        """With a client secret, as a browser gets one from its own site."""
        url = {
            "webrtc": f"{self.server.url}/v1/realtime/calls",
            "websocket": f"{self.server.url}/v1/realtime?model=viva".replace("https:", "wss:"),
        }[self.transport]
        how = {"transport": self.transport, "url": url, "key": await self.server.client_secret()}
        await self.page.evaluate("how => agent.connect(how)", how)

    async def say(self, text: str) -> None:
        resampler = Resampler(MIC_RATE, VOICE_RATE)
        sound = np.concatenate([resampler.push(speech(text)), resampler.flush()])
        await self.page.evaluate("said => agent.say(said)", base64.b64encode(sound.tobytes()).decode())

    async def until(self, holds: str, arg: Any = None) -> Any:
        """What a JavaScript expression comes to as soon as it is true."""
        try:
            found = await self.page.wait_for_function(holds, arg=arg, timeout=HAPPENS_WITHIN_MS)
        except TimeoutError as late:
            seen = await self.page.evaluate(
                "() => JSON.stringify([agent.session?.history, agent.errors, agent.seen.slice(-20)], null, 1)"
            )
            raise AssertionError(f"never: {holds} {arg}\n{seen}") from late
        return await found.json_value()

    async def until_seen(self, type: str) -> dict[str, Any]:
        return await self.until("type => agent.seen.find((event) => event.type === type)", type)

    async def until_said(self, role: str, words: str) -> dict[str, Any]:
        """The message of that role in the client's own history that has these words."""
        return await self.until(
            """([role, words]) => agent.session.history.find((item) => item.role === role
               && item.content.some((part) => (part.transcript ?? part.text ?? '').includes(words)))""",
            [role, words],
        )

    async def history(self) -> list[dict[str, Any]]:
        return await self.page.evaluate("() => agent.session.history")

    async def quiet(self) -> bool:
        """Nothing is heard any more: 300 ms of silence, within some seconds."""
        for _ in range(20):
            if await self.loudness(300) < SILENT:
                return True
        return False

    async def loudness(self, within_ms: int, enough: float = 1.0) -> float:
        return await self.page.evaluate("([ms, enough]) => agent.loudness(ms, enough)", [within_ms, enough])


@pytest_asyncio.fixture(loop_scope="module", params=["webrtc", "websocket"])
async def caller(
    request: pytest.FixtureRequest, browser: Browser, home: str, server: Started, vendor: OpenAIServer
) -> AsyncIterator[Caller]:
    vendor.reply, vendor.calls = "That is a good question.", []
    page = await browser.new_page(ignore_https_errors=True)
    await page.goto(f"{home}/run/agent.js")
    one = Caller(page, server, request.param)
    yield one
    problems = await page.evaluate("() => ({ unread: agent.unread, errors: agent.errors })")
    for event in await page.evaluate("() => agent.seen"):
        check_server_event(event)
    await page.close()
    assert problems == {"unread": [], "errors": []}


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """Server, vendor and browser live as long as the module, in its event loop."""


async def test_it_is_understood_and_hears_the_answer(caller: Caller) -> None:
    await caller.connect()
    await caller.say(QUESTION)
    asked = await caller.until_said("user", "what is")
    assert asked["status"] == "completed"
    assert await caller.loudness(10_000, AUDIBLE) >= AUDIBLE
    answer = await caller.until_said("assistant", "That is a good question.")
    assert answer["status"] == "completed"


async def test_it_breaks_in_and_the_voice_falls_silent(caller: Caller, vendor: OpenAIServer) -> None:
    vendor.reply = LONG
    await caller.connect()
    await caller.say(QUESTION)
    assert await caller.loudness(10_000, AUDIBLE) >= AUDIBLE
    await caller.until("() => agent.seen.filter(({ type }) => type.endsWith('transcript.delta')).length > 8")
    vendor.reply = "Go on."
    await caller.say("no wait that is not what i wanted to know")
    cut = await caller.until("() => agent.session.history.find((item) => item.status === 'incomplete')")
    if caller.transport == "websocket":  # where the client plays, and was told to stop
        assert await caller.page.evaluate("() => agent.interruptions") == 1
    heard = cut["content"][0]["transcript"].rstrip(" …")
    assert LONG.startswith(heard)
    assert len(heard) < len(LONG) / 2
    await caller.until_said("assistant", "Go on.")


async def test_its_own_interruption_silences_the_voice(caller: Caller, vendor: OpenAIServer) -> None:
    vendor.reply = LONG
    await caller.connect()
    await caller.page.evaluate("agent.session.sendMessage('Tell me about caches.')")
    assert await caller.loudness(10_000, AUDIBLE) >= AUDIBLE
    await caller.page.evaluate("agent.session.interrupt()")
    done = await caller.until_seen("response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"]["reason"] == "client_cancelled"
    await caller.until("() => agent.session.history.find((item) => item.status === 'incomplete')")
    assert await caller.quiet()


async def test_it_types_and_the_answers_follow_one_another(caller: Caller, vendor: OpenAIServer) -> None:
    vendor.reply = lambda body: f"You said {said(body)[-1]}."
    await caller.connect()
    await caller.page.evaluate("agent.session.sendMessage('one'); agent.session.sendMessage('two')")
    await caller.until_said("assistant", "You said two.")
    texts = [
        item["content"][0].get("text") or item["content"][0]["transcript"] for item in await caller.history()
    ]
    assert sorted(texts) == ["You said one.", "You said two.", "one", "two"]
    assert (texts[0], texts[-1]) == ("one", "You said two.")


async def test_it_takes_an_item_out_of_the_history(caller: Caller) -> None:
    await caller.connect()
    await caller.page.evaluate("agent.session.sendMessage('Forget this.')")
    await caller.until_said("assistant", "That is a good question.")
    await caller.until_seen("response.done")
    await caller.page.evaluate("agent.session.updateHistory((history) => history.slice(1))")
    await caller.until_seen("conversation.item.deleted")
    assert [item["role"] for item in await caller.history()] == ["assistant"]


async def test_it_hangs_up_and_calls_again(caller: Caller, server: Started) -> None:
    for _ in range(2):
        await caller.connect()
        await caller.page.evaluate("agent.session.sendMessage('Hello.')")
        await caller.until_said("assistant", "That is a good question.")
        await caller.page.evaluate("agent.close()")
        await server.until_idle()


async def test_its_tool_is_called_and_the_answer_goes_on_with_what_it_said(
    caller: Caller, vendor: OpenAIServer
) -> None:
    vendor.calls = lambda body: [] if outputs(body) else [("weather", '{"city": "Bern"}')]
    vendor.reply = lambda body: " ".join(outputs(body))
    await caller.connect()
    await caller.page.evaluate("agent.session.sendMessage('What is the weather in Bern?')")
    await caller.until_said("assistant", "It is raining in Bern.")
    assert await caller.page.evaluate("() => agent.called") == ["Bern"]
    call = await caller.until("() => agent.session.history.find((item) => item.type === 'function_call')")
    assert (call["status"], call["name"]) == ("completed", "weather")
    asked = vendor.requests("chat")[-1].body
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["weather"]


@pytest.mark.parametrize("transport", ["webrtc", "websocket"])
async def test_the_plain_client_types_and_is_answered(
    browser: Browser, home: str, server: Started, vendor: OpenAIServer, transport: str
) -> None:
    vendor.reply, vendor.calls = "That is a good question.", []
    page = await browser.new_page(ignore_https_errors=True)
    await page.goto(f"{home}/run/plain.js")
    key = await server.client_secret()
    how = {"transport": transport, "server": server.url, "key": key, "text": "Hello."}
    seen = await page.evaluate("how => plain.ask(how)", how)
    await page.close()
    for event in seen:
        check_server_event(event)
    assert seen[-1]["response"]["output"][0]["content"][0]["text"] == "That is a good question."


def said(body: dict[str, Any]) -> list[str]:
    """What the person said, as the model was told."""
    return [message["content"] for message in body["messages"] if message["role"] == "user"]


def outputs(body: dict[str, Any]) -> list[str]:
    """What tools answered, as the model was told."""
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]
