"""Scores an answer by its key points, without a model. "By key points, not by understanding."

The rules were measured together on answers to 47 questions: strong answers reached 4 in 32 of 47, wrong
ones stayed at 2 or below in 45. So it seldom flatters, and underrates good answers in a person's own
words, which is why there is `unsure`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pipeline.coach.matching import (
    NEGATIONS,
    Hit,
    Said,
    find,
    harmless,
    without_echo,
    words_of,
)
from pipeline.coach.questions import Point, Question, bank
from pipeline.coach.star import Star, star_of, star_score
from pipeline.languages import cue, fold, languages

Verdict = Literal["right", "partial", "wrong", "no_attempt", "off_topic", "unscored"]
Guard = Literal["", "short", "list", "glued", "language"]

LEVELS = (0.12, 0.3, 0.61, 0.85)  # of coverage: below the first 1, ... from the last on 5 (rule 8)
NEAR_WORDS = 20  # two terms this near make a point (rule 4)
SHORT_WORDS = 12  # fewer are no answer (rule 7)
LIST_SHARE = 0.30  # of function words: speech has 0.5 to 0.7, a bare list less than this (rule 7)
GLUED_WORDS, GLUED_SHARE = 40, 0.14  # of words that are neither function words nor in a hit (rule 7)
UNSURE_WORDS = 80  # of an answer that may be good in words of its own (rule 10)
HEDGE_REACH, MYTH_REACH = 5, 8  # words before a misconception (rule 6)
QUOTE_WORDS = 6  # on either side of a hit, where no mark ends the clause
RELATED_WORDS = 2  # shared with the question's own texts, from which on an answer is no change of topic
FOREIGN_SHARE = 0.25  # of another language's small words, from which on an answer is in that language

_HEDGES = frozenset(
    "if unless instead rather avoid stop than leave leaves ignores hides people some others believe".split()
)
_MYTHS = frozenset("myth mistake wrong wrongly misconception".split())
# Articles, pronouns, auxiliaries, prepositions, conjunctions, and verbs that mean little.
FUNCTION_WORDS = frozenset(
    """
    a an the i you he she it we they me him her us them my your his its our their mine yours ours theirs
    myself yourself itself themselves this that these those who whom which what whose where when why how
    somebody someone something anyone anything everybody everyone everything nobody nothing one each all
    both any some many much more most few other another such same am is are was were be been being do
    does did done doing have has had having will would shall should can could may might must of to in on
    at by for with from into onto over under between through about after before during within without up
    down out off as per against across around behind near until since than and or but so because if
    while although though unless whereas nor yet then also too very just only even not no never there
    here now well like get gets got getting go goes going went make makes made making want wants wanted
    need needs needed know knows knew think thinks thought say says said let us
    """.split()
)


@dataclass(frozen=True, slots=True)
class PointResult:
    name: str
    status: Literal["covered", "touched", "missing"]
    quote: str | None  # the clause of the answer in which it was found
    start: int | None  # where the quote begins in the answer, in characters
    term: str  # the person's own words for it, "" if missing
    teach: str


@dataclass(frozen=True, slots=True)
class WrongResult:
    quote: str
    start: int
    teach: str  # what is right


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an answer contains.

    score: 1 to 5; None where nothing is scored (profile questions, another language, "I don't know").
    guard: why the score is held at 2 at most: too short, a bare list, a list with glue; "": no reason.
    unsure: a long answer that may be good in words of its own: say "at least n", ask, lower nothing.
    """

    question_id: str
    points: tuple[PointResult, ...]
    coverage: float  # 0..1
    score: int | None
    verdict: Verdict
    guard: Guard = ""
    wrong: tuple[WrongResult, ...] = ()
    unsure: bool = False
    words: int = 0  # without fillers
    star: Star | None = None

    @property
    def covered(self) -> tuple[PointResult, ...]:
        return tuple(point for point in self.points if point.status == "covered")

    @property
    def missing(self) -> tuple[PointResult, ...]:
        return tuple(point for point in self.points if point.status == "missing")


