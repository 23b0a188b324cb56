"""Cuts a stream of tokens into phrases that a voice can speak, the first one early.

The first phrase may end with a clause, or before a word that joins the next one to it, because a person waits
for it; the later ones end with sentences, because a voice intonates whole sentences better, and while one is
spoken there is time for the next.
Nothing is cut inside a number, an address, an abbreviation or a block of code.
"""

from __future__ import annotations

import re

from pipeline.languages import UNSPACED
from pipeline.signs import signs_of

FIRST_CLAUSE_WORDS = 4  # a clause of fewer words is spoken faster than the next phrase can be made
FIRST_JOINED_WORDS = 6  # without a mark: then it ends before a word that joins
LATER_WORDS = 3  # a shorter sentence goes together with the next
LONGEST = 240  # characters of a phrase; a voice needs about 15 s for it
LONGEST_UNSPACED = 90  # the same for scripts without spaces
LONGEST_FENCE = 4000  # characters of a block of code, which is not spoken at all

_CASED = {"en", "es", "fr", "de", "pt", "ru", "it", "nl"}
_FULL_WIDTH = "。！？｡"  # end a sentence with or without a space after them
_STOPS = ".!?…؟۔।॥" + _FULL_WIDTH
_CLAUSES = ",;:—–،؛，、；："
_FULL_WIDTH_CLAUSES = "，、；："
_CLOSERS = "\"'”’»)]}』」）】》*_`"
_FENCE = "```"

# Before these a speaker may take a breath. None that is as often something else ("that", "que", "wie") or
# stands between nouns ("and", "or"). German and Russian have a comma there.
_JOINING = {
    language: frozenset(words.split())
    for language, words in {
        "en": "but because which who when where while if although unless whether",
        "es": "pero porque cuando donde mientras si aunque",
        "fr": "mais parce qui quand où pendant car si lorsque",
        "hi": "लेकिन क्योंकि जो जब अगर",
        "ko": "그리고 그래서 하지만 그런데",
        "pt": "mas porque quando onde enquanto se embora",
        "ar": "ولكن لكن لأن عندما حيث إذا",
        "it": "ma perché quando dove mentre se",
        "nl": "maar omdat wanneer waar terwijl als want",
    }.items()
}

# A title is followed by a capital that begins no sentence, and so may be the abbreviations of speakable.toml:
# German's nouns all begin with one. A full stop before a small letter or inside a word ends nothing anyway.
_TITLES = frozenset(
    re.findall(
        r"\w+",
        """
        mr mrs ms dr prof sr jr st vs gen col capt lt rev hon mt ft
        sra srta ud uds dra lic ing
        mme mlle mm me
        hr fr frl dipl bzw ca evtl ggf usw sog nr str abs
        dhr mevr mw drs ir
        sig dott avv arch
        exmo exma
        г гг им ул тов проф акад
        """,  # en, es, fr, de, nl, it, pt, ru
    )
)
_MAY_END = frozenset(  # of those abbreviations: a capital after them begins the next sentence
    "etc.|usw.|ecc.|enz.|a.m.|p.m.|руб.|др.|т. д.|т.д.|т. п.|т.п.|EE. UU.|EE.UU.|a. C.|d. C.".split("|")
)
_NUMBERED = frozenset(re.findall(r"\w+", "no nr nº art fig vol p pp pág pag cap ch sec стр рис"))  # "No. 5"

# A word after one that is no little word ("and when", "is where"), and before another.
_WORD_BETWEEN = re.compile(r"(?<=\w{4}\s)[^\W\d_]+(?=\s+\w)")
_WORD_BEFORE = re.compile(r"([^\W_]+(?:\.[^\W_]+)*)$")


