"""What the plug-ins for OpenAI tell a call that it has cost: as the vendor's server counts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.llm.openai import OpenAIMind
from pipeline.notices import Notice, Spent, heard_by
from pipeline.providers import Message, Pause, ReplyOptions, VoiceStyle
from pipeline.settings import Secrets, Settings
from pipeline.stt.openai import OpenAIRecognizer
from pipeline.tokens import estimate_all
from pipeline.tts.openai import OpenAIVoice
from tests import sounds
from tests.vendors.openai_server import OpenAIServer

ASKED = [Message("system", "Be brief."), Message("user", "What is a queue?")]
OPTIONS = ReplyOptions("en", "chat")


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server


def settings(vendor: OpenAIServer) -> Settings:
    secrets = Secrets(openai_api_key=SecretStr("sk-test"), openai_base_url=vendor.base_url)
    return Settings(secrets=secrets)


async def spent_in(work: Callable[[], Coroutine[Any, Any, None]]) -> list[Spent]:
    """What is told while it runs, or until it is cancelled at its own wish."""
    told: list[Notice] = []
    task = asyncio.create_task(work(), context=heard_by(told.append))
    await asyncio.wait({task})
    if not task.cancelled() and isinstance(error := task.exception(), Exception):
        assert isinstance(error, ProviderError)
    return [notice for notice in told if isinstance(notice, Spent)]


def amounts(spent: list[Spent]) -> dict[str, float]:
    return {one.unit: one.amount for one in spent}


async def test_a_reply_costs_what_the_vendor_counted_its_cached_tokens_apart(vendor: OpenAIServer) -> None:
    vendor.reply = "It keeps things in order."
    vendor.cached_tokens = 2
    mind = OpenAIMind(settings(vendor))

    async def hear_out() -> None:
        async for _ in mind.reply(ASKED, OPTIONS):
            pass

    spent = await spent_in(hear_out)
    assert amounts(spent) == {"input_tokens": 4, "cached_tokens": 2, "output_tokens": 5}
    assert {(one.stage, one.provider, one.model, one.host) for one in spent} == {
        ("llm", "openai", "gpt-4o-mini", "127.0.0.1")
    }
    await mind.close()


async def test_a_reply_that_is_broken_off_costs_what_came_and_what_was_asked(vendor: OpenAIServer) -> None:
    vendor.reply = "Four letters twice here and then much more."
    vendor.chat.hang_after = 2
    mind = OpenAIMind(settings(vendor))

    async def break_off() -> None:
        async with aclosing(mind.reply(ASKED, OPTIONS)) as pieces:  # type: ignore[type-var]
            await anext(pieces)
            await anext(pieces)

    spent = amounts(await spent_in(break_off))
    assert spent["input_tokens"] == estimate_all(ASKED)
    assert spent["output_tokens"] == 3  # "Four letters"
    await mind.close()


async def test_a_request_that_is_given_up_before_it_is_answered_has_been_read(vendor: OpenAIServer) -> None:
    vendor.chat.hang_after = 0
    mind = OpenAIMind(settings(vendor))

    async def wait() -> None:
        waiting = asyncio.ensure_future(anext(aiter(mind.reply(ASKED, OPTIONS))))
        await vendor.request("chat")
        waiting.cancel()
        await asyncio.wait({waiting})

    assert amounts(await spent_in(wait)) == {"input_tokens": estimate_all(ASKED)}
    await mind.close()


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_a_request_that_is_refused_costs_nothing(vendor: OpenAIServer, status: int) -> None:
    vendor.chat.status = vendor.speech.status = vendor.transcriptions.status = status
    mind, voice, ears = (kind(settings(vendor)) for kind in (OpenAIMind, OpenAIVoice, OpenAIRecognizer))

    async def ask() -> None:
        async for _ in mind.reply(ASKED, OPTIONS):
            pass

    async def speak() -> None:
        async for _ in voice.speak("Hello.", language="en", style=VoiceStyle()):
            pass

    async def listen() -> None:
        async for _ in ears.transcribe(utterance(), language="en"):
            pass

    for work in (ask, speak, listen):
        assert await spent_in(work) == []
    for one in (mind, voice, ears):
        await one.close()


async def test_a_phrase_costs_its_characters_and_the_sound_that_came(vendor: OpenAIServer) -> None:
    vendor.sound = b"\0\x10" * 12_000
    voice = OpenAIVoice(settings(vendor))

    async def speak() -> None:
        async for _ in voice.speak("Hello there.", language="en", style=VoiceStyle()):
            pass

    assert amounts(await spent_in(speak)) == {"characters": 12, "seconds": 0.5}
    await voice.close()


async def utterance() -> AsyncIterator[AudioChunk | Pause]:
    sound = sounds.speech("i worked on a database", "rms")
    for at in range(0, len(sound) - 319, 320):
        yield AudioChunk(sound[at : at + 320], MIC_RATE, at)
    yield Pause()


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-mini-transcribe"])
async def test_an_utterance_costs_the_seconds_that_were_sent(vendor: OpenAIServer, model: str) -> None:
    chosen = settings(vendor).model_copy(
        update={"stt": Settings().stt.model_validate({"openai": {"model": model}})}
    )
    ears = OpenAIRecognizer(chosen)

    async def listen() -> None:
        async for _ in ears.transcribe(utterance(), language="en"):
            pass

    spent = await spent_in(listen)
    sent = [(len(seen.file) - 44) / 2 / MIC_RATE for seen in vendor.requests("transcriptions")]
    assert [one.amount for one in spent] == pytest.approx(sent)
    assert {(one.unit, one.model) for one in spent} == {("seconds", model)}
    await ears.close()