def score(question: Question, answer_text: str, language: str = "en") -> Assessment:
    """Rates one answer to one question of the bank, by key points.

    Args:
        answer_text: as a recogniser gives it; the full pass, where there is one.
        language: ISO 639-1 of the conversation; the bank is English, anything else is not scored.
    """
    if language != "en" or _foreign(answer_text):
        return _unscored(question, answer_text, "language", "unscored")
    if cue(answer_text, language) == "dont_know":
        return _unscored(question, answer_text, "", "no_attempt")
    slips = _slips(question.scoring == "points")
    plain = words_of(answer_text, language, dict(slips))
    said = without_echo(plain, words_of(question.ask, language, dict(slips)))  # rule 3
    results: list[PointResult] = []
    used: set[int] = set()
    for point in question.points:
        status, hits = _status(point, said, slips)
        used.update(place for hit in hits for place in hit.places)
        results.append(_result(point, status, hits, said, answer_text))
    wrong = _wrong(question, plain, slips, answer_text)  # no entry is in its own `ask`
    covered = sum(one.status == "covered" for one in results)
    touched = sum(one.status == "touched" for one in results)
    coverage = (covered + 0.5 * touched) / len(results)  # rule 4
    guard = _guard(plain, used)
    star = star_of(plain) if question.scoring == "star" else None
    number = _score(question, coverage, len(wrong), guard, star)
    unsure = _unsure(len(plain), coverage, wrong, guard, star, number)
    return Assessment(
        question_id=question.id,
        points=tuple(results),
        coverage=coverage,
        score=number,
        verdict=_verdict(number, wrong, unsure, off=coverage == 0 and _elsewhere(question, plain)),
        guard=guard,
        wrong=wrong,
        unsure=unsure,
        words=len(plain),
        star=star,
    )


def _unscored(question: Question, text: str, guard: Guard, verdict: Verdict) -> Assessment:
    missing = tuple(PointResult(one.name, "missing", None, None, "", one.teach) for one in question.points)
    return Assessment(question.id, missing, 0.0, None, verdict, guard, words=len(text.split()))


@cache
def _slips(technical: bool) -> tuple[tuple[str, str], ...]:
    return tuple(bank().slips.items()) if technical else ()  # "cash" is money elsewhere


# ------------------------------------------------------------------ points


def _status(
    point: Point, said: Sequence[Said], slips: tuple[tuple[str, str], ...]
) -> tuple[Literal["covered", "touched", "missing"], list[Hit]]:
    """Rule 4: one entry of two words, or two terms near each other."""
    phrases: list[Hit] = []
    terms: list[Hit] = []
    for entry in point.says:
        hits = list(find(entry, said, "en", slips))
        (phrases if len(entry.split()) > 1 else terms).extend(hits)
    if phrases:
        return "covered", phrases + terms
    for hit in terms:
        for other in terms:
            near = 0 < other.first - hit.first <= NEAR_WORDS
            if near and said[hit.first].stem != said[other.first].stem:
                return "covered", [hit, other]
    return ("touched", terms[:1]) if terms else ("missing", [])


def _result(
    point: Point,
    status: Literal["covered", "touched", "missing"],
    hits: Sequence[Hit],
    said: Sequence[Said],
    text: str,
) -> PointResult:
    if not hits:
        return PointResult(point.name, status, None, None, "", point.teach)
    best = max(hits, key=lambda hit: len(hit.places))
    quote, start = _quote(best, said, text)
    term = text[said[best.places[0]].start : said[best.places[-1]].end]
    return PointResult(point.name, status, quote, start, _bare(term), point.teach)


def _quote(hit: Hit, said: Sequence[Said], text: str) -> tuple[str, int]:
    """The clause around a hit: up to a mark, or a few words on either side."""
    first, last = hit.places[0], hit.places[-1]
    begin = said[max(0, first - QUOTE_WORDS)].start
    end = said[min(len(said) - 1, last + QUOTE_WORDS)].end
    marks = [match.end() for match in re.finditer(r"[.!?;,:]\s+", text[begin : said[first].start])]
    begin += marks[-1] if marks else 0
    mark = re.search(r"[.!?;,:](?=\s|$)", text[said[last].end - 1 : end])
    if mark:
        end = said[last].end - 1 + mark.start()
    return text[begin:end], begin


def _bare(term: str) -> str:
    return re.sub(r"\s+", " ", term).strip(" .,!?;:\"'“”").lower()