class Sentences:
    """One reply's text. Phrases joined together are the text again (but for white space at its end)."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._signs = signs_of(language)
        self._buffer = ""
        self._first = True

    def push(self, text: str) -> list[str]:
        """Takes the next token; returns the phrases that are complete now, with the space after them."""
        self._buffer += text
        phrases: list[str] = []
        while (end := self._cut()) is not None:
            phrase, self._buffer = self._buffer[:end], self._buffer[end:]
            phrases.append(phrase)
            self._first = False
        return phrases

    def flush(self) -> list[str]:
        """The stream has ended: returns what is left."""
        rest, self._buffer = self._buffer, ""
        return [rest] if rest.strip() else []

    def _cut(self) -> int | None:
        """Where the next phrase ends in the buffer, or None if that is not known yet."""
        text = self._buffer
        fence = text.find(_FENCE)
        if fence >= 0:
            if text[:fence].strip():  # what is spoken goes before the code and without it
                return self._cut_spoken(text[:fence]) or fence
            closing = text.find(_FENCE, fence + len(_FENCE))
            if closing >= 0:
                return closing + len(_FENCE)
            return LONGEST_FENCE if len(text) > LONGEST_FENCE else None
        if text.endswith("`"):  # may become a fence with the next token
            text = text.rstrip("`")
        return self._cut_spoken(text)

    def _cut_spoken(self, text: str) -> int | None:
        clause: int | None = None  # the last clause end, for a phrase that gets too long
        place = 0
        while place < len(text):
            char = text[place]
            if char == "\n" and text[:place].strip():
                return place + 1
            if char in _STOPS:
                after = self._after_marks(text, place)
                ends = self._ends_sentence(text, place, after)
                if ends is None:
                    break
                if ends and self._weight(text[:after]) >= (1 if self._first else LATER_WORDS):
                    return _with_space(text, after)
                place = max(after, place + 1)
                continue
            if char in _CLAUSES and self._ends_clause(text, place):
                if self._first and self._weight(text[:place]) >= FIRST_CLAUSE_WORDS:
                    return _with_space(text, place + 1)
                clause = place + 1
            place += 1
        if self._first and (joint := self._joint(text)) is not None:
            return joint
        longest = LONGEST_UNSPACED if self._language in UNSPACED else LONGEST
        if len(text) > longest:
            if clause is not None and clause <= longest:
                return _with_space(text, clause)
            space = text.rfind(" ", 1, longest)
            return space + 1 if text[:space].strip() and space > 0 else longest
        return None

    def _joint(self, text: str) -> int | None:
        """Before the first word that joins a clause to enough others."""
        joining = _JOINING.get(self._language, frozenset())
        for word in _WORD_BETWEEN.finditer(text):
            if word.group().lower() in joining and self._weight(text[: word.start()]) >= FIRST_JOINED_WORDS:
                return word.start()
        return None

    def _after_marks(self, text: str, place: int) -> int:
        """Past the run of sentence marks and of what closes with them: `?!”)`."""
        while place < len(text) and text[place] in _STOPS:
            place += 1
        while place < len(text) and text[place] in _CLOSERS:
            place += 1
        return place

    def _ends_sentence(self, text: str, mark: int, after: int) -> bool | None:
        """Whether the marks from `mark` up to `after` end a sentence; None: more text is needed."""
        if after == len(text):
            return None
        if text[after - 1] in _FULL_WIDTH or text[mark] in _FULL_WIDTH:
            return True
        if not text[after].isspace():
            return text[mark] in "।॥؟۔"  # written without a space at times
        if "\n" in text[after : after + 2]:
            return True
        following = text[after:].lstrip()
        if not following:
            return None
        if self._language in _CASED and following[0].islower():
            return False
        if text[mark] != "." or after != mark + 1:
            return True
        listed = self._listed(text, mark, following)
        return None if listed is None else not (listed or self._abbreviates(text[:mark], following))

    def _listed(self, text: str, mark: int, following: str) -> bool | None:
        """Whether the full stop belongs to a listed abbreviation; None: that is seen when there is more."""
        unsure = False
        for short in self._signs.abbreviations:
            for place in (at for at, letter in enumerate(short) if letter == "."):
                start, rest = mark - place, short[place + 1 :]
                if start < 0 or text[start : mark + 1].casefold() != short[: place + 1].casefold():
                    continue
                if start and text[start - 1].isalnum():
                    continue
                behind = text[mark + 1 : mark + 1 + len(rest)]
                if rest and behind == rest:
                    return True
                if not rest and short not in _MAY_END:
                    return following[0].isdigit() or short not in self._signs.numbered
                unsure = unsure or (rest.startswith(behind) and behind != rest)
        return None if unsure else False

    def _abbreviates(self, before: str, following: str) -> bool:
        """Whether a single full stop after `before` belongs to its last word."""
        match = _WORD_BEFORE.search(before)
        if match is None:
            return False
        word = match.group(1)
        if "." in word and all(len(part) == 1 for part in word.split(".")):
            return True  # U.S., e.g.
        if len(word) == 1 and word.isalpha() and word.isupper():
            return not (word == "I" and self._language == "en")  # an initial
        if word.isdigit():
            line = before[before.rfind("\n") + 1 :].strip()
            return line == word or (self._language == "de" and len(word) <= 2)  # "1. First"; "am 3. Mai"
        lower = word.lower()
        return lower in _TITLES or (lower in _NUMBERED and following[0].isdigit())

    def _ends_clause(self, text: str, place: int) -> bool:
        if text[place] in _FULL_WIDTH_CLAUSES:
            return True
        return place + 1 < len(text) and text[place + 1].isspace()  # not the comma in 1,000

    def _weight(self, text: str) -> float:
        """How long a text is, in words (two characters each where there are no spaces)."""
        if self._language in UNSPACED:
            return sum(char.isalnum() for char in text) / 2
        return sum(any(char.isalnum() for char in word) for word in text.split())


def _with_space(text: str, end: int) -> int:
    while end < len(text) and text[end].isspace():
        end += 1
    return end
