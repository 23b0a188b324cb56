"""Letters as the phonemes they mostly stand for, for voices that tell when each letter is spoken.

For the mouth only: it needs ten shapes, not a pronunciation. Mnemonics are espeak-ng's, as in `VoicePhoneme`.
Chinese, which has no letters, gets none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

# Spellings of more than one letter, and letters that are not as in most languages. "": silent.
SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "th": "T", "sh": "S", "ch": "tS", "ph": "f", "wh": "w", "ck": "k", "qu": "kw", "ng": "N", "gh": "",
        "oo": "u", "ee": "i", "ea": "i", "ou": "aU", "ow": "aU", "ai": "eI", "ay": "eI", "j": "dZ", "u": "V",
    },
    "es": {"ch": "tS", "qu": "k", "ll": "j", "gue": "ge", "gui": "gi", "j": "x", "h": "", "v": "b", "z": "T"},
    "fr": {
        "ch": "S", "ou": "u", "eau": "o", "au": "o", "eu": "Y", "oi": "wa", "ai": "E", "qu": "k", "gn": "nj",
        "ph": "f", "j": "Z", "h": "", "u": "y",
    },
    "de": {
        "sch": "S", "ch": "x", "ck": "k", "ei": "aI", "ie": "i", "eu": "OI", "au": "aU", "qu": "kv",
        "w": "v", "v": "f", "z": "ts", "ph": "f",
    },
    "pt": {"ch": "S", "lh": "l", "nh": "nj", "qu": "k", "ou": "o", "j": "Z", "h": ""},
    "it": {
        "gn": "nj", "gl": "l", "chi": "ki", "che": "ke", "sci": "Si", "sce": "SE", "ci": "tSi", "ce": "tSE",
        "h": "", "z": "ts",
    },
    "nl": {
        "ch": "x", "oe": "u", "ij": "eI", "ui": "aU", "eu": "Y", "ie": "i", "ou": "aU", "g": "x", "w": "v",
    },
}  # fmt: skip
LATIN: Mapping[str, str] = {
    "c": "k", "q": "k", "x": "ks", "y": "i", "o": "O", "e": "E", "ß": "s", "æ": "a", "œ": "Y", "ø": "Y",
    "ü": "y", "ö": "Y", "ä": "E", "ç": "s", "ñ": "nj", "ı": "I",
    **{letter: letter for letter in "abdfghijklmnprstuvwz"},
}  # fmt: skip
CYRILLIC: Mapping[str, str] = dict(
    zip(
        "абвгдеёжзийклмнопрстуфхцчшщыэюяіїєґ",
        "a b v g d jE jo Z z i j k l m n O p r s t u f x ts tS S S I E ju ja i ji jE g".split(),
        strict=True,
    )
)
ARABIC: Mapping[str, str] = dict(
    zip(
        "ابتثجحخدذرزسشصضطظغفقكلمنهويةىأإآؤئ\u064b\u064c\u064d\u064e\u064f\u0650",
        "A b t T dZ h x d D r z s S s d t D g f k k l m n h w j a a a i A u i an un in a u i".split(),
        strict=True,
    )
)
SYLLABIC = ("HIRAGANA", "KATAKANA", "HANGUL", "DEVANAGARI")  # whose names in Unicode end with their sound
LAST_E_SILENT = {"en", "fr"}  # of a word with another vowel
VOWELS = frozenset("aAeEiIoOuUyYV")
REST = "_:"
REST_MS = 60  # a gap of at least that closes the mouth

Timed = tuple[str, float, float]  # a letter, when it begins, how long it lasts: ms


def phonemes(letters: Sequence[Timed], language: str) -> Iterator[Timed]:
    """The same times with mnemonics for letters; a spelling of several letters has all their time."""
    if language == "zh":
        return  # not even its pauses: the page looks at the sound where it is told nothing
    at = 0
    has_vowel = False  # this word, so far
    while at < len(letters):
        ahead = [letter.lower() for letter, _, _ in letters[at : at + 3]]
        begins_ms = letters[at][1]
        count, mnemonic = _next(ahead, language, has_vowel)
        has_vowel = mnemonic != REST and (has_vowel or not VOWELS.isdisjoint(mnemonic))
        _, last_ms, length_ms = letters[at + count - 1]
        at += count
        lasts_ms = last_ms + length_ms - begins_ms
        if mnemonic and (mnemonic != REST or lasts_ms >= REST_MS):
            yield mnemonic, begins_ms, lasts_ms


def _next(ahead: Sequence[str], language: str, has_vowel: bool) -> tuple[int, str]:
    """How many letters belong together from here, and what they sound like; "": nothing."""
    spellings = SPELLINGS.get(language, {})
    for count in range(len(ahead), 0, -1):
        if (sound := spellings.get("".join(ahead[:count]))) is not None:
            return count, sound
    letter, following = ahead[0], "".join(ahead[1:2])
    if unicodedata.category(letter[0])[0] not in "LMN":
        return 1, REST
    if letter == "e" and language in LAST_E_SILENT and has_vowel and not following.isalpha():
        return 1, ""
    if letter == "c" and following and following in "eiy":
        return 1, "s"
    return 1, _sound(letter)


def _sound(letter: str) -> str:
    for table in (LATIN, CYRILLIC, ARABIC):
        if letter in table:
            return table[letter]
    name = unicodedata.name(letter[0], "").split()
    if name and name[0] in SYLLABIC:
        return "".join(LATIN.get(each, "") for each in name[-1].lower())
    return LATIN.get(unicodedata.normalize("NFD", letter)[0], "")