def _wrong(
    question: Question, said: Sequence[Said], slips: tuple[tuple[str, str], ...], text: str
) -> tuple[WrongResult, ...]:
    """Rule 6."""
    found = []
    for misconception in question.wrong:
        for entry in misconception.says:
            hit = next((hit for hit in find(entry, said, "en", slips) if not _reported(hit, said)), None)
            if hit is not None:
                quote, start = _quote(hit, said, text)
                found.append(WrongResult(quote, start, misconception.teach))
                break
    return tuple(found)


def _reported(hit: Hit, said: Sequence[Said]) -> bool:
    """Whether the words before say that it is not so, or that others think so."""
    before = range(max(0, hit.first - MYTH_REACH), hit.first)
    for place in before:
        word = said[place].word
        hedge = word in _HEDGES or (word in NEGATIONS and not harmless(said, place))
        if word in _MYTHS or (hedge and place >= hit.first - HEDGE_REACH):
            return True
    return False


# ------------------------------------------------------------------ guards, score, verdict


def _guard(said: Sequence[Said], used: set[int]) -> Guard:
    """Rule 7."""
    if len(said) < SHORT_WORDS:
        return "short"
    function = [one.word in FUNCTION_WORDS for one in said]
    if sum(function) < LIST_SHARE * len(said):
        return "list"
    own = sum(not light and place not in used for place, light in enumerate(function))
    if len(said) >= GLUED_WORDS and own < GLUED_SHARE * len(said):
        return "glued"
    return ""


def _score(question: Question, coverage: float, wrong: int, guard: Guard, star: Star | None) -> int | None:
    """Rules 6, 7, 8 and 9."""
    if question.scoring == "profile":
        return None
    number = 1 + sum(coverage >= level for level in LEVELS)
    if star is not None:
        number = star_score(star, coverage, lowest=LEVELS[0])
    if wrong:
        number = min(number, 3 if wrong == 1 and coverage > LEVELS[2] else 2)
    if guard:
        number = min(number, 2)
    return number


def _unsure(
    words: int,
    coverage: float,
    wrong: Sequence[WrongResult],
    guard: Guard,
    star: Star | None,
    number: int | None,
) -> bool:
    """Rule 10."""
    if words < UNSURE_WORDS or wrong or guard or number is None:
        return False
    if star is not None:
        return star.event and number <= 3
    return coverage < LEVELS[2]


def _verdict(number: int | None, wrong: Sequence[WrongResult], unsure: bool, *, off: bool) -> Verdict:
    if wrong:
        return "wrong"
    if number is None:
        return "unscored"
    if number >= 4:
        return "right"
    return "off_topic" if off and number == 1 and not unsure else "partial"


def _elsewhere(question: Question, said: Sequence[Said]) -> bool:
    """Whether an answer shares nearly no word with anything that belongs to the question."""
    own = {one.stem for one in said if one.word not in FUNCTION_WORDS}
    return len(said) >= SHORT_WORDS and len(own & _vocabulary(question.id)) < RELATED_WORDS


@cache
def _vocabulary(question_id: str) -> frozenset[str]:
    question = bank().questions[question_id]
    texts = [question.ask]
    for point in question.points:
        texts += [*point.says, point.teach]
    for misconception in question.wrong:
        texts += [*misconception.says, misconception.teach]
    slips = bank().slips if question.scoring == "points" else None
    return frozenset(
        one.stem for text in texts for one in words_of(text, "en", slips) if one.word not in FUNCTION_WORDS
    )


def _foreign(text: str) -> bool:
    """Whether an answer is in another language than English (rule 7): by its script or its small words."""
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return False
    if sum(char.isascii() or char in "éèáíóúñçüöäß" for char in letters) < len(letters) / 2:
        return True
    words = fold(text, "en").split()
    if len(words) < SHORT_WORDS:
        return False
    english = sum(word in FUNCTION_WORDS for word in words) / len(words)
    for code, language in languages().items():
        if code == "en" or not language.spaces:
            continue
        small = sum(word in language.hanging.all for word in words) / len(words)
        if small >= FOREIGN_SHARE and small > 2 * english:
            return True
    return False
