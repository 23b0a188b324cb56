"""What each of the 13 languages needs for turn-taking: lists from languages.toml, and how they match.

The rules of folding, matching and cues are written down at the head of languages.toml; this file is
those rules. Texts go in as a recogniser gives them and are folded here.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

TYPOGRAPHIC = str.maketrans("’‘ʼ‛′＇`´‐‑", "''''''''--")
ARABIC = str.maketrans("أإآٱ", "اااا", "ـ" + "".join(map(chr, range(0x064B, 0x0653))) + "ٰ")
# NFD splits क़ into क + nukta and й into и + breve: only what is named is removed, then NFC again.
NUKTA, CHANDRABINDU, ANUSVARA = "\u093c", "\u0901", "\u0902"
NOTED = re.compile(r"\[[^]]*]|\([^)]*\)|\*[^*]*\*|♪[^♪]*♪?")  # sounds, by a recogniser that writes them down
LAUGHTER = re.compile(
    r"a?ha+h*|heh+|huh|k{3,}|"
    r"(?:h[aeiou]+h*|j[aei]+|[хг][аеио]|ه+ا?|ह[ाीे]|[哈呵嘿嘻]|[はひふへハヒフヘ]|[하허호히헤\u110f\u1112]){2,}"
)
DRAWN_OUT = re.compile(r"(.)\1+|[ーぁぃぅぇぉ]")
UNSPACED = ("zh", "ja")  # written without spaces between words
WHOLE_ONLY = ("stop", "back")  # cues that count only as the whole utterance
WHOLE_ONLY_WORDS, WHOLE_ONLY_CHARS = 2, 4  # and so do cues of at most this length


def fold(text: str, language: str) -> str:
    """`text` in the form in which it is compared: lower case, no punctuation, single spaces."""
    text = unicodedata.normalize("NFKC", text.translate(TYPOGRAPHIC)).lower()
    if language == "ar":
        text = unicodedata.normalize("NFC", text).translate(ARABIC)
    elif language == "hi":
        text = unicodedata.normalize("NFD", text).replace(NUKTA, "").replace(CHANDRABINDU, ANUSVARA)
        text = unicodedata.normalize("NFC", text)
    elif language == "ru":
        text = text.replace("ё", "е")
    kept = []
    for position, character in enumerate(text):
        kind = unicodedata.category(character)
        if kind == "Cf":  # zero-width joiners and direction marks
            continue
        if kind[0] in "LNM" or (character in "'-" and _inside_word(text, position)):
            kept.append(character)
        else:
            kept.append(" ")
    folded = ("" if language in UNSPACED else " ").join("".join(kept).split())
    return unicodedata.normalize("NFC", folded)  # a mark may have lost the space before it


def _undrawn(folded: str, spaces: bool) -> str:
    """`folded` as murmurs are compared: without hyphens, and no letter drawn out."""
    return DRAWN_OUT.sub(r"\1", folded.replace("-", " " if spaces else ""))


def _inside_word(text: str, position: int) -> bool:
    around = text[position - 1 : position] + text[position + 1 : position + 2]
    return len(around) == 2 and all(unicodedata.category(character)[0] in "LNM" for character in around)


class Entries:
    """A list of folded words and phrases that an utterance may begin with, end in or consist of."""

    def __init__(self, entries: Iterable[str], language: str, spaces: bool) -> None:
        plain: list[str] = []
        endings: list[str] = []
        for entry in entries:
            (endings if entry.startswith("-") else plain).append(fold(entry, language))
        self.spaces = spaces
        self.all = frozenset(plain)
        self._endings = tuple(sorted(set(endings), key=len, reverse=True))  # of the last word (Korean)
        self._longest = max((self._size(entry) for entry in self.all), default=0)

    def _size(self, text: str) -> int:
        return text.count(" ") + 1 if self.spaces else len(text)

    def at_end(self, folded: str) -> str | None:
        """The longest entry that `folded` ends in."""
        parts, joint = self._parts(folded)
        for size in range(min(self._longest, len(parts)), 0, -1):
            tail = joint.join(parts[-size:])
            if tail in self.all:
                return tail
        return next((ending for ending in self._endings if folded.endswith(ending)), None)

    def at_start(self, folded: str) -> str | None:
        """The longest entry that `folded` begins with."""
        parts, joint = self._parts(folded)
        for size in range(min(self._longest, len(parts)), 0, -1):
            head = joint.join(parts[:size])
            if head in self.all:
                return head
        return None

    def fewest(self, folded: str) -> int | None:
        """How many entries, at least, `folded` is put together from; None: there is something else in it."""
        parts, joint = self._parts(folded)
        fewest: list[int | None] = [0] + [None] * len(parts)
        for end in range(1, len(parts) + 1):
            for start in range(max(0, end - self._longest), end):
                before = fewest[start]
                if before is None or joint.join(parts[start:end]) not in self.all:
                    continue
                here = fewest[end]
                fewest[end] = before + 1 if here is None else min(here, before + 1)
        return fewest[-1] if parts else None

    def _parts(self, folded: str) -> tuple[list[str] | str, str]:
        return (folded.split(), " ") if self.spaces else (folded, "")


@dataclass(frozen=True, slots=True)
class Completion:
    """When an ending that looks hanging is none: all conditions that are set must hold."""

    starts: Entries | None
    ends: Entries | None
    says: Entries | None
    max_words: int | None
    reason: str

    def holds(self, folded: str) -> bool:
        return (
            (self.starts is None or self.starts.at_start(folded) is not None)
            and (self.ends is None or self.ends.at_end(folded) is not None)
            and (self.says is None or folded in self.says.all)
            and (self.max_words is None or len(folded.split()) <= self.max_words)
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A comfortable band of speaking, pauses inside the answer included."""

    unit: str  # "words_per_minute", or another unit of the file
    low: float
    high: float
    source: str
    verified: bool  # False: show the band, never score by it
    syllables_per_second: float | None = None  # read aloud, without pauses


