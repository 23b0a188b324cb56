"""Words that an answer is likely to hold and a recogniser to mishear, told to it beforehand."""

from __future__ import annotations

from functools import lru_cache

from pipeline.coach.questions import Question, bank

MOST = 20  # words; a recogniser that is told of too many hears them everywhere
NAMES = frozenset(  # that are the same in every language
    "async cgroups dynamo etcd json kubernetes mongodb mutex mysql nginx nosql postgres redis sql terraform"
    " webhook websocket".split()
)


@lru_cache(maxsize=64)  # a client may name any topic
def hints(mode: str, language: str, topic: str | None) -> tuple[str, ...]:
    """Terms of the topic's questions (None: of all), the most frequent first, in interviews.

    In other languages than English only names, and only where a topic makes them likely."""
    if mode != "interview" or (language != "en" and topic is None):
        return ()
    asked = [question for question in bank().questions.values() if topic in (None, question.topic)]
    said = f" {' '.join(map(_text, asked))} ".lower()
    counts = {term: said.count(f" {term}") for term in set(bank().slips.values())}
    usual = counts if language == "en" else NAMES & set(counts)
    found = sorted((term for term in usual if counts[term]), key=lambda term: (-counts[term], term))
    return tuple(found[:MOST])


def _text(question: Question) -> str:
    points = [part for point in question.points for part in (*point.says, point.teach)]
    return " ".join([question.ask, question.follow_up, *points])
