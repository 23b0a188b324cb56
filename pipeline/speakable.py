"""Makes a phrase speakable: no Markdown, no emoji, signs and abbreviations as words.

Three texts belong together. The phrase as the mind wrote it; the display text, which is the phrase without
its Markdown and goes into captions and history; the spoken text, which is what the voice is given. The voice
marks its words in the spoken text, so every place in that has a place in the display text.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Spoken:
    """A phrase for the voice.

    text: spoken; empty if there is nothing to say (an emoji, a block of code).
    display: for the eye, its white space made single and kept at both ends, so that phrases can be joined.
    """

    text: str
    display: str
    _places: tuple[int, ...] = field(repr=False)  # for each character of `text` its offset in `display`

    def shown(self, spoken_offset: int) -> int:
        """The offset in `display` that belongs to one in `text`. Monotone; never inside what was replaced:
        an offset there gives the beginning of the sign or abbreviation, so that half heard is not heard."""
        if spoken_offset < 0:
            return 0
        if spoken_offset >= len(self._places):
            return len(self.display)
        return self._places[spoken_offset]


def speakable(text: str, language: str) -> Spoken:
    """Raises nothing: an unknown language is read by the English table."""
    words = _words(language)
    display: list[str] = []
    shown = 0  # characters of `display` so far
    spoken: list[str] = []
    places: list[int] = []

    def say(piece: str, at: int, *, step: int) -> None:
        if spoken and spoken[-1] == " " and piece[:1] in tuple(",.!?;:"):
            spoken.pop()
            places.pop()
        for offset, char in enumerate(piece):
            if char.isspace():
                if not spoken or spoken[-1] == " ":
                    continue
                char = " "
            spoken.append(char)
            places.append(at + offset * step)

    for piece, silent in _without_markdown(text):
        if silent:
            display.append(piece)
            shown += len(piece)
            continue
        if piece[:1] == " " and shown and display[-1][-1:] == " ":
            piece = piece[1:]
        end = 0
        for match in words.pattern.finditer(piece):
            say(piece[end : match.start()], shown + end, step=1)
            reading = words.read(match)
            before = words.gap if match.start() > 0 and piece[match.start() - 1].isalnum() else ""
            after = words.gap if match.end() < len(piece) and piece[match.end()].isalnum() else ""
            if reading or (before and after):
                say(f"{before}{reading}{after}", shown + match.start(), step=0)
            end = match.end()
        say(piece[end:], shown + end, step=1)
        display.append(piece)
        shown += len(piece)
    return _trimmed("".join(spoken), "".join(display), places)


def _trimmed(spoken: str, display: str, places: list[int]) -> Spoken:
    if not any(char.isalnum() for char in spoken):
        return Spoken("", display, ())
    end = len(spoken.rstrip())
    return Spoken(spoken[:end], display, tuple(places[:end]))


# ------------------------------------------------------------------ Markdown

_MARKDOWN = re.compile(
    r"""
    (?P<fence> ```[^\n`]*\n?(?P<code>.*?)(?:```|\Z) )
  | (?P<image> !\[(?P<alt>[^\]]*)\]\([^)]*\) )
  | (?P<link> \[(?P<label>[^\]]+)\]\([^)\s]*(?:\s"[^"]*")?\) )
  | (?P<html> </?[a-zA-Z][^<>\n]{0,80}> )
  | (?P<rule> ^[ \t]*(?:-{3,}|\*{3,}|_{3,}|[|:\-\s]{5,})[ \t]*$ )
  | (?P<head> ^[ \t]*(?:\#{1,6}[ \t]+|>[ \t]*|[-*+•][ \t]+(?:\[[ xX]\][ \t]+)?) )
  | (?P<tick> `+ )
  | (?P<strong> \*{2,3} | __ | ~~ )
  | (?P<stress> (?<!\w)[*_](?=\S) | (?<=\S)[*_](?!\w) )
  | (?P<pipe> [ \t]*\|[ \t]* )
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


def _without_markdown(text: str) -> Iterator[tuple[str, bool]]:
    """Pieces of the display text in order, each with whether the voice is silent about it."""
    end = 0
    for match in _MARKDOWN.finditer(text):
        yield from _visible(text[end : match.start()])
        end = match.end()
        kind = match.lastgroup
        if match.group("fence") is not None:
            code = match.group("code").strip("\n")
            if code:
                yield code, True
        elif match.group("link") is not None:
            yield from _visible(match.group("label"))
        elif match.group("image") is not None:
            yield from _visible(match.group("alt"))
        elif kind == "pipe":
            yield ", " if match.start() and end < len(text) and text[end] not in "\n|" else " ", False
    yield from _visible(text[end:])


def _visible(text: str) -> Iterator[tuple[str, bool]]:
    text = re.sub(r"\s+", " ", text)
    if text:
        yield text, False


# ------------------------------------------------------------------ signs and words

_UNSPACED = ("zh", "ja")
_BEFORE_NUMBERS = ("No.", "Nr.", "n°")
_UNGLUED = ("zh", "ja", "ko")  # a unit may be followed by a letter of the language

