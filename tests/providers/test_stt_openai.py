"""OpenAI's transcriptions under the real SDK, from a server on this machine."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer, plugin
from pipeline.settings import OpenAISttSettings, Secrets, Settings, SttSettings
from tests.providers.ears import KEY, SAID, Piece, heard, kinds, listened, sentence, settings_for
from tests.sounds import chunks, silence, speech
from tests.vendors.openai_server import OpenAIServer


@pytest.fixture
def settings(vendor: OpenAIServer, tmp_path: Path) -> Settings:
    return settings_for(vendor, tmp_path)


@pytest.fixture
async def hosted(settings: Settings) -> AsyncIterator[Recognizer]:
    recognizer: Recognizer = plugin("stt", "openai").create(settings)
    yield recognizer
    await recognizer.close()


async def test_gets_a_wav_and_gives_word_times(vendor: OpenAIServer, hosted: Recognizer) -> None:
    sound = speech(SAID)
    final = (await heard(hosted, [*chunks(sound), Pause()]))[-1]
    assert final.text == vendor.heard
    assert [(word.start_ms, word.end_ms) for word in final.words[:2]] == [(0, 300), (300, 600)]
    seen = await vendor.request("transcriptions")
    assert (seen.body["model"], seen.body["language"]) == ("whisper-1", "en")
    with wave.open(io.BytesIO(seen.file)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        sent = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert np.array_equal(sent[: len(sound)], sound)


async def test_streams_the_models_that_can(vendor: OpenAIServer, settings: Settings) -> None:
    own = OpenAISttSettings(base_url=vendor.base_url, model="gpt-4o-mini-transcribe")
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    transcripts = await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert [each.text for each in transcripts] == [
        "i",
        "i worked",
        "i worked on",
        "i worked on a",
        *[vendor.heard] * 2,
    ]
    assert transcripts[-1].kind == "final"


async def test_a_newer_pause_replaces_a_request(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.transcriptions.hang_after = 0

    async def two_pauses() -> AsyncIterator[Piece]:
        for piece in [*sentence(), Pause()]:
            yield piece
        await vendor.request("transcriptions")
        vendor.transcriptions.hang_after = None
        for piece in [*sentence(), Pause()]:
            yield piece

    transcripts = await listened(hosted, two_pauses())
    assert kinds(transcripts) == ["final", "final"]
    first = await vendor.request("transcriptions")
    await first.ended.wait()
    assert first.outcome == "closed_by_client"


async def test_closing_half_way_closes_the_request(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.transcriptions.hang_after = 0
    reading = asyncio.create_task(heard(hosted, [*sentence(), Pause()]))
    seen = await vendor.request("transcriptions")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await seen.ended.wait()
    assert seen.outcome == "closed_by_client"


async def test_too_little_sound_is_not_sent(vendor: OpenAIServer, hosted: Recognizer) -> None:
    assert [each.text for each in await heard(hosted, [*chunks(silence(60)), Pause()])] == [""]
    assert vendor.requests("transcriptions") == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "auth"),
        (403, "forbidden"),
        (404, "forbidden"),
        (429, "rate_limited"),
        (500, "bad_response"),
    ],
)
async def test_errors_have_a_code_and_no_key(
    vendor: OpenAIServer, hosted: Recognizer, status: int, code: str
) -> None:
    vendor.transcriptions.status = status
    with pytest.raises(ProviderError) as raised:
        await heard(hosted, [*sentence(), Pause()])
    assert (raised.value.stage, raised.value.code) == ("stt", code)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("garbage", ["html", "json"])
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_garbage_is_a_bad_response(
    vendor: OpenAIServer, settings: Settings, garbage: str, model: str
) -> None:
    vendor.transcriptions.garbage = garbage  # type: ignore[assignment]
    own = OpenAISttSettings(base_url=vendor.base_url, model=model)
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "bad_response"


async def test_a_cut_stream_is_unreachable(vendor: OpenAIServer, settings: Settings) -> None:
    vendor.transcriptions.cut_after = 2
    own = OpenAISttSettings(base_url=vendor.base_url, model="gpt-4o-transcribe")
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "unreachable"


async def test_silence_of_the_server_is_a_timeout(vendor: OpenAIServer, settings: Settings) -> None:
    vendor.transcriptions.hang_after = 0
    own = OpenAISttSettings(base_url=vendor.base_url, timeout_s=0.2)
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "timeout"


async def test_start_names_what_there_is(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.model_names = ["gpt-4o-mini", "gpt-4o-transcribe"]
    with pytest.raises(ProviderError, match="has no model whisper-1") as raised:
        await hosted.start()
    assert raised.value.code == "forbidden"
    assert "there is gpt-4o-transcribe (stt.openai.model)" in raised.value.message


def test_needs_a_key_or_a_server_of_ones_own() -> None:
    module = plugin("stt", "openai")
    assert "OPENAI_API_KEY" in module.missing(Settings())
    assert module.missing(Settings(secrets=Secrets(openai_api_key=KEY))) is None
    own = SttSettings(openai=OpenAISttSettings(base_url="http://127.0.0.1:9/v1"))
    assert module.missing(Settings(stt=own)) is None