@dataclass(frozen=True, slots=True)
class Language:
    """One table of languages.toml. Lists are as written there; `Entries` are folded."""

    code: str  # ISO 639-1
    name: str  # in English
    own: str  # in the language itself
    script: str
    direction: str  # "ltr" or "rtl"
    spaces: bool  # False: zh, ja
    terminators: tuple[str, ...]
    hanging: Entries
    fillers: Entries
    fillers_soft: Entries
    backchannels: Entries
    murmurs: Entries  # undrawn
    asides: Entries  # fillers and backchannels: what is taken from both ends of a cue
    interrupt_words: Entries
    question_starts: Entries
    question_endings: Entries
    digits: Entries
    dictation: Entries
    exceptions: tuple[Completion, ...]
    cues: Mapping[str, str]  # folded (ko: without spaces) -> kind
    cue_words: Mapping[str, int]  # the same keys -> words (zh, ja: characters)
    say: Mapping[str, tuple[str, ...]]
    rate: Rate
    must_not: Mapping[str, tuple[str, ...]]  # "complete" and "hanging_examples", for tests

    def hangs(self, folded: str) -> str | None:
        """The hanging word, phrase or filler that `folded` ends in, unless an exception holds."""
        if self.completes(folded) is not None:
            return None
        return self.hanging.at_end(folded) or self.fillers.at_end(folded)

    def completes(self, folded: str) -> Completion | None:
        """The exception that makes `folded` complete whatever its last word is."""
        tried = (folded, self.without_leading(self.fillers, folded))
        return next((rule for rule in self.exceptions if any(map(rule.holds, tried))), None)

    def murmured(self, folded: str) -> bool:
        """It is nothing but a listener's sounds, however they are spelled."""
        denied = folded in self.interrupt_words.all
        return not denied and bool(self.murmurs.fewest(_undrawn(folded, self.spaces)))

    def without_leading(self, entries: Entries, folded: str) -> str:
        """`folded` without the entries it begins with; all of it, if it is nothing else."""
        rest = folded
        while rest and (head := entries.at_start(rest)) is not None:
            rest = rest[len(head) :].lstrip()
        return rest or folded


@dataclass(frozen=True, slots=True)
class Matching:
    """The [match] table."""

    cue_extra_words: int
    cue_extra_chars: int  # zh, ja
    backchannel_max_words: int
    digits_in_a_row: int
    murmurs: tuple[str, ...]
    denials: tuple[str, ...]


@cache
def matching() -> Matching:
    """The numbers that hold for all languages."""
    return Matching(**_file()["match"])


@cache
def languages() -> Mapping[str, Language]:
    """All of them, by code. The file is read once per process (about 50 ms)."""
    tables = _file()["languages"]
    return MappingProxyType({code: _language(code, table) for code, table in tables.items()})


def language_of(code: str) -> Language:
    """Raises KeyError for a code that is none of the 13."""
    return languages()[code]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(resources.files("pipeline").joinpath("languages.toml").read_text(encoding="utf-8"))


def _language(code: str, table: dict[str, Any]) -> Language:
    spaces = table["spaces"]
    murmurs = [_undrawn(fold(murmur, code), spaces) for murmur in (*matching().murmurs, *table["murmurs"])]

    def entries(words: Iterable[str]) -> Entries:
        return Entries(words, code, spaces)

    def rule(given: dict[str, Any]) -> Completion:
        starts, ends, says = (
            entries(given[key]) if key in given else None for key in ("starts", "ends", "says")
        )
        return Completion(starts, ends, says, given.get("max_words"), given["reason"])

    cues: dict[str, str] = {}
    cue_words: dict[str, int] = {}
    for kind, phrases in table["cues"].items():
        for phrase in phrases:
            folded = fold(phrase, code)
            key = _cue_key(folded, code)
            cues.setdefault(key, kind)
            cue_words.setdefault(key, len(folded.split()) if spaces else len(folded))
    return Language(
        code=code,
        name=table["name"],
        own=table["own"],
        script=table["script"],
        direction=table["direction"],
        spaces=spaces,
        terminators=tuple(table["terminators"]),
        hanging=entries(table["hanging"]),
        fillers=entries(table["fillers"]),
        fillers_soft=entries(table["fillers_soft"]),
        backchannels=entries(table["backchannels"]),
        murmurs=entries(murmurs),
        asides=entries([*table["backchannels"], *table["fillers"]]),
        interrupt_words=entries([*table["interrupt_words"], *matching().denials]),
        question_starts=entries(table["question_starts"]),
        question_endings=entries(table["question_endings"]),
        digits=entries(table["digits"]),
        dictation=entries(table["dictation"]),
        exceptions=tuple(map(rule, table["exceptions"])),
        cues=MappingProxyType(cues),
        cue_words=MappingProxyType(cue_words),
        say=MappingProxyType({key: tuple(lines) for key, lines in table["say"].items()}),
        rate=Rate(**table["rate"]),
        must_not=MappingProxyType({key: tuple(lines) for key, lines in table["must_not"].items()}),
    )