_EMOJI = (
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u25a0-\u25ff\u2190-\u2193\u2195-\u21ff"
    "\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)
_URL = r"(?:https?://|www\.)[^\s<>()\[\]{}\"'«»“”、。，]*[^\s<>()\[\]{}\"'«»“”、。，.,;:!?]"
_EMAIL = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_NUMBER = r"\d+(?:[.,  ]\d{3})*(?:[.,]\d+)?"
_MILLIONS = r"(?:\ ?(?:k|M|bn|million|billion|trillion|thousand|hundred)\b)?"
_MONTHS = re.findall(
    r"\w+", "January February March April May June July August September October November December"
)


@dataclass(frozen=True, slots=True)
class _Words:
    """How one language reads what no voice reads well."""

    language: str
    gap: str  # between words: a space where the language has spaces
    at: str
    dot: str
    to: str
    signs: dict[str, str]
    currency: dict[str, str]
    units: dict[str, str]
    short: dict[str, str]
    pattern: re.Pattern[str]

    def read(self, match: re.Match[str]) -> str:
        found = match.group()
        kind = match.lastgroup
        if kind == "url":
            return self._address(re.sub(r"^(https?://)?(www\.)?", "", found).split("/")[0])
        if kind == "email":
            return self._address(found).replace("@", f" {self.at} ")
        if kind == "date":
            return self._date(found)
        if kind == "money":
            sign = next(sign for sign in self.currency if sign in found)
            amount = found.replace(sign, "").strip()
            if self.language == "en":
                amount = re.sub(r"(?<=\d) ?(k|M|bn)$", _large, amount)
            return self._counted(amount, self.currency[sign])
        if kind == "measure":
            number, unit = re.fullmatch(rf"({_NUMBER})\s?(.+)", found).groups()  # type: ignore[union-attr]
            return self._counted(number, self.units[unit])
        if kind == "short":
            return self.short[found]
        if kind == "sign":
            return f" {self.signs[found.strip()]} "
        if kind == "range":
            return f" {self.to} "
        if kind == "tag":
            return found[1:].replace("_", " ").strip()
        return ""  # emoji and what else is only seen

    def _counted(self, number: str, unit: str) -> str:
        if self.language == "en" and number == "1":
            first, _, rest = unit.partition(" ")
            unit = f"{first.removesuffix('s')} {rest}".rstrip()
        return f"{number}{self.gap}{unit}"

    def _address(self, text: str) -> str:
        return re.sub(r"[_+:=?&]", " ", text.split("?")[0]).replace(".", f" {self.dot} ").replace("-", " ")

    def _date(self, found: str) -> str:
        year, month, day = (int(part) for part in found.split("-"))
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return found.replace("-", " ")
        if self.language == "en":
            return f"{_MONTHS[month - 1]} {day}, {year}"
        if self.language in ("zh", "ja"):
            return f"{year}年{month}月{day}日"
        if self.language == "ko":
            return f"{year}년 {month}월 {day}일"
        return f"{day}.{month}.{year}"


def _large(match: re.Match[str]) -> str:
    return {"k": " thousand", "M": " million", "bn": " billion"}[match.group(1)]


@cache
def _words(language: str) -> _Words:
    tables = tomllib.loads(Path(__file__).with_name("speakable.toml").read_text("utf-8"))
    table = tables.get(language) or tables["en"]
    signs = _alternatives(table["signs"])
    currency = _alternatives(table["currency"])
    short = "|".join(_standing_alone(word) for word in sorted(table["short"], key=len, reverse=True))
    apart = r"(?![^\W\d_])" if language not in _UNGLUED else ""
    pattern = "|".join(
        part
        for part in (
            rf"(?P<url>{_URL})",
            rf"(?P<email>{_EMAIL})",
            r"(?P<date>(?<!\d)\d{4}-\d{2}-\d{2}(?!\d))",
            rf"(?P<short>{short})" if short else "",
            rf"(?P<money>(?:{currency})\s?{_NUMBER}{_MILLIONS}|{_NUMBER}\s?(?:{currency}))",
            rf"(?P<measure>(?<![A-Za-z\d.]){_NUMBER}\s?(?:{_alternatives(table['units'])}){apart})",
            r"(?P<range>(?<=\d)\s?[–-]\s?(?=\d{1,3}(?![\d-])))",
            rf"(?P<sign>\s*(?:{signs})(?=\s*[\w$€£.,!?)]|\s*$)\s*)",
            r"(?P<tag>[#@][^\W\d]\w*)",
            rf"(?P<emoji>{_EMOJI})",
            r"(?P<mark>[*_#|\\<>{}^~=@\[\]`]+)",
        )
        if part
    )
    return _Words(
        language=language if language in tables else "en",
        gap="" if language in _UNSPACED else " ",
        at=table["at"],
        dot=table["dot"],
        to=table["to"],
        signs=table["signs"],
        currency=table["currency"],
        units=table["units"],
        short=table["short"],
        pattern=re.compile(pattern),
    )


def _alternatives(table: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(table, key=len, reverse=True))


def _standing_alone(word: str) -> str:
    before = r"(?<!\w)" if word[0].isalnum() else ""
    after = r"(?=\s)" if word[-1] == "/" else r"(?!\w)"
    if word in _BEFORE_NUMBERS:
        after = r"(?=\s?\d)"  # "No." is a sentence, too
    return before + re.escape(word) + after
