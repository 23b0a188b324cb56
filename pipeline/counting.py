"""How a number goes with what it counts, where no voice knows that: forms, ordinals, numerals of its own."""

from __future__ import annotations

import re

# German: what makes the ordinal before a noun "dritten" and not "dritte".
_GERMAN_N = frozenset(
    "am im vom zum beim den dem des seit ab bis einem einen ihrem ihren unserem unseren".split()
)
_GERMAN_FIRST = "erst zweit dritt viert fünft sechst siebt acht neunt zehnt elft zwölft dreizehnt vierzehnt"
_GERMAN_TEENS = "fünfzehnt sechzehnt siebzehnt achtzehnt neunzehnt"
_GERMAN_ONES = " ein zwei drei vier fünf sechs sieben acht neun".split(" ")
_GERMAN_ORDINALS = ("", *_GERMAN_FIRST.split(), *_GERMAN_TEENS.split())

# Korean: what is counted with the numerals of its own; everything else takes the Chinese ones, as voices do.
_KOREAN_COUNTED = "명 분이 사람 시간 시 개 살 마리 잔 권 가지 달 군데 배 벌 송이 통".split()
_KOREAN_TENS = " 열 스물 서른 마흔 쉰 예순 일흔 여든 아흔".split(" ")
_KOREAN_ONES = " 한 두 세 네 다섯 여섯 일곱 여덟 아홉".split(" ")

# Chinese: before these two is 两.
_CHINESE_COUNTED = "个 位 次 天 年 周 小时 分钟 种 件 条 台 家 名 倍 本 张 岁 句 页 门 项 份".split()

NATIVE = {  # language -> numbers that are not left to the voice
    "ko": re.compile(rf"(?<![\d.,:])[1-9]\d?(?=\s?(?:{'|'.join(_KOREAN_COUNTED)}))"),
    "zh": re.compile(rf"(?<![\d.,:第])2(?=(?:{'|'.join(_CHINESE_COUNTED)}))"),
}
ORDINAL = {
    "de": re.compile(
        r"(?<![\d.,])(?:[12]?\d|3[01])\.(?=\s(?:Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober"
        r"|November|Dezember|Jahrhundert|Kapitel|Platz|Stock|Tag|Woche|Monat|Jahr|Quartal|Semester|Klasse|Runde"
        r"|Frage|Punkt|Schritt|Mal)\b)"
    ),
}


def native(number: str, language: str) -> str:
    """What NATIVE has found, as it is said before what is counted."""
    if language == "zh":
        return "两"
    tens, ones = divmod(int(number), 10)
    return "스무" if int(number) == 20 else _KOREAN_TENS[tens] + _KOREAN_ONES[ones]


def ordinal(number: int, before: str) -> str:
    """German, 1 to 31, as an adjective after the text `before`: "am" -> "dritten", "der" -> "dritte"."""
    if number < len(_GERMAN_ORDINALS):
        stem = _GERMAN_ORDINALS[number]
    else:
        tens, ones = divmod(number, 10)
        stem = f"{_GERMAN_ONES[ones]}{'und' if ones else ''}{'zwanzig' if tens == 2 else 'dreißig'}st"
    words = before.split()
    return f"{stem}en" if words and words[-1].lower() in _GERMAN_N else f"{stem}e"


def form(number: str, forms: str, language: str) -> str:
    """The form that goes with a number: of "kilometre|kilometres", in Russian of "час|часа|часов"."""
    choices = forms.split("|")
    if len(choices) == 1:
        return choices[0]
    if len(choices) == 2:
        one = number == "1" or (language == "fr" and re.match(r"[01](?:[.,]|$)", number) is not None)
        return choices[0 if one else 1]
    if re.search(r"[.,]\d{1,2}$", number):
        return choices[1]  # 3,5 часа
    last = int(re.sub(r"\D", "", number) or 0) % 100
    if last % 10 == 1 and last != 11:
        return choices[0]
    return choices[1 if 2 <= last % 10 <= 4 and not 12 <= last <= 14 else 2]
