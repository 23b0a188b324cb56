"""Phrases out of tokens: early, whole, and never in the middle of a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sentences import LONGEST, LONGEST_FENCE, LONGEST_UNSPACED, Sentences


def cut(text: str, language: str = "en", step: int = 1) -> list[str]:
    sentences = Sentences(language)
    phrases: list[str] = []
    for start in range(0, len(text), step):
        phrases += sentences.push(text[start : start + step])
    return phrases + sentences.flush()


def stripped(text: str, language: str = "en") -> list[str]:
    return [phrase.strip() for phrase in cut(text, language)]


def test_first_phrase_ends_with_its_first_clause():
    assert stripped("You named the cache first, and that is what most people forget. Now tell me more.") == [
        "You named the cache first,",
        "and that is what most people forget.",
        "Now tell me more.",
    ]


@pytest.mark.parametrize(
    ("language", "phrases"),
    [
        ("de", ["Ich nutze z. B. Redis und i. d. R. Kafka. ", "Gut, dass Sie fragen."]),
        ("es", ["Usé p. ej. Redis en EE. UU. durante un año. ", "Bien, sigamos ahora."]),
        ("es", ["En la pág. 5 y el núm. 3. ", "Bien, sigamos ahora."]),
        ("fr", ["J'utilise p. ex. Redis. ", "Bien, continuons alors."]),
        ("it", ["Ho usato ad es. Redis nella n. 5. ", "Bene, andiamo avanti."]),
        ("pt", ["Usei p. ex. Redis. ", "Muito bem, vamos lá."]),
        ("nl", ["Ik gebruik bijv. Redis. ", "Goed, we gaan verder."]),
        ("ru", ["Это т. е. Redis и т. д. ", "Потом ушёл он сам."]),
        ("hi", ["डॉ. शर्मा को रु. 500 मिले। ", "ठीक है, आगे बढ़ते हैं।"]),
        ("ar", ["قال د. أحمد ذلك. ", "نعم، هذا صحيح."]),
        ("en", ["No. ", "Then I left it alone."]),
    ],
)
def test_an_abbreviation_before_a_capital_or_a_number_ends_nothing(language: str, phrases: list[str]) -> None:
    cutter = Sentences(language)
    cut = [phrase for letter in "".join(phrases) for phrase in cutter.push(letter)]
    assert [*cut, *cutter.flush()] == phrases
