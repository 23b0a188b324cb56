"""Every example of docs/protocol.md is run: JavaScript in Chromium, Python and curl as programs."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from aiortc import RTCConfiguration, RTCPeerConnection
from playwright.async_api import Browser, async_playwright

from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from tests.protocol_document import examples
from tests.real.browser import chromium_arguments, chromium_path
from tests.real.npm_bundle import bundle
from tests.real.site import site
from tests.real.started import Started, started
from tests.sounds import speech
from tests.vendors.openai_server import OpenAIServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

ADDRESS = "127.0.0.1:8080"  # of the document's server
HAPPENS_WITHIN_S = 30.0
REPLY = "I am a good example."


def numbered(language: str) -> list[pytest.param]:
    """Each example with its first words for a name."""
    return [pytest.param(code, id=code.split("\n")[0][:40]) for code in examples(language)]


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """Server and vendor live as long as the module, in its event loop."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as one:
        one.reply = lambda body: REPLY if not body.get("tools") or answered(body) else ""
        one.calls = lambda body: (
            [("weather", '{"city": "Bern"}')] if body.get("tools") and not answered(body) else []
        )
        yield one


def answered(body: dict) -> bool:
    """Whether a function has told the model what it wanted to know."""
    return body["messages"][-1]["role"] == "tool"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(folder: Path) -> AsyncIterator[str]:
    async with site(folder) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(vendor: OpenAIServer, home: str) -> AsyncIterator[Started]:
    async with started(
        VIVA_LLM__PROVIDER="openai",
        VIVA_LLM__OPENAI__BASE_URL=vendor.base_url,
        VIVA_SERVER__ALLOWED_ORIGINS=json.dumps([home]),
    ) as one:
        yield one


def here(code: str, server: Started) -> str:
    assert ADDRESS in code
    return code.replace(ADDRESS, server.url.removeprefix("http://"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        one = await playwright.chromium.launch(executable_path=chromium_path(), args=chromium_arguments())
        yield one
        await one.close()


@pytest.mark.parametrize("code", numbered("js"))
async def test_javascript(code: str, browser: Browser, server: Started, home: str, folder: Path) -> None:
    (folder / "source.js").write_text(here(code, server))
    bundle(folder / "source.js", folder / "example.js")
    page = await browser.new_page()
    said: asyncio.Queue[str] = asyncio.Queue()
    page.on("console", lambda message: said.put_nowait(message.text))
    page.on("pageerror", lambda error: said.put_nowait(str(error)))
    await page.goto(f"{home}/run/example.js")
    assert await asyncio.wait_for(said.get(), HAPPENS_WITHIN_S) == f"It says: {REPLY}"
    await server.until_idle()
    await page.close()


@pytest.mark.parametrize("code", numbered("python"))
async def test_python(code: str, server: Started, tmp_path: Path) -> None:
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    sound = np.concatenate([resampler.push(speech("what is a cache")), resampler.flush()])
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(VOICE_RATE)
        file.writeframes(sound.tobytes())
    out = (await run(tmp_path, sys.executable, "-c", here(code, server))).splitlines()
    assert out[-1] == f"It says: {REPLY}"
    if "WEATHER" in code:
        assert out[0] == "It asks for: Bern"
    else:
        assert out[0].startswith("It heard: what is")
        with wave.open(str(tmp_path / "answer.wav")) as file:
            answer = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        assert np.abs(answer).max() > 1000
    await server.until_idle()


@pytest.mark.parametrize("code", numbered("sh"))
async def test_curl(code: str, server: Started, tmp_path: Path) -> None:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio")
    peer.createDataChannel("oai-events")
    await peer.setLocalDescription(await peer.createOffer())
    (tmp_path / "offer.sdp").write_text(peer.localDescription.sdp, newline="")
    await peer.close()
    await run(tmp_path, "sh", "-euc", here(code, server))
    if (tmp_path / "secret.json").exists():
        made = json.loads((tmp_path / "secret.json").read_text())
        assert made["value"].startswith("ek_")
        assert made["session"]["instructions"] == "Be brief."
    else:
        assert (tmp_path / "answer.sdp").read_text().startswith("v=0")


async def run(folder: Path, *command: str) -> str:
    """What a program says. It has to end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "VIVA_KEY": "any"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(HAPPENS_WITHIN_S):
            out, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, wrong.decode() or out.decode()
    return out.decode()
