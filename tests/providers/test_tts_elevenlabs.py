"""ElevenLabs over its WebSocket: what is sent, what is marked, when connections are opened and closed."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from elevenlabs.types import (
    AudioOutput,
    CloseConnection,
    FinalOutput,
    InitializeConnection,
    RealtimeVoiceSettings,
    SendText,
)
from websockets.asyncio.client import connect

from pipeline import modes
from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.notices import Notice, Spent, heard_by
from pipeline.playout import WordMark
from pipeline.providers import Speech, VoiceStyle
from pipeline.reply import Reply, fixed
from pipeline.settings import ElevenLabsSettings, Secrets, Settings
from pipeline.tts.elevenlabs import WAITING, ElevenLabs
from tests.vendors.elevenlabs_server import KEY, ElevenLabsServer

TEXT = "Well, tell me about the last project that you worked on."
STYLE = modes.style("interview", "vera", "elevenlabs")
TONE = b"\x00\x10\x00\xf0" * 6000


@pytest.fixture
async def vendor() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as server:
        yield server


@pytest.fixture
async def voice(vendor: ElevenLabsServer) -> AsyncIterator[ElevenLabs]:
    created = ElevenLabs(vendor.settings())
    yield created
    await created.close()


def with_own(vendor: ElevenLabsServer, **own: object) -> ElevenLabs:
    settings = vendor.settings()
    changed = ElevenLabsSettings.model_validate({**settings.tts.elevenlabs.model_dump(), **own})
    return ElevenLabs(
        settings.model_copy(update={"tts": settings.tts.model_copy(update={"elevenlabs": changed})})
    )


async def said(
    voice: ElevenLabs, text: str = TEXT, language: str = "en", style: VoiceStyle = STYLE
) -> list[Speech]:
    async with aclosing(voice.speak(text, language=language, style=style)) as stream:
        return [piece async for piece in stream]


def samples(pieces: list[Speech]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces])


def test_it_says_what_it_lacks() -> None:
    module = plugin("tts", "elevenlabs")
    assert module.missing(Settings()) == "set ELEVENLABS_API_KEY"
    assert module.missing(Settings(secrets=Secrets(elevenlabs_api_key=KEY))) is None


async def test_a_phrase_is_asked_for_as_the_vendor_wants_it(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    assert samples(await said(voice)).tobytes() == TONE
    seen = await vendor.request()
    assert seen.text == TEXT + " "
    assert seen.voice == STYLE.voice
    assert seen.query == {
        "model_id": "eleven_flash_v2_5",
        "output_format": "pcm_24000",
        "language_code": "en",
        "sync_alignment": "true",
        "auto_mode": "true",
        "inactivity_timeout": "180",
    }
    assert seen.voice_settings == {"stability": 0.5, "similarity_boost": 0.75, "speed": 0.97}


async def test_each_word_is_marked_where_its_first_letter_is(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    pieces = await said(voice)
    words = [word for piece in pieces for word in piece.words]
    assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
    each = len(samples(pieces)) / len(TEXT + " ")
    for word in words:
        assert word.at == pytest.approx(word.start * each, abs=24 * 2)  # the vendor rounds to ms, twice


async def test_every_mark_comes_with_its_sound_or_before(vendor: ElevenLabsServer, voice: ElevenLabs) -> None:
    vendor.sound = b"\0\0" * 5000 + TONE
    came = 0
    for piece in await said(voice):
        assert all(mark.at >= came for mark in (*piece.words, *piece.phonemes) if came)
        came += len(piece.samples)


async def test_silence_before_the_words_is_cut_and_the_marks_move_with_it(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    vendor.sound = b"\0\0" * 9000 + TONE
    pieces = await said(voice)
    assert samples(pieces).tobytes() == b"\0\0" * 120 + TONE
    words = [word for piece in pieces for word in piece.words]
    each = (9000 + len(TONE) // 2) / len(TEXT + " ")
    assert words[0].at == 0
    assert words[-1].at == pytest.approx(words[-1].start * each - 8880, abs=48)
    assert all(a.at <= b.at for a, b in pairwise(words))


async def test_the_mouth_follows_the_letters(vendor: ElevenLabsServer, voice: ElevenLabs) -> None:
    vendor.block_bytes = len(TONE)
    pieces = await said(voice, "The ship moves.")
    assert [each.mnemonic for piece in pieces for each in piece.phonemes if each.mnemonic != "_:"] == [
        "T", "E", "S", "i", "p", "m", "O", "v", "E", "s",
    ]  # fmt: skip


async def test_captions_and_mouth_of_a_reply_follow_the_voice(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    text = "Well, that was short. Tell me more about it."
    clock = asyncio.get_running_loop().time
    reply = Reply(fixed(text), voice, STYLE, "en", wording=None, clock=clock)
    await reply.run()
    words: list[tuple[int, str]] = []
    shapes: list[str] = []
    while not reply.playout.drained:
        at = reply.playout.position
        _, marks, mouth = reply.playout.read(480)
        words += [(at, mark.text) for mark in marks if isinstance(mark, WordMark)]
        shapes += [mark.shape for mark in mouth]
    assert "".join(word for _, word in words) == text
    assert len(words) == len({at for at, _ in words}), "each at its own time"
    assert len(set(shapes)) > 5
    assert not reply.failures


@pytest.mark.parametrize("language", ["ja", "zh"])
async def test_without_spaces_every_character_is_a_word(vendor: ElevenLabsServer, language: str) -> None:
    voice = with_own(vendor)
    text = "お名前は？"
    words = [word for piece in await said(voice, text, language) for word in piece.words]
    assert [text[word.start : word.end] for word in words] == list("お名前は")
    await voice.close()


async def test_without_alignment_there_is_sound_without_marks(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    vendor.aligned = False
    pieces = await said(voice)
    assert samples(pieces).tobytes() == TONE
    assert not any(piece.words or piece.phonemes for piece in pieces)


async def test_the_first_piece_comes_before_the_last_is_made(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    vendor.work.hang_after = 1
    async with aclosing(voice.speak(TEXT, language="en", style=STYLE)) as stream:
        assert len((await anext(stream)).samples) == vendor.block_bytes // 2
    seen = await vendor.request()
    await seen.ended.wait()
    assert seen.outcome == "closed_by_client"


async def test_the_stand_in_speaks_as_the_sdk_reads(vendor: ElevenLabsServer) -> None:
    """What our stand-in sends fits the types of the vendor's own package, alignment and end included."""
    url = (
        f"ws{vendor.base_url.removeprefix('http')}/v1/text-to-speech/any/stream-input?output_format=pcm_24000"
    )
    async with connect(url, additional_headers={"xi-api-key": KEY}) as socket:
        first = InitializeConnection(voice_settings=RealtimeVoiceSettings(speed=1.0))
        for message in (first, SendText(text="Hello there. "), CloseConnection()):
            await socket.send(message.model_dump_json(exclude_none=True, exclude_unset=False))
        came = [json.loads(message) async for message in socket]
    blocks = [AudioOutput.model_validate(message) for message in came[:-1]]
    assert b"".join(base64.b64decode(block.audio) for block in blocks) == TONE
    aligned = [block.alignment for block in blocks if block.alignment]
    assert "".join(letter for each in aligned for letter in each.chars or []) == "Hello there. "
    assert all(each.char_start_times_ms and each.char_durations_ms for each in aligned)
    assert FinalOutput.model_validate(came[-1]).is_final


