"""Finds an entry's words in what a person said: by stem, in order, with little between, not negated.

The rules are those by which the `says` of questions.toml were written (its header), measured on 67 answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import snowballstemmer

from pipeline.languages import fold, language_of

_STEMMERS = {
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "de": "german",
    "pt": "portuguese",
    "ru": "russian",
    "it": "italian",
    "nl": "dutch",
    "ar": "arabic",
    "hi": "hindi",
}
SLIP_WORDS = 3  # the longest slip, in words
GAP_WORDS = 3  # between two words of an entry, of any kind where it has "*"
GAP_FOREIGN = 1  # of those, words with a meaning of their own where it has no "*"
FUZZY_LETTERS = 8  # from here on a letter may be wrong: shorter, "locking" would hear "looking"
NEGATION_REACH = 3  # words before an entry in which a negation counts
ECHO_WORDS = 3  # a run of the question's own words, of this length, proves nothing

NEGATIONS = frozenset("not never no nothing nobody neither without".split())
_NO_NEGATIONS = frozenset(
    [("not", "only"), ("not", "just"), ("not", "sure"), ("no", "longer"), ("no", "matter"), ("no", "problem")]
)
_LIGHT = frozenset(  # articles, pronouns, prepositions: may stand between two words of an entry
    """
    a an the i you he she it we they me him her us them my your his its our their mine yours ours theirs
    this that these those who which what whose somebody someone something anyone everybody everyone all
    both each of to in on at by for with from into onto over under between through about after before
    during within up down out off as per against across around behind near
    """.split()
)

_CONTRACTIONS = (
    (re.compile(r"\b(?:cannot|can't|cant)\b"), "can not"),
    (re.compile(r"\b(?:won't|wont)\b"), "will not"),
    (re.compile(r"\bshan't\b"), "shall not"),
    (re.compile(r"\b(do|does|did|is|was|would|should|could|has|have|are|were)nt\b"), r"\1 not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\b(?:i'm|im)\b"), "i am"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"\blet's\b"), "let us"),
    (re.compile(r"\b(it|that|what|there|here|he|she|who|where|how)'s\b"), r"\1 is"),
    (re.compile(r"'s\b"), ""),
    (re.compile(r"\bgonna\b"), "going to"),
    (re.compile(r"\bwanna\b"), "want to"),
)
_ONES = dict(zip("zero one two three four five six seven eight nine".split(), range(10), strict=True))
_TEENS = dict(
    zip(
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(),
        range(10, 20),
        strict=True,
    )
)
_TENS = dict(
    zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True)
)


@dataclass(frozen=True, slots=True)
class Said:
    """One word of an answer in the form in which it is compared."""

    word: str  # "" where it only repeats the question: it matches nothing then
    stem: str
    start: int  # characters of the original text
    end: int
    sentence: int  # number of the sentence, where the recogniser set marks


@dataclass(frozen=True, slots=True)
class Hit:
    """Where an entry was found."""

    entry: str
    places: tuple[int, ...]  # indices of its words in the answer

    @property
    def first(self) -> int:
        return self.places[0]


def words_of(text: str, language: str = "en", slips: Mapping[str, str] | None = None) -> list[Said]:
    """An answer's words: folded, without fillers, contractions expanded, numbers and slips in one form."""
    said: list[Said] = []
    sentence = 0
    fillers = language_of(language).fillers.all
    spaces = language_of(language).spaces
    for match in re.finditer(r"\S+" if spaces else r"\w", text):
        piece = match.group()
        for word in _expanded(piece, language):
            if word not in fillers:
                said.append(Said(word, "", match.start(), match.end(), sentence))
        if piece.rstrip("\"'”’)»").endswith((".", "!", "?", "…", "।", "؟")):
            sentence += 1
    if language == "en":
        said = _with_numbers(said)
    if slips:
        said = _with_slips(said, slips)
    return [replace(one, stem=_stem(one.word, language)) for one in said]


def _expanded(piece: str, language: str) -> list[str]:
    text = fold(piece.replace("%", " percent "), language)
    if language == "en":
        for pattern, replacement in _CONTRACTIONS:
            text = pattern.sub(replacement, text)
        text = re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", " ", text)
    return text.replace("-", " ").replace("'", "").split()


def _with_numbers(said: list[Said]) -> list[Said]:
    """Numbers as digits from ten on, as a word below: "ninety nine" = "99", "four twenty nine" = "429"."""
    result: list[Said] = []
    place = 0
    while place < len(said):
        value, length = _number(said, place)
        if length == 0:
            result.append(said[place])
            place += 1
            continue
        word = str(value) if value > 9 else next(name for name, one in _ONES.items() if one == value)
        result.append(replace(said[place], word=word, end=said[place + length - 1].end))
        place += length
    return result


def _number(said: Sequence[Said], place: int) -> tuple[int, int]:
    """The number that begins there, and of how many words it is; (0, 0): none."""
    words = [one.word for one in said[place : place + 6]] + [""] * 6
    first = words[0]
    if first.isascii() and first.isdigit():
        return int(first), 1
    if first in _TEENS:
        return _TEENS[first], 1
    if first in _TENS:
        value, length = _below_hundred(words)
        return value, length
    if first not in _ONES:
        return 0, 0
    one = _ONES[first]
    if words[1] == "hundred":
        skip = 3 if words[2] == "and" and _below_hundred(words[3:])[1] else 2
        rest, length = _below_hundred(words[skip:])
        return (100 * one + rest, skip + length) if length else (100 * one, 2)
    if words[1] in ("oh", "o", "zero") and words[2] in _ONES:
        return 100 * one + _ONES[words[2]], 3  # three oh one
    if words[1] in _TENS or words[1] in _TEENS:
        rest, length = _below_hundred(words[1:])
        return 100 * one + rest, 1 + length  # four twenty nine
    return one, 1


