"""Japanese as espeak-ng can read it: in kana, for it takes a kanji for a "Chinese letter".

The words and their readings come from Sudachi's dictionary, which is loaded with the first phrase (50 ms,
90 MB). What a dictionary does not say is here and in the two files beside this one: particles are spoken
otherwise than written, long vowels are drawn out, numbers and Latin words have readings of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

from sudachipy import Dictionary, SplitMode

from pipeline.tts.japanese_latin import latin_reading
from pipeline.tts.japanese_numbers import numbers_in

# Of several readings the one that people say; the dictionary's are those of a written text.
_EVERYDAY = {
    "私": "ワタシ", "今日": "キョー", "明日": "アシタ", "昨日": "キノー", "何時": "ナンジ", "日本": "ニホン",
    "一日": "イチニチ", "一昨日": "オトトイ", "明後日": "アサッテ",
}  # fmt: skip
_PARTICLES = {"は": "ワ", "へ": "エ", "を": "オ"}
_SPOKEN_WA = ("感動詞", "接続詞", "副詞")  # こんにちは, あるいは: what was once a particle is spoken as one
_ATTACHED = ("助詞", "助動詞", "接尾辞")  # belong to the word before them
_LEADING = ("接頭辞", "数詞")  # and these to the one after them
_INFLECTED = ("動詞", "形容詞")  # here う and い may be endings: 思う, 招い
_LET_US = "意志推量形"  # and here う is a long o: 行こう
_WHAT_ALONE = ("を", "が", "も", "か", "に")  # after 何, which is なに before them and なん elsewhere
_PAUSES = frozenset("。、！？…,.!?;:，．；：")  # what espeak-ng takes as such; it spells other signs
_LONG = {
    "ウ": "オコソトノホモヨロヲゴゾドボポォョウクスツヌフムユルグズヅブプゥュ",
    "イ": "エケセテネヘメレゲゼデベペェ",
}  # sounds after which those are no vowel of their own
_GLIDES = str.maketrans({"ャ": "ヤ", "ュ": "ユ", "ョ": "ヨ"})

_one_at_a_time = Lock()  # the tokenizer is not made for several threads


@dataclass(frozen=True, slots=True)
class Reading:
    """A phrase as it is spoken, and where its sounds stand in the text.

    kana: katakana, a space between words.
    starts, ends: for each character of `kana` where the word that it belongs to begins and ends in the text.
    """

    kana: str
    starts: Sequence[int]
    ends: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Piece:
    said: str
    start: int
    end: int
    joined: bool  # to the piece before it


def read(text: str) -> Reading:
    """Computes (0.1 ms a phrase, 50 ms the first time), so it belongs off the event loop; from any thread."""
    kana: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for piece in _pieces(text):
        said = piece.said if piece.joined or not kana or kana[-1] == " " else f" {piece.said}"
        kana += said
        starts += [piece.start] * len(said)
        ends += [piece.end] * len(said)
    return Reading("".join(kana), starts, ends)


def _pieces(text: str) -> list[_Piece]:
    morphemes = _morphemes(text)
    boundaries = {morpheme.begin() for morpheme in morphemes} | {len(text)}
    numbers = {number.start: number for number in numbers_in(text)}
    pieces: list[_Piece] = []
    read_to = 0
    leads = False  # the piece before
    for index, morpheme in enumerate(morphemes):
        start, end, kind = morpheme.begin(), morpheme.end(), morpheme.part_of_speech()
        if start < read_to or start == end:
            continue
        if (number := numbers.get(start)) is not None:
            whole = number.end in boundaries
            end, said = (number.end, number.said) if whole else (number.digits_end, number.digits_said)
        else:
            following = morphemes[index + 1].surface() if index + 1 < len(morphemes) else ""
            said = _said(morpheme, following)
        read_to = end
        if said:
            joined = leads or kind[0] in _ATTACHED or said in _PAUSES
            pieces.append(_Piece(said, start, end, joined))
            leads = number is None and bool({*kind[:2]} & {*_LEADING})
    return pieces


def _said(morpheme: Any, following: str) -> str:
    """One word in katakana, or the pause that a sign stands for; "" for other signs."""
    surface, kind = morpheme.surface(), morpheme.part_of_speech()
    if surface in _PAUSES:
        return "" if surface.isascii() and following[:1].isalnum() else str(surface)
    if not any(letter.isalnum() for letter in surface):
        return ""
    if surface in _EVERYDAY:
        return _EVERYDAY[surface]
    if surface == "何" and following in _WHAT_ALONE:
        return "ナニ"
    if kind[0] == "助詞" and surface in _PARTICLES:
        return _PARTICLES[surface]
    reading = str(morpheme.reading_form())
    if surface.isascii():
        return latin_reading(surface, reading if _is_kana(reading) else None)
    if not _is_kana(reading):
        return ""
    if _is_kana(surface):
        return _readable(surface)
    if kind[0] in _SPOKEN_WA and surface.endswith("は") and len(surface) > 2:
        reading = reading[:-1] + "ワ"
    return _readable(_drawn_out(reading, inflected=kind[0] in _INFLECTED and kind[5] != _LET_US))


def _drawn_out(reading: str, *, inflected: bool) -> str:
    """With the sign for a long vowel where a vowel is written that only makes the one before it longer."""
    if inflected:
        return reading
    return reading[:1] + "".join(
        "ー" if before in _LONG.get(letter, "") else letter for before, letter in pairwise(reading)
    )


def _readable(reading: str) -> str:
    """espeak-ng says リョ as "rya-o"; リヨ is nearest to it of what it says right."""
    return "".join(
        letter.translate(_GLIDES) if before == "リ" else letter
        for before, letter in zip(f" {reading}", reading, strict=False)
    )


def _is_kana(text: str) -> bool:
    return all("ァ" <= letter <= "ヺ" or letter == "ー" for letter in text)


def _morphemes(text: str) -> list[Any]:
    with _one_at_a_time:
        return list(_tokenizer().tokenize(text, SplitMode.C))


@cache
def _tokenizer() -> Any:
    return Dictionary(dict="core").tokenizer()
