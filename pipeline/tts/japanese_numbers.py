"""How Japanese numbers are read: the number and what is counted change each other's sounds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_DIGITS = ("ゼロ", "イチ", "ニ", "サン", "ヨン", "ゴ", "ロク", "ナナ", "ハチ", "キュー")
_HUNDREDS = {1: "ヒャク", 3: "サンビャク", 6: "ロッピャク", 8: "ハッピャク"}
_THOUSANDS = {1: "セン", 3: "サンゼン", 8: "ハッセン"}
_MYRIADS = ("", "マン", "オク", "チョー")
_LONGEST = 4 * len(_MYRIADS)  # digits; what is longer is read digit by digit

_K = {"イチ": "イッ", "ロク": "ロッ", "ハチ": "ハッ", "ジュー": "ジュッ", "ヒャク": "ヒャッ"}
_S = {"イチ": "イッ", "ハチ": "ハッ", "ジュー": "ジュッ"}
_FOUR = {"ヨン": "ヨ"}
_HOUR = {"ヨン": "ヨ", "ナナ": "シチ", "キュー": "ク"}

# What is counted -> its reading and how the number before it ends. Longer ones first.
_COUNTED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "週間": ("シューカン", _S),
    "時間": ("ジカン", _HOUR),
    "年間": ("ネンカン", _FOUR),
    "分間": ("フンカン", _K),
    "日間": ("ニチカン", {}),
    "か月": ("カゲツ", _K),
    "ヶ月": ("カゲツ", _K),
    "カ月": ("カゲツ", _K),
    "か国": ("カコク", _K),
    "人": ("ニン", _FOUR),
    "月": ("ガツ", {"ヨン": "シ", "ナナ": "シチ", "キュー": "ク"}),
    "日": ("ニチ", {}),
    "時": ("ジ", _HOUR),
    "分": ("フン", _K),
    "秒": ("ビョー", {}),
    "年": ("ネン", _FOUR),
    "円": ("エン", _FOUR),
    "歳": ("サイ", _S),
    "才": ("サイ", _S),
    "回": ("カイ", _K),
    "個": ("コ", _K),
    "件": ("ケン", _K),
    "本": ("ホン", _K),
    "冊": ("サツ", _S),
    "社": ("シャ", _S),
    "点": ("テン", _S),
    "つ": ("ツ", {}),
}
_HARDENED = {"フン": "プン", "フンカン": "プンカン", "ホン": "ポン"}  # after a shortened number
_AFTER_N = {"フン": "プン", "フンカン": "プンカン", "ホン": "ボン"}  # after サン, and フン after ヨン
_DAYS = {
    2: "フツカ", 3: "ミッカ", 4: "ヨッカ", 5: "イツカ", 6: "ムイカ", 7: "ナノカ", 8: "ヨーカ", 9: "ココノカ",
    10: "トーカ", 14: "ジューヨッカ", 20: "ハツカ", 24: "ニジューヨッカ",
}  # fmt: skip
_WHOLE: Mapping[str, Mapping[int, str]] = {  # the number and what is counted in one word
    "人": {1: "ヒトリ", 2: "フタリ"},
    "日": _DAYS,
    "日間": {day: f"{word}カン" for day, word in _DAYS.items()},
    "歳": {20: "ハタチ"},
    "才": {20: "ハタチ"},
    "つ": dict(
        enumerate(
            ("ヒトツ", "フタツ", "ミッツ", "ヨッツ", "イツツ", "ムッツ", "ナナツ", "ヤッツ", "ココノツ"), 1
        )
    ),
}

_ASCII = str.maketrans("０１２３４５６７８９．，", "0123456789.,")
_NUMBER = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(?P<decimals>\d+))?"
    rf"(?P<counted>{'|'.join(_COUNTED)})?"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text: its digits alone, and with the word for what is counted, where that is known."""

    start: int  # characters into the text
    digits_end: int
    digits_said: str
    end: int
    said: str


def numbers_in(text: str) -> Iterator[Number]:
    """All of them, in their order."""
    dated = -1
    for match in _NUMBER.finditer(text.translate(_ASCII)):
        number, decimals, counted = match.group("number"), match.group("decimals"), match.group("counted")
        digits = cardinal(number.replace(",", ""))
        if decimals:
            digits += "テン" + "".join(_DIGITS[int(digit)] for digit in decimals)
        said = digits
        if counted == "日" and number == "1" and match.start() == dated:
            said = "ツイタチ"  # the first of a month; elsewhere a day
        elif counted:
            said = _counting(said, None if decimals else int(number.replace(",", "")), counted)
        dated = match.end() if counted == "月" else -1
        digits_end = match.end("decimals" if decimals else "number")
        yield Number(match.start(), digits_end, digits, match.end(), said)


def cardinal(digits: str) -> str:
    """A whole number, "1250" -> "センニヒャクゴジュー"."""
    if len(digits) > _LONGEST or (digits[0] == "0" and len(digits) > 1):
        return "".join(_DIGITS[int(digit)] for digit in digits)
    value = int(digits)
    if value == 0:
        return _DIGITS[0]
    parts: list[str] = []
    for myriad in _MYRIADS:
        value, group = divmod(value, 10_000)
        if group:
            said = _group(group)
            if myriad and group == 1000:
                said = "イッセン"
            if myriad == "チョー":
                for tail, short in _S.items():
                    said = _ending(said, tail, short)
            parts.append(said + myriad)
    return "".join(reversed(parts))


def _group(value: int) -> str:
    """1 to 9999."""
    thousands, hundreds, tens, ones = (value // place % 10 for place in (1000, 100, 10, 1))
    return (
        (_THOUSANDS.get(thousands) or f"{_DIGITS[thousands]}セン" if thousands else "")
        + (_HUNDREDS.get(hundreds) or f"{_DIGITS[hundreds]}ヒャク" if hundreds else "")
        + (("" if tens == 1 else _DIGITS[tens]) + "ジュー" if tens else "")
        + (_DIGITS[ones] if ones else "")
    )


def _counting(said: str, value: int | None, counted: str) -> str:
    if value is not None and (whole := _WHOLE.get(counted, {}).get(value)):
        return whole
    reading, tails = _COUNTED[counted]
    for tail, short in tails.items():
        if said.endswith(tail):
            return _ending(said, tail, short) + (
                _HARDENED.get(reading, reading) if short.endswith("ッ") else reading
            )
    if said.endswith("サン") or (said.endswith("ヨン") and reading.startswith("フン")):
        reading = _AFTER_N.get(reading, reading)
    return said + reading


def _ending(said: str, tail: str, short: str) -> str:
    return said[: -len(tail)] + short if said.endswith(tail) else said
