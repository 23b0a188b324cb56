"""Words that an answer is likely to hold and a recogniser to mishear, told to it beforehand."""

from __future__ import annotations

from functools import lru_cache

from pipeline.coach.questions import Question, bank

MOST = 20  # words; a recogniser that is told of too many hears them everywhere


@lru_cache(maxsize=64)  # a client may name any topic
def hints(mode: str, language: str, topic: str | None) -> tuple[str, ...]:
    """Terms of the topic's questions (None: of all), the most frequent first; only in English interviews."""
    if mode != "interview" or language != "en":
        return ()
    asked = [question for question in bank().questions.values() if topic in (None, question.topic)]
    said = f" {' '.join(map(_text, asked))} ".lower()
    counts = {term: said.count(f" {term}") for term in set(bank().slips.values())}
    found = sorted((term for term in counts if counts[term]), key=lambda term: (-counts[term], term))
    return tuple(found[:MOST])


def _text(question: Question) -> str:
    points = [part for point in question.points for part in (*point.says, point.teach)]
    return " ".join([question.ask, question.follow_up, *points])
