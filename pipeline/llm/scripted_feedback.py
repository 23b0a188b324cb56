"""Feedback first: what the scripted interviewer says about an answer, in at most 45 words."""

from __future__ import annotations

import re

from pipeline.coach.content import FUNCTION_WORDS, Assessment, PointResult
from pipeline.coach.questions import Question
from pipeline.llm.scripted_state import State, phrases, pick

FEEDBACK_WORDS = 45
TERM_WORDS = 5  # of the person's own words that are quoted; longer ones are named by their point


def feedback(state: State, question: Question, found: Assessment, before: frozenset[str]) -> str:
    """One or two sentences on an answer; with `before`, the points covered earlier, on a follow-up."""
    if found.guard == "language":
        return pick(state, "other_language")
    if found.verdict == "no_attempt":
        return explained(state, question)
    if found.wrong:
        return limited(pick(state, "wrong"), found.wrong[0].teach)
    if question.scoring == "profile":
        return _about_the_person(state, question, found)
    if found.star is not None and not before:
        return _about_a_story(state, question, found)
    if found.guard == "short":
        return limited(pick(state, "short"), _missing(state, found))
    if found.guard:
        return pick(state, "listed")
    if found.verdict == "right":
        return limited(
            pick(state, "right", _words(found, before)), pick(state, "right_more", {"tip": question.tip})
        )
    if found.unsure:
        return pick(state, "unsure")
    praise = _words(found, before)
    first = pick(state, "partial", praise) if praise else pick(state, "partial_none")
    return limited(first, _missing(state, found))


def after_follow_up(state: State, question: Question, found: Assessment, before: frozenset[str]) -> str:
    """On the answer to a follow-up: what it added, else one thing that is still missing."""
    if found.wrong:
        return limited(pick(state, "wrong"), found.wrong[0].teach)
    new = [point for point in found.covered if point.name not in before]
    if new and question.scoring == "points":
        return limited(pick(state, "added", {"point": spoken_name(new[0].name)}), _missing(state, found))
    add = "" if question.scoring == "points" and found.verdict == "right" else _missing(state, found)
    return limited(pick(state, "after_follow_up"), add)


def explained(state: State, question: Question) -> str:
    """For "I don't know": thanks, and the heart of the answer in at most two sentences."""
    first, second = question.points[0].teach, question.points[1].teach
    return limited(pick(state, "dont_know"), first, second)


def what_about(state: State, point: PointResult) -> str:
    return pick(state, "what_about", {"point": spoken_name(point.name)})


def limited(*parts: str) -> str:
    """The parts that fit into the limit, in order; the first always."""
    text = parts[0]
    for part in parts[1:]:
        if part and len(text.split()) + len(part.split()) <= FEEDBACK_WORDS:
            text = f"{text} {part}"
    return text


def spoken_name(name: str) -> str:
    """A point's name with its article, if it needs one."""
    return f"the {name}" if name in phrases()["with_article"] else name


def _about_a_story(state: State, question: Question, found: Assessment) -> str:
    star = found.star
    assert star is not None
    if found.verdict == "right":
        words = {"term": _term(found, frozenset())}
        return limited(pick(state, "story_right", words), pick(state, "right_more", {"tip": question.tip}))
    if not star.event:
        return pick(state, "story_event")
    if len(star.actions) < 3:
        return pick(state, "story_own")
    if not star.result:
        return pick(state, "story_result")
    return limited(pick(state, "story_thin"), _missing(state, found))


def _about_the_person(state: State, question: Question, found: Assessment) -> str:
    term = _term(found, frozenset())
    first = pick(state, "profile", {"term": term}) if term else pick(state, "profile_none")
    if found.guard == "short":
        first = pick(state, "short")
    untold = [point for point in found.missing if point.name not in state.told]
    state.told += [point.name for point in untold[:1]]
    teach = untold[0].teach if untold else question.tip
    return limited(first, f"{pick(state, 'profile_add')} {teach}")


def _missing(state: State, found: Assessment) -> str:
    """One thing that is missing and that was not said yet."""
    untold = [point for point in found.missing if point.name not in state.told]
    if not untold:
        return ""
    state.told.append(untold[0].name)
    return f"{pick(state, 'missing')} {untold[0].teach}"


def _words(found: Assessment, before: frozenset[str]) -> dict[str, str]:
    """What can be praised: a key point and the person's own words for it; empty: nothing."""
    covered = [point for point in found.covered if point.name not in before] or list(found.covered)
    if not covered:
        return {}
    point = covered[0].name
    name = spoken_name(point)
    return {"point": name, "Point": name[0].upper() + name[1:], "term": _term(found, before)}


def _term(found: Assessment, before: frozenset[str]) -> str:
    """Some of their own words that say something: "cache the popular links", not "i am a"."""
    for point in found.covered:
        words = point.term.split()
        telling = any(word.strip(".,").split("'")[0] not in FUNCTION_WORDS for word in words)
        if point.name not in before and 2 <= len(words) <= TERM_WORDS and telling:
            own = re.sub(r"\bi\b", "I", point.term)
            return f"“{own}”"
    return ""
