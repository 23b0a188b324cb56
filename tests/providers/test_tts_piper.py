"""Piper's voices, with tiny models of random weights: loading, streaming, marks, stopping are real."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline import modes
from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.providers import Speech, VoiceStyle
from pipeline.settings import PiperSettings, Settings, TtsSettings
from pipeline.tts.ipa import begins_of_words, estimated
from pipeline.tts.piper import STRETCHED, Piper, leveled, scale_of
from pipeline.tts.piper_voices import read
from pipeline.visemes import shapes_of
from tests.providers.tiny_piper import HOP, RATE, make

TEXT = "Hello there, my friend. I have 23 cats."
STYLE = VoiceStyle()
SLOW = 200_000  # rounds: some minutes on one core


def settings(folder: Path, **own: object) -> Settings:
    given = PiperSettings.model_validate({"folder": str(folder), "threads": 1, **own})
    return Settings(tts=TtsSettings(piper=given))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("piper")
    make(path, "en_US-amy-medium", seed=2)
    make(path, "en_US-lessac-medium")
    make(path, "en_US-libritts-high", speakers=3)
    make(path, "en_US-slow-high", work=SLOW)
    make(path, "de_DE-thorsten-medium", seed=3)
    return path


@pytest.fixture
async def voice(folder: Path) -> AsyncIterator[Piper]:
    """It keeps one voice only, so that each change of voices is a loading."""
    created = Piper(settings(folder, in_memory=1))
    await created.start()
    yield created
    await created.close()


def describe(model: Path, **otherwise: object) -> None:
    """Changes what stands beside a model."""
    path = Path(f"{model}.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **otherwise}))


async def said(
    voice: Piper, text: str = TEXT, language: str = "en", style: VoiceStyle = STYLE
) -> list[Speech]:
    async with aclosing(voice.speak(text, language=language, style=style)) as stream:
        return [piece async for piece in stream]


def samples(pieces: list[Speech]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces])


# ------------------------------------------------------------------ what is there


def test_it_says_what_it_lacks(tmp_path: Path, folder: Path) -> None:
    module = plugin("tts", "piper")
    assert "tts.piper.folder" in module.missing(Settings())
    assert "no file ends with .onnx" in module.missing(settings(tmp_path))
    (tmp_path / "en_US-x-low.onnx").write_bytes(b"")
    assert "en_US-x-low.onnx: its .onnx.json is missing" in module.missing(settings(tmp_path))
    assert module.missing(settings(folder)) is None


def test_a_voice_that_needs_more_than_its_files_is_left_out(tmp_path: Path) -> None:
    path = make(tmp_path, "zh_CN-chaowen-medium")
    describe(path, phoneme_type="pinyin")
    found = read(str(tmp_path))
    assert not found.voices
    assert "pinyin" in found.unfit[0]


@pytest.mark.parametrize(
    ("language", "asked", "name", "speaker"),
    [
        ("en", "", "en_US-amy-medium", None),
        ("en", "ryan lessac amy", "en_US-lessac-medium", None),
        ("en", "en_US-libritts-high#speaker2", "en_US-libritts-high", 2),
        ("en", "libritts#1", "en_US-libritts-high", 1),
        ("en", "libritts#7", "en_US-libritts-high", None),
        ("en", "alloy", "en_US-amy-medium", None),
        ("de", "en_US-lessac-medium", "de_DE-thorsten-medium", None),
    ],
)
def test_a_voice_is_chosen_by_language_and_name(
    folder: Path, language: str, asked: str, name: str, speaker: int | None
) -> None:
    voice, number = read(str(folder)).choose(language, asked)
    assert (voice.name, number) == (name, speaker)


def test_it_knows_the_languages_of_its_files(folder: Path) -> None:
    voice = Piper(settings(folder))
    assert [language for language in ("en", "de", "fr") if voice.knows(language)] == ["en", "de"]


# ------------------------------------------------------------------ speaking


async def test_sentences_come_one_by_one_with_all_their_marks(voice: Piper) -> None:
    pieces = await said(voice)
    words = [word for piece in pieces for word in piece.words]
    phonemes = [each for piece in pieces for each in piece.phonemes]
    assert [TEXT[word.start : word.end] for word in words] == TEXT.split()
    assert sum(bool(piece.words) for piece in pieces) == 2, "a sentence's words come with its sound"
    assert len({name for each in phonemes for name, _, _ in shapes_of(each.mnemonic)}) > 5
    assert all(each.length % HOP == 0 for each in phonemes), "the model's own lengths, no estimate"
    assert {piece.rate for piece in pieces} == {RATE}
    came = 0
    for piece in pieces:
        assert all(mark.at >= came for mark in (*piece.words, *piece.phonemes))
        came += len(piece.samples)
    for marks in (words, phonemes):
        assert all(a.at <= b.at for a, b in pairwise(marks))
        assert marks[-1].at < came


async def test_pace_and_persona_and_language_are_heard(voice: Piper) -> None:
    plain = samples(await said(voice, style=modes.style("interview", "vera", "piper")))
    fast = samples(await said(voice, style=VoiceStyle(rate=2.0)))
    other = samples(await said(voice, style=VoiceStyle(voice="amy")))
    lessac = samples(await said(voice, style=VoiceStyle(voice="lessac", rate=0.97)))
    german = samples(await said(voice, "Guten Tag, mein Freund.", "de"))
    assert np.array_equal(plain, lessac)
    assert not np.array_equal(plain[: len(other)], other[: len(plain)])
    assert len(fast) < 0.7 * len(plain)
    assert len(german)
    assert await said(voice, style=VoiceStyle(voice="libritts#1"))
    for pieces in await asyncio.gather(*(said(voice, style=VoiceStyle(voice="amy")) for _ in range(6))):
        assert np.array_equal(samples(pieces), other)
    with pytest.raises(ProviderError) as raised:
        await said(voice, language="fr")
    assert raised.value.code == "unsupported_language"


async def test_what_is_said_ends_in_silence_and_markup_is_not_obeyed(voice: Piper) -> None:
    def quiet_ms(sound: np.ndarray) -> float:
        loud = np.flatnonzero(np.abs(sound.astype(int)) > 104)
        return 1000 * (len(sound) - loud[-1]) / RATE

    assert quiet_ms(samples(await said(voice, "Yes."))) == pytest.approx(220, abs=3)
    assert quiet_ms(samples(await said(voice, "Yes"))) < 100
    assert await said(voice, " \n") == []
    assert len([word for piece in await said(voice, "Say [[hɛloʊ]] now.") for word in piece.words]) == 3


# ------------------------------------------------------------------ stopping and failing


async def test_a_phrase_that_is_closed_stops_its_model_at_once(voice: Piper) -> None:
    """The CPU time of the worker stands still, although the model was in the middle of a long run."""
    await said(voice, "Yes.")
    speaking = asyncio.create_task(said(voice, style=VoiceStyle(voice="slow")))
    worker = next(
        child for child in psutil.Process().children() if "piper_worker" in " ".join(child.cmdline())
    )
    began = worker.cpu_times().user
    await asyncio.to_thread(_wait_until, lambda: worker.cpu_times().user > began + 0.3)
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    assert await said(voice, "Yes.")
    await asyncio.to_thread(_wait_until, lambda: _stands_still(worker))


def _wait_until(true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < 30
        time.sleep(0.02)


def _stands_still(process: psutil.Process) -> bool:
    before = process.cpu_times().user
    time.sleep(0.15)
    return process.cpu_times().user - before < 0.03


async def test_a_model_that_cannot_be_loaded_is_named_when_it_starts(tmp_path: Path) -> None:
    path = make(tmp_path, "en_US-broken-low")
    path.write_bytes(b"this is no model")
    voice = Piper(settings(tmp_path))
    with pytest.raises(ProviderError, match=r"en_US-broken-low\.onnx cannot be loaded") as raised:
        await voice.start()
    assert (raised.value.stage, raised.value.provider, raised.value.code) == ("tts", "piper", "crashed")
    await voice.close()


async def test_a_model_that_fails_while_it_speaks_is_named_and_costs_one_phrase(tmp_path: Path) -> None:
    path = make(tmp_path, "en_US-unfit-low", speakers=2)
    describe(path, num_speakers=1)  # so it is not told who speaks
    make(tmp_path, "en_US-well-low")
    voice = Piper(settings(tmp_path))
    await voice.start()
    with pytest.raises(ProviderError, match=r"en_US-unfit-low\.onnx failed \(") as raised:
        await said(voice, style=VoiceStyle(voice="unfit"))
    assert "friend" not in str(raised.value)
    assert await said(voice, style=VoiceStyle(voice="well"))
    await voice.close()


# ------------------------------------------------------------------ where words begin


def test_as_many_words_as_the_phonemes_have_are_the_same_ones() -> None:
    text = "Yes, my dear."
    words = [(0, 4), (5, 7), (8, 13)]
    assert begins_of_words(text, words, [list("jˈɛs, maɪ dˈɪɹ.")]) == [0, 6, 10]


def test_a_number_that_is_several_words_moves_only_its_own_sentence() -> None:
    text = "I have 23. Good."
    words = [(0, 1), (2, 6), (7, 10), (11, 16)]
    sentences = [list("aɪ hæv twɛnti θɹiː."), list("ɡʊd.")]
    begins = begins_of_words(text, words, sentences)
    assert begins[0] == 0
    assert begins[3] == len(sentences[0])
    assert begins == sorted(begins)


def test_lengths_that_nobody_tells_are_estimated_to_the_sample() -> None:
    phonemes = list("hˈɛ, oʊ.")
    lengths = estimated(phonemes, 10_001)
    assert len(lengths) == len(phonemes) + 2
    assert sum(lengths) == 10_001
    assert lengths[phonemes.index("ˈ") + 1] == 0


def test_a_sign_that_is_no_word_may_be_spoken() -> None:
    assert begins_of_words("🎉", [], [list("pˈɑːɹɾi")]) == []


def test_a_sentence_without_sound_leaves_the_words_of_the_next_theirs() -> None:
    assert begins_of_words("_. Yes.", [(0, 1), (3, 6)], [[], list("jˈɛs.")]) == [0, 0]


def test_what_is_said_of_a_number_moves_the_words_behind_it_by_as_much() -> None:
    text = "It cost 1,250,000 dollars then."
    words = [match.span() for match in re.finditer(r"\S*\w\S*", text)]
    phonemes = list("ɪt kˈɔst wˈʌn mˈɪliən tˈuː hˈʌndɹɪd fˈɪfti θˈaʊzənd dˈɑːlɚz ðˈɛn.")
    begins = begins_of_words(text, words, [phonemes])
    heard = ["".join(phonemes[at : at + 3]) for at in begins]
    assert heard == ["ɪt ", "kˈɔ", "wˈʌ", "dˈɑ", "ðˈɛ"]


def test_a_number_moves_only_its_own_clause() -> None:
    text = "It was 4.5 times as fast, and in the 19 nineties, that was so."
    words = [match.span() for match in re.finditer(r"\S*\w\S*", text)]
    phonemes = list("ɪt wʌz fˈɔːɹ pɔɪnt fˈaɪv tˈaɪmz æz fˈæst, ænd ɪnðə nˈaɪntiːn nˈaɪntiz, ðæt wʌz sˈoʊ.")
    begins = begins_of_words(text, words, [phonemes])
    heard = ["".join(phonemes[at : at + 3]) for at in begins]
    assert heard[:4] == ["ɪt ", "wʌz", "fˈɔ", "tˈa"]
    assert heard[6] == "ænd"
    assert heard[-3:] == ["ðæt", "wʌz", "sˈo"]


def test_a_full_stop_inside_a_word_ends_no_sentence() -> None:
    text = "It was 4.5 times. Yes."
    words = [match.span() for match in re.finditer(r"\S*\w\S*", text)]
    sentences = [list("ɪt wʌz fˈɔːɹ pɔɪnt fˈaɪv tˈaɪmz."), list("jˈɛs.")]
    assert begins_of_words(text, words, sentences)[-1] == len(sentences[0])


def test_a_sentence_is_as_loud_as_the_others_and_none_is_distorted() -> None:
    time_s = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 200 * time_s) * (time_s < 0.7)
    pointed = tone**15  # loud for moments
    for sound in (tone, 0.1 * tone, pointed):
        even = leveled((32767 * sound).astype(np.int16), RATE).astype(float) / 32768
        voiced = even[: int(0.7 * RATE)]
        assert 20 * np.log10(np.sqrt(np.mean(voiced**2))) == pytest.approx(-20, abs=0.5)
        assert 20 * np.log10(np.abs(even).max()) <= -0.9
    assert not leveled(np.zeros(RATE, np.int16), RATE).any()


def test_the_pace_of_a_voice_allows_for_what_does_not_stretch() -> None:
    def length(rate: float) -> float:
        """Of a sentence of a trained voice, whose phonemes are rounded up to whole frames."""
        return (1 - STRETCHED) + STRETCHED * scale_of(rate)

    assert [length(rate) for rate in (0.75, 1.0, 1.3)] == pytest.approx([1 / 0.75, 1.0, 1 / 1.3])
    assert scale_of(10.0) > 0