def _below_hundred(words: Sequence[str]) -> tuple[int, int]:
    first, second = words[0], words[1]
    if first in _TENS:
        return (_TENS[first] + _ONES[second], 2) if _ONES.get(second, 0) else (_TENS[first], 1)
    if first in _TEENS:
        return _TEENS[first], 1
    return (_ONES[first], 1) if first in _ONES else (0, 0)


def _with_slips(said: list[Said], slips: Mapping[str, str]) -> list[Said]:
    result: list[Said] = []
    place = 0
    while place < len(said):
        for length in range(min(SLIP_WORDS, len(said) - place), 0, -1):
            run = said[place : place + length]
            term = slips.get(" ".join(one.word for one in run))
            if term is not None:
                result += [replace(run[0], word=word, end=run[-1].end) for word in term.split()]
                place += length
                break
        else:
            result.append(said[place])
            place += 1
    return result


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    if language not in _STEMMERS:
        return lambda word: word
    stem: Callable[[str], str] = snowballstemmer.stemmer(_STEMMERS[language]).stemWord
    return stem


@lru_cache(maxsize=20_000)  # the bank has about 5,000 different words
def _stem(word: str, language: str) -> str:
    return _stemmer(language)(word)


@lru_cache(maxsize=20_000)
def entry_words(
    entry: str, language: str, slips: tuple[tuple[str, str], ...] = ()
) -> tuple[Said | None, ...]:
    """An entry's words in the same form; None: a "*"."""
    words: list[Said | None] = []
    for position, part in enumerate(entry.split("*")):
        if position:
            words.append(None)
        words += words_of(part, language, dict(slips))
    return tuple(words)


def without_echo(said: Sequence[Said], question: Sequence[Said]) -> list[Said]:
    """The answer with every run of the question's words blanked: it counts as words and matches nothing."""
    asked = [one.word for one in question]
    runs = {tuple(asked[place : place + ECHO_WORDS]) for place in range(len(asked) - ECHO_WORDS + 1)}
    echo = {
        place + offset
        for place in range(len(said) - ECHO_WORDS + 1)
        if tuple(one.word for one in said[place : place + ECHO_WORDS]) in runs
        for offset in range(ECHO_WORDS)
    }
    return [replace(one, word="", stem="") if place in echo else one for place, one in enumerate(said)]


def find(
    entry: str, said: Sequence[Said], language: str = "en", slips: tuple[tuple[str, str], ...] = ()
) -> Iterator[Hit]:
    """Every place where the entry's words stand and are not negated."""
    wanted = entry_words(entry, language, slips)
    if not wanted or wanted[0] is None:
        return
    negative = any(word is not None and word.word in NEGATIONS for word in wanted)
    for place, one in enumerate(said):
        if not same(wanted[0], one, language):
            continue
        places = _rest(wanted, 1, said, (place,), language)
        if places is None:
            continue
        if not negative and negated(said, places, NEGATION_REACH):
            continue
        yield Hit(entry, places)


def _rest(
    wanted: Sequence[Said | None], at: int, said: Sequence[Said], places: tuple[int, ...], language: str
) -> tuple[int, ...] | None:
    if at == len(wanted):
        return places
    star = wanted[at] is None
    word = wanted[at + 1] if star else wanted[at]
    if word is None:
        return None
    foreign = 0
    spaces = language_of(language).spaces
    for place in range(places[-1] + 1, min(len(said), places[-1] + 2 + (GAP_WORDS if spaces or star else 0))):
        if same(word, said[place], language):
            found = _rest(wanted, at + 1 + star, said, (*places, place), language)
            if found is not None:
                return found
        if said[place].word not in _LIGHT:
            foreign += 1
            if foreign > GAP_FOREIGN and not star:
                return None
    return None


def same(wanted: Said, said: Said, language: str) -> bool:
    """Whether two words count as one: by stem, or one letter apart if they are long."""
    ours, theirs = wanted.word, said.word
    if not theirs:
        return False
    if ours == theirs:
        return True
    if language == "ko":
        return len(ours) > 1 and theirs.startswith(ours)
    if wanted.stem == said.stem:
        return _common(ours, theirs) >= min(len(ours), len(theirs)) - 3
    if ours[0] != theirs[0] or len(ours) < FUZZY_LETTERS or len(theirs) < FUZZY_LETTERS:
        return False
    return _one_apart(ours, theirs)


def _common(one: str, other: str) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _one_apart(one: str, other: str) -> bool:
    """Whether at most one letter is added, missing or another."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = _common(one, other)
    if len(one) == len(other):
        return one[start + 1 :] == other[start + 1 :]
    long, short = (one, other) if len(one) > len(other) else (other, one)
    return long[start + 1 :] == short[start:]


def negated(said: Sequence[Said], places: Sequence[int], reach: int) -> bool:
    """Whether a negation stands between those words, or up to `reach` words before in the same sentence."""
    sentence = said[places[0]].sentence
    return any(
        said[place].word in NEGATIONS
        and (place > places[0] or said[place].sentence == sentence)
        and place not in places
        and not harmless(said, place)
        for place in range(max(0, places[0] - reach), places[-1])
    )


def harmless(said: Sequence[Said], place: int) -> bool:
    """Whether the negation there belongs to "not only", "no longer" and the like."""
    following = said[place + 1].word if place + 1 < len(said) else ""
    return (said[place].word, following) in _NO_NEGATIONS
