"""Where the words of a caption begin, in languages with spaces and without."""

from __future__ import annotations

import pytest

from pipeline.caption import Caption
from pipeline.playout import Playout, WordMark


def marked(display: str, language: str, heard: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """The marks that a caption makes of (sample, character) pairs, as (sample, text)."""
    playout = Playout(silent=True)
    caption = Caption(display, language, playout, first=True)
    for sample, offset in heard:
        caption.at(sample, offset)
    _, marks, _ = playout.read(0)
    return [(mark.at, mark.text) for mark in marks if isinstance(mark, WordMark)]


@pytest.mark.parametrize(
    ("display", "language", "words"),
    [
        ("Yes, that is it.", "en", ["Yes,", " that", " is", " it."]),
        ("ما هي API ؟", "ar", ["ما", " هي", " API", " ؟"]),
        ("用API和2024年。", "zh", ["用", "API", "和", "2024", "年。"]),
        ("「はい」とAlex", "ja", ["「", "は", "い」", "と", "Alex"]),
    ],
)
def test_words_begin_where_a_reader_sees_them_begin(display: str, language: str, words: list[str]) -> None:
    assert [text for _, text in marked(display, language, [(0, len(display))])] == words


def test_a_word_with_its_endings_is_marked_at_once() -> None:
    assert marked("食べました。", "ja", [(100, 4)]) == [(100, letter) for letter in "食べました"[:4]] + [
        (100, "た。")
    ]
