"""What a server is told to add, so that it understands a language."""

from __future__ import annotations

import pytest

from pipeline.choice import to_add
from pipeline.settings import FasterWhisperSettings, Settings, SttSettings


def settings(model: str = "") -> Settings:
    return Settings(stt=SttSettings(faster_whisper=FasterWhisperSettings(model=model)))


@pytest.mark.parametrize("language", ["es", "ar", "ko"])
def test_a_key_or_a_model_is_named_for_every_language(language: str) -> None:
    lines = to_add("stt", language, settings())
    assert any("OPENAI_API_KEY" in line for line in lines)
    assert any(line.startswith("faster_whisper: set stt.faster_whisper.model") for line in lines)
    assert not any(line.startswith("pocketsphinx") for line in lines)


def test_an_english_model_is_to_be_replaced_by_its_twin() -> None:
    lines = to_add("stt", "fr", settings("small.en"))
    assert 'faster_whisper: set stt.faster_whisper.model = "small", which knows more than English' in lines


def test_what_does_not_know_the_language_is_not_recommended() -> None:
    assert any(line.startswith("assemblyai") for line in to_add("stt", "es", settings()))
    assert not any(line.startswith("assemblyai") for line in to_add("stt", "ko", settings()))
    assert any('"universal-3-5-pro"' in line for line in to_add("stt", "nl", settings()))