def say(key: str, language: str) -> tuple[str, ...]:
    """What to say in that language: "not_caught", "nudge", "goodbye", … Raises KeyError."""
    return language_of(language).say[key]


def is_backchannel(text: str, language: str) -> bool:
    """Whether `text` is nothing but backchannels and fillers, and short; or laughter, or a sound that the
    recogniser notes, such as "(coughs)". Only meaningful over a reply."""
    known = language_of(language)
    folded = fold(NOTED.sub(" ", text), language)
    if not folded:
        return bool(fold(text, language))
    if LAUGHTER.fullmatch(folded.replace(" ", "").replace("-", "")) or known.murmured(folded):
        return True
    count = known.asides.fewest(folded)
    if count is None:  # "Mmm, yeah."
        count = known.asides.fewest(" ".join(word for word in folded.split() if not known.murmured(word)))
    if count is None:
        return False
    size = len(folded.split()) if known.spaces else count
    return count == 1 or size <= matching().backchannel_max_words


def is_murmur(text: str, language: str) -> bool:
    """Whether `text` is nothing but sounds by which somebody listens: "Mm-hmm.", 嗯."""
    return language_of(language).murmured(fold(text, language))


def asks_for_nothing(text: str, language: str) -> bool:
    """Whether `text`, said over a reply, leaves the floor where it is."""
    return is_backchannel(text, language) or is_fragment(text, language)


def is_fragment(text: str, language: str) -> bool:
    """Whether it is nothing but a word with which something would begin ("i", "the", "and"), or a filler:
    what recognisers make of a laugh or a groan, and nothing that asks for the floor by itself."""
    known = language_of(language)
    folded = fold(text, language)
    return bool(folded) and folded in (known.hanging.all | known.fillers.all)


def starts_with_interrupt(text: str, language: str) -> bool:
    """Whether `text`, said over a reply, asks for the floor in its first words."""
    known = language_of(language)
    folded = known.without_leading(known.fillers, fold(text, language))
    word = known.interrupt_words.at_start(folded)
    aside = known.backchannels.at_start(folded)  # "no worries" begins with "no", 不错 with 不
    return word is not None and (aside is None or len(aside) <= len(word))


@lru_cache(maxsize=512)  # the same partial is asked about by the floor, the patience and the mind
def cue(text: str, language: str) -> str | None:
    """What `text` asks for: "wait", "repeat", "skip", "dont_know", "back", "stop", "done", "slower",
    "harder" or "easier"; None: it is an answer like any other."""
    known = language_of(language)
    folded = fold(text, language)
    variants = list(_stripped(folded, known.asides))
    for variant in variants:
        kind = known.cues.get(_cue_key(variant, language))
        if kind is not None:
            return kind
    return _contained(variants[-1], known) or _contained(folded, known)


def _cue_key(folded: str, language: str) -> str:
    return folded.replace(" ", "") if language == "ko" else folded


def _stripped(folded: str, asides: Entries) -> Iterator[str]:
    """`folded`, then with more and more asides taken from its front and its end, the barest last."""
    fronts = [folded]
    while (head := asides.at_start(fronts[-1])) is not None:
        fronts.append(fronts[-1][len(head) :].lstrip())
    for front in fronts:
        rest = front
        yield rest
        while (tail := asides.at_end(rest)) is not None:
            rest = rest[: -len(tail)].rstrip()
            yield rest


def _contained(folded: str, known: Language) -> str | None:
    """The kind of the longest cue inside `folded`, with little besides and not hanging after it."""
    parts = folded.split() if known.spaces else re.findall(".", folded)
    joint = " " if known.spaces and known.code != "ko" else ""
    extra = matching().cue_extra_words if known.spaces else matching().cue_extra_chars
    whole_only = WHOLE_ONLY_WORDS if known.spaces else WHOLE_ONLY_CHARS
    for size in range(len(parts), max(0, len(parts) - extra - 1), -1):
        for start in range(len(parts) - size + 1):
            inside = joint.join(parts[start : start + size])
            kind = known.cues.get(inside)
            if kind is None or kind in WHOLE_ONLY or known.cue_words[inside] <= whole_only:
                continue
            if start + size == len(parts) or known.hangs(folded) is None:
                return kind
    return None
