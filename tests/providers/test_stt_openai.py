"""OpenAI's transcriptions under the real SDK, from a server on this machine."""

from __future__ import annotations

import io
import statistics
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import MIC_RATE
from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer
from pipeline.settings import OpenAISttSettings, Secrets, Settings, SttSettings
from tests.providers.ears import KEY, SAID, Piece, heard, kinds, listened, microphone, sentence, settings_for
from tests.providers.spoken import answered, breaths_ms, sentences, sound, words_in
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
    said = speech(SAID)
    final = (await heard(hosted, [*chunks(said), Pause()]))[-1]
    assert final.text == vendor.heard
    assert [(word.start_ms, word.end_ms) for word in final.words[:2]] == [(0, 300), (300, 600)]
    seen = await vendor.request("transcriptions")
    assert (seen.body["model"], seen.body["language"]) == ("whisper-1", "en")
    with wave.open(io.BytesIO(seen.file)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
    assert np.array_equal(samples_of(seen.file)[: len(said)], said)


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


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_each_second_is_sent_about_once(vendor: OpenAIServer, settings: Settings, model: str) -> None:
    words = sentences(20)
    vendor.heard = lambda file: words_in(words, samples_of(file))
    own = OpenAISttSettings(base_url=vendor.base_url, model=model)
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    finals = await answered(ears, sound(words), breaths_ms(words))
    await ears.close()
    assert finals[-1].text == " ".join(word.text for word in words)
    assert len(finals) == len(breaths_ms(words)) + 1
    sent_s = [len(samples_of(seen.file)) / MIC_RATE for seen in vendor.requests("transcriptions")]
    spoken_s = words[-1].end / 1000
    assert statistics.median(sent_s) < 0.2 * spoken_s
    assert sum(sent_s) < (2.5 if model == "whisper-1" else 1.6) * spoken_s


def samples_of(file: bytes) -> np.ndarray:
    with wave.open(io.BytesIO(file)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16)


async def test_stops_belong_to_the_word_before_them(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.heard = "We moved it. Why? It's faster!"
    final = (await heard(hosted, [*sentence(), Pause()]))[-1]
    assert final.text == vendor.heard
    assert [word.text for word in final.words] == vendor.heard.split()


async def test_hints_and_what_was_said_before_are_the_prompt(
    vendor: OpenAIServer, hosted: Recognizer
) -> None:
    async with aclosing(
        hosted.transcribe(microphone([*sentence(), Pause()]), language="en", hints=("Kafka", "B-tree"))
    ) as stream:  # type: ignore[type-var]
        assert [each.kind async for each in stream] == ["final"]
    assert (await vendor.request("transcriptions")).body["prompt"] == "Kafka, B-tree"


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


async def test_too_little_sound_is_not_sent(vendor: OpenAIServer, hosted: Recognizer) -> None:
    assert [each.text for each in await heard(hosted, [*chunks(silence(60)), Pause()])] == [""]
    assert vendor.requests("transcriptions") == []


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
