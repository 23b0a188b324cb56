"""`--check` against vendors and servers of this machine: what it lists, tries and exits with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import (
    CallSettings,
    LlmSettings,
    LocalLlmSettings,
    OpenAILlmSettings,
    OpenAISttSettings,
    OpenAITtsSettings,
    Settings,
    SttSettings,
    TtsSettings,
)
from server.check import check
from server.config import Config, ServerSettings
from tests.vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.real


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        server.heard = "tell me about your work"
        yield server


def config(vendor: OpenAIServer, **llm: Any) -> Config:
    """The ears are the vendor's; so is the voice, behind which stands espeak-ng."""
    return Config(
        ServerSettings(),
        CallSettings(),
        Settings(
            stt=SttSettings(provider="openai", openai=OpenAISttSettings(base_url=vendor.base_url)),
            llm=LlmSettings(**{"local": LocalLlmSettings(ports=()), **llm}),
            tts=TtsSettings(
                provider=("openai", "espeak"), openai=OpenAITtsSettings(base_url=vendor.base_url)
            ),
        ),
        None,
    )


def local(vendor: OpenAIServer) -> LocalLlmSettings:
    port = urlsplit(vendor.base_url).port
    assert port
    return LocalLlmSettings(ports=(port,), within_ms=2000)


async def test_every_link_is_tried_and_a_server_of_this_machine_is_found(
    vendor: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor.owner = "llamacpp"
    assert await check(config(vendor, local=local(vendor))) == 0
    lines = capsys.readouterr().out.splitlines()
    address = urlsplit(vendor.base_url).netloc
    assert f"  found  llama.cpp at {address}: gpt-4o-mini" in lines
    assert f"  takes  local: gpt-4o-mini on llama.cpp at {address} (the best that is there)" in lines
    assert any(line.startswith("  then   scripted: ") for line in lines)
    tried = [tuple(line.partition(" ms  ")[::2]) for line in lines if " ms  " in line]
    work = [(what.split("  ")[0], result.split(":")[0]) for what, result in tried]
    assert work[-7:] == [
        ("speak", "openai"),
        ("speak", "espeak"),
        ("listen", "openai"),
        ("think", "local"),
        ("think", "scripted"),
        ("answer", "openai"),
        ("all", "works"),
    ]
    assert '"tell me about your work" (5 of 8 words)' in next(line for line in lines if "listen" in line)


async def test_one_link_that_fails_is_a_failure_although_another_stands_in(
    vendor: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor.speech.status = 401
    assert await check(config(vendor)) == 1
    lines = capsys.readouterr().out.splitlines()
    refused = f"openai: {vendor.base_url} wants a key: set OPENAI_API_KEY"
    assert f"speak        failed  {refused}" in lines
    assert any(line.startswith("answer ") and "espeak" in line for line in lines)
    assert lines[-1] == f"failed: voice {refused}"


async def test_a_stage_without_any_link_that_works_ends_the_check(
    vendor: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody = OpenAILlmSettings(base_url="http://127.0.0.1:9/v1")
    assert await check(config(vendor, provider="openai", openai=nobody)) == 1
    lines = capsys.readouterr().out.splitlines()
    unheard = "nothing listens there; does it run, and is llm.openai.base_url right?"
    assert lines[-1] == f"failed: mind openai: no connection to http://127.0.0.1:9/v1: {unheard}; no mind"
    assert not any(line.startswith("answer") for line in lines)


async def test_what_there_is_is_listed_before_a_wrong_choice_is_refused(
    vendor: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r'llm\.provider = "openai": set OPENAI_API_KEY'):
        await check(config(vendor, provider=("openai", "scripted")))
    lines = capsys.readouterr().out.splitlines()
    mind = lines[lines.index("mind") :]
    assert any(line.startswith("  lacks  openai: set OPENAI_API_KEY") for line in mind)
    assert "  there  scripted: taken if llm.provider names it" in mind
