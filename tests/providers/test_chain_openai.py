"""Chains whose first provider is a real client of a vendor that fails over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk
from pipeline.chain import ChainEars, ChainMind, ChainVoice
from pipeline.chain.links import Links
from pipeline.choice import plugin
from pipeline.errors import ProviderError, Stage
from pipeline.providers import Message, Pause, ReplyOptions, Speech, Token, VoiceStyle
from pipeline.settings import ChainSettings, Secrets, Settings
from tests.session.call import Ears, Mind, Voice
from tests.sounds import speech
from tests.vendors.openai_server import OpenAIServer

QUESTION = "what is a cache"
ANSWER = "A cache keeps what was asked before."
PHRASE = "one two three four five six seven eight nine ten"
ASKED = [Message("system", "You are kind."), Message("user", QUESTION)]
SOON = ChainSettings(stt_late_ms=100, llm_late_ms=100, tts_late_ms=100, untried_late_ms=100)
PATIENT = ChainSettings(untried_late_ms=20_000)  # on a busy machine
LATE_MS = 60_000.0  # nothing in a test waits for that


def links(stage: Stage, vendor: OpenAIServer, *others: Any, settings: ChainSettings = PATIENT) -> Links:
    secrets = Secrets(openai_api_key="sk-test", openai_base_url=vendor.base_url)
    first = plugin(stage, "openai").create(Settings(secrets=secrets))
    names = ("openai", "second")
    return Links(stage, list(zip(names, (first, *others), strict=False)), settings)


async def said(chain: ChainMind) -> str:
    pieces = [piece async for piece in chain.reply(ASKED, ReplyOptions("en", "chat"))]
    return "".join(piece.text for piece in pieces if isinstance(piece, Token))


async def spoken(chain: ChainVoice) -> list[Speech]:
    return [piece async for piece in chain.speak(PHRASE, language="en", style=VoiceStyle())]


async def heard(chain: ChainEars) -> list[str]:
    async def sound() -> AsyncIterator[AudioChunk | Pause]:
        samples = speech(QUESTION)
        for at in range(0, len(samples), MIC_CHUNK):
            yield AudioChunk(samples[at : at + MIC_CHUNK], MIC_RATE, at)
        yield Pause()

    return [one.text async for one in chain.transcribe(sound(), language="en") if one.kind == "final"]


async def test_a_reply_whose_connection_breaks_is_finished_by_the_next_server(vendor: OpenAIServer) -> None:
    vendor.reply, vendor.chat.cut_after = ANSWER, 4
    async with OpenAIServer() as second:
        second.reply = lambda body: ANSWER[len(body["messages"][-2]["content"]) :].strip()
        other = links("llm", second).all[0].provider
        chain = ChainMind(links("llm", vendor, other))
        assert await said(chain) == ANSWER
        told = (await second.request("chat")).body["messages"]
        await chain.close()
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    # The fourth word may have been half of one.
    assert told[2]["content"] == "A cache keeps"


async def test_a_late_server_is_hung_up_on_when_the_next_one_answers(vendor: OpenAIServer) -> None:
    class Behind(Mind):
        async def reply(self, messages: Any, options: Any) -> Any:
            await vendor.request("chat")
            async for piece in super().reply(messages, options):
                yield piece

    vendor.chat.first_ms = LATE_MS
    chain = ChainMind(links("llm", vendor, Behind([ANSWER]), settings=SOON))
    assert (await said(chain)).strip() == ANSWER
    request = await vendor.request("chat")
    await request.ended.wait()
    assert request.outcome == "closed_by_client"
    await chain.close()


async def test_a_chain_that_is_closed_half_way_closes_its_stream_at_the_vendor(vendor: OpenAIServer) -> None:
    vendor.chat.hang_after = 3
    chain = ChainMind(links("llm", vendor))
    stream = chain.reply(ASKED, ReplyOptions("en", "chat"))
    await anext(stream)
    await stream.aclose()
    request = await vendor.request("chat")
    await request.ended.wait()
    assert request.outcome == "closed_by_client"
    await chain.close()


async def test_a_phrase_whose_connection_breaks_is_finished_by_the_next_voice(vendor: OpenAIServer) -> None:
    vendor.sound = b"\x00\x10\x00\xf0" * 24_000  # 2 s
    vendor.block_bytes, vendor.speech.cut_after = 4800, 10  # of 0.1 s
    following = Voice()
    chain = ChainVoice(links("tts", vendor, following))
    pieces = await spoken(chain)
    (rest,) = following.spoken
    assert PHRASE.endswith(rest)
    assert "two" not in rest
    # Its marks are those of the whole phrase, and of the whole sound.
    word = next(piece.words[0] for piece in pieces if piece.words)
    assert PHRASE[word.start :] == rest
    before = sum(len(piece.samples) for piece in pieces if not piece.words)
    assert word.at == pytest.approx(before, abs=1)
    await chain.close()


async def test_a_recording_that_hangs_is_heard_by_the_next_and_hung_up_on(vendor: OpenAIServer) -> None:
    class Behind(Ears):
        async def transcribe(self, audio: Any, **how: Any) -> Any:
            await vendor.request("transcriptions")
            async for transcript in super().transcribe(audio, **how):
                yield transcript

    vendor.transcriptions.first_ms = LATE_MS
    chain = ChainEars(links("stt", vendor, Behind([[QUESTION]]), settings=SOON))
    assert await heard(chain) == [QUESTION]
    request = await vendor.request("transcriptions")
    await request.ended.wait()
    assert request.outcome == "closed_by_client"
    await chain.close()


@pytest.mark.parametrize(("status", "seconds"), [(429, 20), (401, 900), (403, 900)])
async def test_a_vendor_that_refuses_is_left_alone_for_as_long_as_it_asks(
    vendor: OpenAIServer, status: int, seconds: float
) -> None:
    vendor.speech.status = status
    named = links("tts", vendor, Voice())
    chain = ChainVoice(named)
    for _ in range(3):
        assert await spoken(chain)
    assert len(vendor.requests("speech")) == 1
    left_s = named.all[0].circuit.until_s - asyncio.get_running_loop().time()
    assert seconds - 10 < left_s <= seconds
    await chain.close()


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_where_the_second_fails_too_its_error_is_raised(vendor: OpenAIServer, stage: Stage) -> None:
    for route in (vendor.transcriptions, vendor.chat, vendor.speech):
        route.status = 500
    other = links(stage, vendor).all[0].provider
    named = links(stage, vendor, other)
    work: dict[Stage, Any] = {
        "stt": lambda: heard(ChainEars(named)),
        "llm": lambda: said(ChainMind(named)),
        "tts": lambda: spoken(ChainVoice(named)),
    }
    with pytest.raises(ProviderError) as raised:
        await work[stage]()
    assert raised.value.code == "bad_response"
    for link in named.all:
        await link.provider.close()


async def test_a_chain_is_ready_although_its_first_vendor_refuses_the_key(vendor: OpenAIServer) -> None:
    vendor.models.status = 401
    named = links("llm", vendor, Mind([ANSWER]))
    chain = ChainMind(named)
    await chain.start()
    assert (await said(chain)).strip() == ANSWER
    assert not vendor.requests("chat")
    await chain.close()
