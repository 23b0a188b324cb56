"""Fixed phrases on disk: paid for once, found again at once, and nobody's own words among them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import modes
from pipeline.choice import choose, plugin
from pipeline.coach.questions import bank
from pipeline.errors import ProviderError
from pipeline.fixed_phrases import is_fixed
from pipeline.languages import say
from pipeline.notices import Notice, heard_by
from pipeline.phrase_cache import PhraseFiles, Remembering, kept
from pipeline.providers import Message, Note, ReplyOptions, Speech, Token, VoiceStyle
from pipeline.sentences import Sentences
from pipeline.settings import OpenAITtsSettings, Secrets, Settings, TtsCacheSettings, TtsSettings
from pipeline.speakable import speakable
from pipeline.tts.elevenlabs import ElevenLabs
from pipeline.tts.espeak import Espeak
from tests.vendors.elevenlabs_server import ElevenLabsServer

STYLE = modes.style("interview", "vera", "elevenlabs")
QUESTION = "Tell me about a project you are proud of."
PHRASE = say("nudge", "en")[0]


@pytest.fixture
async def vendor() -> AsyncIterator[ElevenLabsServer]:
    async with ElevenLabsServer() as server:
        yield server


def with_cache(settings: Settings, folder: Path, mib: int = 10) -> Settings:
    cache = TtsCacheSettings(folder=str(folder), mib=mib)
    return settings.model_copy(update={"tts": settings.tts.model_copy(update={"cache": cache})})


def voice_of(vendor: ElevenLabsServer, folder: Path, mib: int = 10) -> Remembering:
    settings = with_cache(vendor.settings(), folder, mib)
    return remembering(settings)


def remembering(settings: Settings) -> Remembering:
    voice = ElevenLabs(settings)
    return Remembering(voice, settings, voice.charges)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def said(
    voice: Remembering, text: str = PHRASE, style: VoiceStyle = STYLE, language: str = "en"
) -> list[Speech]:
    async with aclosing(voice.speak(text, language=language, style=style)) as stream:
        return [piece async for piece in stream]


def plain(pieces: list[Speech]) -> list[tuple[bytes, int, object, object]]:
    return [(piece.samples.tobytes(), piece.rate, piece.words, piece.phonemes) for piece in pieces]


async def test_a_fixed_phrase_is_asked_for_once_also_after_a_new_start(
    vendor: ElevenLabsServer, tmp_path: Path
) -> None:
    told: list[Notice] = []
    heard: list[list[Speech]] = []

    async def work() -> None:
        for _ in range(3):
            voice = voice_of(vendor, tmp_path)
            heard.append(await said(voice))
            await voice.close()

    await asyncio.create_task(work(), context=heard_by(told.append))
    assert len(vendor.seen) == 1
    assert len(told) == 1, "what is on disk costs nothing"
    assert plain(heard[0]) == plain(heard[1]) == plain(heard[2])
    assert any(piece.words for piece in heard[2])
    assert any(piece.phonemes for piece in heard[2])


async def test_what_a_model_says_is_never_kept(vendor: ElevenLabsServer, tmp_path: Path) -> None:
    voice = voice_of(vendor, tmp_path)
    for _ in range(2):
        await said(voice, "So, Maria, you left the bank in March.")
        await said(voice, f"{PHRASE} So, Maria, you left the bank in March.")
    await voice.close()
    assert len(vendor.seen) == 4
    assert not files(tmp_path)


async def test_each_way_of_saying_it_is_kept_by_itself(vendor: ElevenLabsServer, tmp_path: Path) -> None:
    voice = voice_of(vendor, tmp_path)
    for style in (STYLE, replace(STYLE, rate=1.1), modes.style("interview", "alex", "elevenlabs")):
        await said(voice, style=style)
    await voice.close()
    settings = with_cache(vendor.settings(), tmp_path)
    other = settings.tts.elevenlabs.model_copy(update={"stability": 0.9})
    settings = settings.model_copy(update={"tts": settings.tts.model_copy(update={"elevenlabs": other})})
    voice = remembering(settings)
    await said(voice)
    await voice.close()
    assert len(vendor.seen) == 4


async def test_a_phrase_that_was_broken_off_or_failed_is_not_kept(
    vendor: ElevenLabsServer, tmp_path: Path
) -> None:
    voice = voice_of(vendor, tmp_path)
    async with aclosing(voice.speak(PHRASE, language="en", style=STYLE)) as stream:
        await anext(stream)
    vendor.work.cut_after = 2
    with pytest.raises(ProviderError):
        await said(voice)
    await voice.close()
    assert not files(tmp_path)


@pytest.mark.parametrize("damage", ["short", "changed", "empty", "head"])
async def test_a_damaged_file_is_as_good_as_none(
    vendor: ElevenLabsServer, tmp_path: Path, damage: str
) -> None:
    voice = voice_of(vendor, tmp_path)
    first = await said(voice)
    await voice.close()
    (path,) = files(tmp_path)
    data = path.read_bytes()
    path.write_bytes(
        {
            "short": data[:-100],
            "changed": data[:-1] + b"\x7f",
            "empty": b"",
            "head": data.replace(b'"rate": 24000', b'"rate": 44100'),
        }[damage]
    )
    voice = voice_of(vendor, tmp_path)
    assert plain(await said(voice)) == plain(first)
    await voice.close()
    assert len(vendor.seen) == 2
    assert path.read_bytes() == data, "and it is written anew"


async def test_those_not_used_for_the_longest_go_when_there_are_too_many(
    vendor: ElevenLabsServer, tmp_path: Path
) -> None:
    vendor.sound = b"\x00\x10\x00\xf0" * 60_000  # 0.23 MiB
    voice = voice_of(vendor, tmp_path, mib=1)
    texts = [speakable(question.ask, "en").text for question in [*bank().questions.values()][:7]]
    await said(voice, texts[0])
    for text in texts[1:]:
        await said(voice, text)
        await voice.close()  # all is written
        age(tmp_path)
        voice = voice_of(vendor, tmp_path, mib=1)
        await said(voice, texts[0])
    await voice.close()
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 1024 * 1024
    asked = [seen.text.strip() for seen in vendor.seen]
    assert asked.count(texts[0]) == 1, "it was used all the time"


def age(folder: Path) -> None:
    """Files become older, as they do in real life between two phrases."""
    for path in files(folder):
        used = path.stat().st_mtime - 100
        os.utime(path, (used, used))


async def test_a_folder_that_cannot_be_written_is_said_once_and_costs_no_phrase(
    vendor: ElevenLabsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    voice = voice_of(vendor, tmp_path / "file" / "below")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert await said(voice)
        await voice.close()
    assert len([record for record in caplog.records if "tts.cache.folder" in record.getMessage()]) == 1


async def test_a_folder_that_can_only_be_read_gives_what_is_there(
    vendor: ElevenLabsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is the user's own for such things where none is named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = vendor.settings()
    own = settings.tts.model_copy(update={"cache": TtsCacheSettings()})
    settings = settings.model_copy(update={"tts": own})
    voice = remembering(settings)
    await said(voice)
    await voice.close()
    (path,) = files(tmp_path / "viva" / "voices")

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    voice = remembering(settings)
    await said(voice)
    await voice.close()
    assert len(vendor.seen) == 1
    assert path.suffix == ".phrase"


async def test_the_first_sound_from_disk_comes_within_5_ms(vendor: ElevenLabsServer, tmp_path: Path) -> None:
    """The best of many: a machine that is busy with other things makes single ones late."""
    vendor.sound = b"\x00\x10\x00\xf0" * 48_000  # 4 s
    voice = voice_of(vendor, tmp_path)
    await said(voice)
    took_s: list[float] = []
    for _ in range(30):
        began = time.perf_counter()
        async with aclosing(voice.speak(PHRASE, language="en", style=STYLE)) as stream:
            await anext(stream)
            took_s.append(time.perf_counter() - began)
    await voice.close()
    assert min(took_s) < 0.005


def test_only_voices_that_cost_something_are_remembered(tmp_path: Path) -> None:
    key = Secrets(openai_api_key="sk-any")
    hosted = with_cache(Settings(tts=TtsSettings(provider="openai"), secrets=key), tmp_path)
    assert isinstance(choose("tts", hosted).provider, Remembering)
    own = OpenAITtsSettings(base_url="http://127.0.0.1:8880/v1")
    here = with_cache(Settings(tts=TtsSettings(provider="openai", openai=own)), tmp_path)
    assert not isinstance(choose("tts", here).provider, Remembering)
    assert not isinstance(kept(Espeak(), hosted), Remembering)
    assert not isinstance(choose("tts", with_cache(hosted, tmp_path, mib=0)).provider, Remembering)


# ------------------------------------------------------------------ which phrases


def test_questions_greetings_and_what_stands_between_them_are_fixed() -> None:
    for question in bank().questions.values():
        assert is_fixed(speakable(question.ask, "en").text, "en"), question.ask
    assert is_fixed("Hi, I'm Vera.", "en")
    assert is_fixed("Next question. " + speakable(next(iter(bank().questions.values())).ask, "en").text, "en")


@pytest.mark.parametrize("language", ["en", "de", "ja", "ar", "zh"])
def test_what_the_cutter_makes_of_fixed_texts_is_fixed(language: str) -> None:
    lines = say("nudge", language)
    cutter = Sentences(language)
    phrases = [*cutter.push(" ".join(lines)), *cutter.flush()]
    assert all(is_fixed(speakable(phrase, language).text, language) for phrase in phrases)


def test_advice_is_fixed_with_what_leads_up_to_it() -> None:
    tip = next(iter(bank().questions.values())).tip
    assert is_fixed(speakable(f"One tip: {tip}", "en").text, "en")
    assert not is_fixed("One tip: Maria, talk less.", "en")


@pytest.mark.parametrize(("mode", "language"), [("chat", "en"), ("language", "de"), ("interview", "fr")])
async def test_most_of_what_the_scripted_mind_says_is_fixed(mode: str, language: str) -> None:
    """What it says with a person's own words in it is not."""
    mind = plugin("llm", "scripted").create(Settings())
    messages = [Message("system", "")]
    spoken: list[str] = []
    for _ in range(8):
        options = ReplyOptions(language, mode, persona_name="Vera")
        pieces = [piece async for piece in mind.reply(messages, options)]
        text = "".join(piece.text for piece in pieces if isinstance(piece, Token))
        note = next((piece.data for piece in pieces if isinstance(piece, Note)), None)
        messages += [Message("assistant", text, note), Message("user", "I lived in Berlin for three years.")]
        cutter = Sentences(language)
        spoken += [speakable(phrase, language).text for phrase in (*cutter.push(text), *cutter.flush())]
    fixed = [phrase for phrase in spoken if is_fixed(phrase, language)]
    assert len(fixed) >= 0.8 * len(spoken)


@pytest.mark.parametrize("text", ["", " ", "Maria.", "Hi, I'm Maria.", "You said kubernetes."])
def test_nothing_else_is(text: str) -> None:
    assert not is_fixed(text, "en")


def test_samples_are_as_they_were(tmp_path: Path) -> None:
    phrases = PhraseFiles(TtsCacheSettings(folder=str(tmp_path)))
    sound = np.arange(-500, 500, dtype=np.int16)
    phrases.put("key", [Speech(sound[:400], 22_050), Speech(sound[400:], 22_050)])
    assert np.array_equal(np.concatenate([piece.samples for piece in phrases.get("key")]), sound)
    assert phrases.get("other") == ()
