"""Letters as mouth shapes, for voices that say when each letter is spoken."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.settings import Language
from pipeline.tts.letters import REST, phonemes
from pipeline.visemes import shapes_of

EACH_MS = 70.0
SENTENCES = {
    "en": "The quick queen likes cheese.",
    "es": "¿Qué hace usted en la calle?",
    "fr": "Où est le château, s'il vous plaît ?",
    "de": "Erzählen Sie etwas Schönes.",
    "zh": "请介绍一下你自己。",
    "hi": "मुझे अपने बारे में बताइए।",
    "ja": "おなまえを おしえて ください。",
    "ko": "자기소개를 해 주세요.",
    "pt": "Fale um pouco sobre você.",
    "ar": "حدثني عن نفسك من فضلك.",
    "ru": "Расскажите немного о себе.",
    "it": "Mi parli un po' di lei.",
    "nl": "Vertel eens iets over jezelf.",
}


def told(text: str, language: str) -> list[tuple[str, float, float]]:
    letters = [(letter, EACH_MS * number, EACH_MS) for number, letter in enumerate(text)]
    return list(phonemes(letters, language))


def mnemonics(text: str, language: str) -> list[str]:
    return [mnemonic for mnemonic, _, _ in told(text, language)]


@pytest.mark.parametrize("language", get_args(Language))
def test_the_mouth_moves_in_every_language_with_letters(language: str) -> None:
    shapes = [shape for mnemonic in mnemonics(SENTENCES[language], language) for shape in shapes_of(mnemonic)]
    if language == "zh":
        assert not shapes  # the page looks at the sound
    else:
        assert len({name for name, _, _ in shapes}) >= 5
        assert len(shapes) >= 0.5 * sum(letter.isalpha() for letter in SENTENCES[language])


@pytest.mark.parametrize("language", get_args(Language))
def test_times_are_in_order_and_inside_the_text(language: str) -> None:
    text = SENTENCES[language]
    at_ms = 0.0
    for _, begins_ms, lasts_ms in told(text, language):
        assert begins_ms >= at_ms
        at_ms = begins_ms + lasts_ms
    assert at_ms <= EACH_MS * len(text)


def test_a_spelling_of_several_letters_is_one_sound_with_all_their_time() -> None:
    assert told("sch", "de") == [("S", 0.0, 3 * EACH_MS)]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("make", "en", ["m", "a", "k"]),
        ("me", "en", ["m", "E"]),
        ("cent", "fr", ["s", "E", "n", "t"]),
        ("juego", "es", ["x", "u", "E", "g", "O"]),
        ("шум", "ru", ["S", "u", "m"]),
        ("さむ", "ja", ["sa", "mu"]),
        ("밥", "ko", ["bab"]),
    ],
)
def test_letters_sound_as_in_their_language(text: str, language: str, expected: list[str]) -> None:
    assert mnemonics(text, language) == expected


def test_a_pause_closes_the_mouth_and_a_short_gap_does_not() -> None:
    letters = [("a", 0.0, 80.0), (" ", 80.0, 30.0), ("b", 110.0, 50.0), (",", 160.0, 200.0)]
    assert [each for each, _, _ in phonemes(letters, "it")] == ["a", "b", REST]