# ------------------------------------------------------------------ connections


async def test_a_connection_waits_before_the_first_phrase_and_before_each_other(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    voice.expect(language="en", style=STYLE)
    voice.expect(language="en", style=STYLE)
    await vendor.until(lambda: vendor.waiting == 1)
    for number in range(3):
        await said(voice)
        await vendor.until(lambda: vendor.waiting == 1)
        assert (await vendor.request(number)).connection == number + 1
    assert vendor.opened == 4


async def test_the_first_sound_costs_little_more_than_the_vendors_own_time(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    """CPU, so that a busy machine does not decide: what we do for it takes less than 20 ms."""
    voice.expect(language="en", style=STYLE)
    await vendor.until(lambda: vendor.waiting == 1)
    vendor.work.first_ms = 150
    began, began_cpu = time.perf_counter(), time.process_time()
    async with aclosing(voice.speak(TEXT, language="en", style=STYLE)) as stream:
        await anext(stream)
        assert time.perf_counter() - began >= 0.15
        assert time.process_time() - began_cpu < 0.02


async def test_a_connection_that_died_while_it_waited_is_replaced(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    voice.expect(language="en", style=STYLE)
    await vendor.until(lambda: vendor.waiting == 1)
    await vendor.drop_waiting()
    assert samples(await said(voice)).tobytes() == TONE


async def test_connections_that_wait_are_bounded_and_end_with_the_voice(vendor: ElevenLabsServer) -> None:
    voice = with_own(vendor)
    for number in range(WAITING + 3):
        voice.expect(language="en", style=VoiceStyle(voice=f"{'v' * 18}{number:02}"))
    await vendor.until(lambda: vendor.waiting == WAITING)
    await voice.close()
    await vendor.until(lambda: vendor.waiting == 0)


async def test_several_speak_at_once(vendor: ElevenLabsServer, voice: ElevenLabs) -> None:
    for pieces in await asyncio.gather(*(said(voice) for _ in range(6))):
        assert samples(pieces).tobytes() == TONE


# ------------------------------------------------------------------ voices and models


async def test_the_operators_voice_for_a_persona_is_taken(vendor: ElevenLabsServer) -> None:
    voice = with_own(vendor, voices={"vera": "OwnVoiceOfTheOperator"})
    await said(voice)
    await said(voice, style=modes.style("interview", "alex", "elevenlabs"))
    await voice.close()
    assert [seen.voice for seen in vendor.seen] == [
        "OwnVoiceOfTheOperator",
        modes.style("interview", "alex", "elevenlabs").voice,
    ]


async def test_a_name_of_another_vendors_gives_the_personas_own(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    await said(voice, style=replace(STYLE, voice="alloy"))
    assert (await vendor.request()).voice == STYLE.voice


@pytest.mark.parametrize(("asked", "given"), [(0.3, 0.7), (1.0, 1.0), (1.5, 1.2)])
async def test_the_pace_stays_within_what_the_vendor_takes(
    vendor: ElevenLabsServer, voice: ElevenLabs, asked: float, given: float
) -> None:
    await said(voice, style=replace(STYLE, rate=asked))
    assert (await vendor.request()).voice_settings["speed"] == given


async def test_start_learns_what_the_model_speaks(voice: ElevenLabs) -> None:
    assert voice.knows("ko")
    await voice.start()
    assert voice.knows("de")
    assert not voice.knows("ko")


async def test_start_names_the_models_there_are(vendor: ElevenLabsServer) -> None:
    voice = with_own(vendor, model="eleven_flash_v9")
    with pytest.raises(ProviderError, match="there is eleven_flash_v2, eleven_flash_v2_5") as raised:
        await voice.start()
    assert raised.value.code == "forbidden"
    await voice.close()


async def test_an_english_model_is_asked_for_english_only(vendor: ElevenLabsServer) -> None:
    voice = with_own(vendor, model="eleven_flash_v2")
    with pytest.raises(ProviderError) as raised:
        await said(voice, language="de")
    assert raised.value.code == "unsupported_language"
    await said(voice)
    assert "language_code" not in (await vendor.request()).query
    await voice.close()


# ------------------------------------------------------------------ failures and costs


@pytest.mark.parametrize("in_band", [False, True])
@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "auth"), (403, "forbidden"), (404, "forbidden"), (429, "rate_limited"), (500, "bad_response")],
)
async def test_errors_have_a_code_and_no_key(
    vendor: ElevenLabsServer, voice: ElevenLabs, status: int, code: str, in_band: bool
) -> None:
    vendor.work.status, vendor.refuses_in_band = status, in_band
    with pytest.raises(ProviderError) as raised:
        await said(voice)
    assert (raised.value.stage, raised.value.provider, raised.value.code) == ("tts", "elevenlabs", code)
    assert KEY not in str(raised.value)
    assert raised.value.retry_after_s == (20 if status == 429 and not in_band else None)


@pytest.mark.parametrize(("garbage", "code"), [("html", "bad_response"), ("json", "bad_response")])
async def test_what_is_no_answer_is_a_bad_response(
    vendor: ElevenLabsServer, voice: ElevenLabs, garbage: str, code: str
) -> None:
    vendor.work.garbage = garbage  # type: ignore[assignment]
    with pytest.raises(ProviderError) as raised:
        await said(voice)
    assert raised.value.code == code


async def test_a_sound_cut_off_is_unreachable(vendor: ElevenLabsServer, voice: ElevenLabs) -> None:
    vendor.work.cut_after = 2
    with pytest.raises(ProviderError) as raised:
        await said(voice)
    assert raised.value.code == "unreachable"


async def test_silence_of_the_vendor_is_a_timeout(vendor: ElevenLabsServer) -> None:
    voice = with_own(vendor, timeout_s=0.2)
    vendor.work.hang_after = 1
    with pytest.raises(ProviderError) as raised:
        await said(voice)
    assert raised.value.code == "timeout"
    await voice.close()


async def test_characters_are_told_once_a_phrase_also_when_it_is_broken_off(
    vendor: ElevenLabsServer, voice: ElevenLabs
) -> None:
    told: list[Notice] = []

    async def work() -> None:
        await said(voice)
        async with aclosing(voice.speak(TEXT, language="en", style=STYLE)) as stream:
            await anext(stream)
        vendor.work.status = 429
        voice.expect(language="en", style=STYLE)
        with pytest.raises(ProviderError):
            await said(voice, "Refused.", style=replace(STYLE, voice="AnotherVoiceOfTheirs"))

    await asyncio.create_task(work(), context=heard_by(told.append))
    each = Spent("tts", "elevenlabs", "eleven_flash_v2_5", "characters", len(TEXT), "127.0.0.1")
    assert told == [each, each]
