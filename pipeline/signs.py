"""Signs, abbreviations, dates, amounts and code words as words: speakable.toml, and how it is applied."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pipeline.counting import NATIVE, ORDINAL, form, native, ordinal
from pipeline.languages import UNSPACED

_UNGLUED = ("zh", "ja", "ko")  # a unit may be followed by a letter of the language
_SPACES = " \u00a0\u202f"  # between groups of three digits

_EMOJI = (
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u25a0-\u25ff\u2190-\u2193\u2195-\u21ff"
    "\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)
_URL = r"(?:https?://|www\.)[^\s<>()\[\]{}\"'«»“”、。，]*[^\s<>()\[\]{}\"'«»“”、。，.,;:!?]"
_EMAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_NUMBER = rf"\d+(?:[.,{_SPACES}]\d{{3}})*(?:[.,]\d+)?"
_MILLIONS = r"(?:\ ?(?:k|M|bn|million|billion|trillion|thousand|hundred)\b)?"
_ROMAN = {"I": 1, "V": 5, "X": 10}
_ENGLISH_ORDINAL = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}
_LARGE = {"k": " thousand", "M": " million", "bn": " billion"}


@dataclass(frozen=True, slots=True)
class Signs:
    """How one language reads what no voice reads well."""

    language: str
    before: str  # between a word and the reading after it: a space where the language has spaces
    after: str  # likewise; none in Korean, whose particles stand at the word
    pattern: re.Pattern[str]  # all that is replaced; `read` says by what
    abbreviations: tuple[str, ...]  # with a full stop, as written
    numbered: frozenset[str]  # those of them that are such only before a number
    _table: Mapping[str, Any]

    def read(self, match: re.Match[str]) -> str:
        """The words for a match of `pattern`."""
        found, kind, table = match.group(), match.lastgroup, self._table
        if kind == "url":
            return self._address(re.sub(r"^(https?://)?(www\.)?", "", found).split("/")[0])
        if kind == "email":
            return self._address(found).replace("@", f" {table['at']} ")
        if kind == "date":
            return self._date(found, match.string[: match.start()])
        if kind == "clock":
            hours, minutes = (int(part) for part in re.findall(r"\d+", found)[:2])
            return str(table["clock"][0 if minutes else 1]).format(h=hours, m=minutes)
        if kind == "ordinal":
            return ordinal(int(found[:-1]), match.string[: match.start()])
        if kind == "native":
            return native(found, self.language)
        if kind == "money":
            sign = next(sign for sign in table["currency"] if sign in found)
            amount = found.replace(sign, "").strip()
            if self.language == "en":
                amount = re.sub(r"(?<=\d) ?(k|M|bn)$", lambda large: _LARGE[large.group(1)], amount)
            return self._counted(amount, table["currency"][sign])
        if kind == "measure":
            number, unit = re.fullmatch(rf"({_NUMBER})\s?(.+)", found).groups()  # type: ignore[union-attr]
            return self._counted(number, table["units"][unit])
        if kind == "grouped":
            return _ungrouped(found)
        if kind == "short":
            return str(table["short"][found])
        if kind == "sign":
            return f" {table['signs'][found.strip()]} "
        if kind == "per":
            return f" per {table['per'][found.strip(' /')]}"
        if kind == "parts":
            return self._parts(found)
        if kind == "decade":
            if found == "2000s":
                return "2 thousands"
            return f"{found[:-3]} {table['decades'][found[-3:-1]]}".strip()
        if kind == "year":
            return f"{found[:2]} {found[2:]}"
        if kind == "street":
            return str(table["street"])
        if kind == "roman":
            return str(_roman(found))
        if kind == "king":
            number = _roman(found)
            return f"the {number}{_ENGLISH_ORDINAL.get(number, 'th')}"
        if kind == "slash":
            return str(table["slash"])
        if kind == "range":
            return f" {table['to']} "
        if kind == "tag":
            return found[1:].replace("_", " ").strip()
        return ""  # emoji and what else is only seen

    def _counted(self, number: str, forms: str) -> str:
        unit = form(number, forms, self.language)
        number = _ungrouped(number)
        return unit.format(n=number) if "{n}" in unit else f"{number}{self.before}{unit}"

    def _parts(self, found: str) -> str:
        """ "3/4", "1 1/2"."""
        *wholes, part = found.split()
        above, below = part.split("/")
        name = form(above, self._table["parts"][below], self.language)
        return " and ".join([*wholes, f"{above} {name}"])

    def _address(self, text: str) -> str:
        dotted = re.sub(r"[_+:=?&]", " ", text.split("?")[0]).replace(".", f" {self._table['dot']} ")
        return dotted.replace("-", " ")

    def _date(self, found: str, before: str) -> str:
        year, month, day = (int(part) for part in found.split("-"))
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return found.replace("-", " ")
        table = self._table
        if self.language == "de":
            said = ordinal(day, before)
        else:
            said = str(table["first"]) if day == 1 and "first" in table else str(day)
        return str(table["date"]).format(year=year, month=table["months"][month - 1], day=said)


def _roman(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


@cache
def signs_of(language: str) -> Signs:
    """An unknown language is read by the English table. The file is read once (10 ms)."""
    tables = _tables()
    language = language if language in tables else "en"
    table = dict(tables[language])
    words = {key: table[key] for key in ("plus", "sharp", "dot")}
    code = {written: said.format(**words) for written, said in tables["code"].items()}
    table["short"] = {**code, **table["short"], **table["numbered"]}
    before, after = "" if language in UNSPACED else " ", "" if language in _UNGLUED else " "
    abbreviations = tuple(word for word in table["short"] if "." in word[1:])
    pattern, numbered = _pattern(language, table), frozenset(table["numbered"])
    return Signs(language, before, after, pattern, abbreviations, numbered, table)


@cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("pipeline").joinpath("speakable.toml").read_text("utf-8"))


def _pattern(language: str, table: Mapping[str, Any]) -> re.Pattern[str]:
    signs, currency = _alternatives(table["signs"]), _alternatives(table["currency"])
    short = "|".join(
        _standing_alone(word, numbered=word in table["numbered"])
        for word in sorted(table["short"], key=len, reverse=True)
    )
    apart = r"(?![^\W\d_])" if language not in _UNGLUED else ""
    oclock = rf"(?:\s?{table['oclock']}(?!\w))?" if "oclock" in table else ""
    clock = rf"(?<![\d:.,])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:]){oclock}" if "clock" in table else ""
    # not "I": that is a person
    numeral = r"(?!I\b)(?:X{0,2}(?:IX|IV|V?I{1,3}|VI{0,3})|X{1,2})(?!\w)"
    parts = {
        "url": _URL,
        "email": _EMAIL,
        "date": r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)",
        "clock": clock,
        "street": r"(?<=[a-z] )St\.(?! [A-Z])" if "street" in table else "",
        "short": short,
        "decade": r"(?<![\d.,])(?:1[5-9]|20)\d0s(?!\w)|(?<=\bthe )[1-9]0s(?!\w)"
        if "decades" in table
        else "",
        "parts": rf"(?<![\d/.,])(?:\d+ )?\d{{1,2}}/(?:{_alternatives(table['parts'])})(?![\w/])"
        if "parts" in table
        else "",
        "per": rf"(?<=\w)\s?/\s?(?:{_alternatives(table['per'])})(?!\w)" if "per" in table else "",
        "king": _behind(table["kings"], numeral) if "kings" in table else "",
        "roman": _behind(table["roman"], numeral) if "roman" in table else "",
        "slash": r"(?<=[A-Za-z])/(?=\w)" if "slash" in table else "",
        "money": rf"(?:{currency})\s?{_NUMBER}{_MILLIONS}|{_NUMBER}\s?(?:{currency})",
        "measure": rf"(?<![A-Za-z\d.]){_NUMBER}\s?(?:{_alternatives(table['units'])}){apart}",
        "year": r"(?<![\d.,$€£-])19[1-9]\d(?!\w|[.,:/-]\d|%)" if "decades" in table else "",
        "ordinal": ORDINAL[language].pattern if language in ORDINAL else "",
        "native": NATIVE[language].pattern if language in NATIVE else "",
        "grouped": rf"(?<![\d.,])[1-9]\d{{0,2}}(?:[{_SPACES}]\d{{3}})+(?![\d])",
        "range": r"(?<=\d)\s?[–-]\s?(?=\d{1,3}(?![\d-]))",
        "sign": rf"\s*(?:{signs})(?=\s*[\w$€£.,!?)]|\s*$)\s*",
        "tag": r"[#@][^\W\d]\w*",
        "emoji": _EMOJI,
        "mark": r"[*_#|\\<>{}^~=@\[\]`]+",
    }
    return re.compile("|".join(f"(?P<{kind}>{part})" for kind, part in parts.items() if part))


def _ungrouped(number: str) -> str:
    """Without the spaces between groups of three digits, at which most voices stop."""
    return re.sub(rf"(?<=\d)[{_SPACES}](?=\d{{3}})", "", number)


def _behind(words: Sequence[str], numeral: str) -> str:
    """Right behind one of those words, small or capital. No more than that can be looked for behind."""
    written = {form for word in words for form in (word, word.title())}
    return "|".join(rf"(?<=\b{re.escape(word)} ){numeral}" for word in sorted(written))


def _alternatives(table: Mapping[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(table, key=len, reverse=True))


def _standing_alone(word: str, *, numbered: bool) -> str:
    before = r"(?<!\w)" if word[0].isalnum() else ""
    after = r"(?=\s)" if word[-1] == "/" else r"(?!\w)"
    if numbered:
        after = r"(?=\s?\d)"  # "No." is a sentence, too
    return before + re.escape(word) + after
