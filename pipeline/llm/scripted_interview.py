"""The scripted interviewer: reacts to what was said, then asks. Words in, words and a changed state out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.coach.content import Assessment, score
from pipeline.coach.difficulty import level_after, level_shifted, next_question
from pipeline.coach.questions import Question, bank
from pipeline.languages import cue, fold, is_backchannel, language_of
from pipeline.llm.scripted_feedback import after_follow_up, explained, feedback, limited, what_about
from pipeline.llm.scripted_state import State, pick, shuffled

INTRODUCTION = "about_yourself.introduction"  # how interviews begin, where no topic was chosen
HEARD_SHARE = 0.6  # of a question, from which on an answer to it can be meant
FOLLOW_UPS = 1  # of our own per question; what is missing after that is told, not asked
PROMPTS = 1  # "tell me more" per question
SHORT_QUESTION_WORDS = 15  # a longer one is an answer that begins like a question
INJECTION = re.compile(
    r"\b(?:(?:ignore|forget|disregard)\b.{0,30}\b(?:instructions?|rules|prompt)|system prompt|"
    r"give me (?:a |the )?(?:five|full marks|best score|top score|highest score)|you are now)\b"
)
HOSTILE = re.compile(r"\b(?:fuck\w*|shit|stupid (?:question|bot|machine)|idiot|shut up|screw you|asshole)\b")
CONTRACTED = (
    ("that is", "that's"),
    ("i am", "i'm"),
    ("let us", "let's"),
    ("i would", "i'd"),
    ("do not", "don't"),
)
YES = frozenset("yes yeah yep yup sure okay ok please correct right absolutely exactly".split())
NO = frozenset("no nope nah not continue go keep".split())
GREETINGS = frozenset(
    "hello hi hey good morning afternoon evening nice to meet you too alex vera mei tomas thanks".split()
)


def opening(persona_name: str, topic: str | None, seed: int) -> tuple[str, State]:
    """The greeting with the first question."""
    state = State(seed=seed)
    if topic is not None and topic in bank().topics:
        state.topics = [topic]
        first = _next_question(state)
        assert first is not None
    else:
        state.topics = _topic_order(seed)
        first = bank().questions[INTRODUCTION]
        state.asked.append(first.id)
    name = "greeting" if persona_name else "greeting_nameless"
    said = f"{pick(state, name, {'persona': persona_name})} {pick(state, 'begin')}"
    return _asked(state, said, first), state


def under_way(topic: str | None, seed: int) -> State:
    """Of an interview that another mind began: what it has asked is not known."""
    if topic is not None and topic in bank().topics:
        return State(seed=seed, topics=[topic])
    return State(seed=seed, topics=_topic_order(seed), asked=[INTRODUCTION])


def take_over(state: State, heard: str, questions: int) -> str:
    """A reply where another mind has spoken last; changes `state`. What was heard answers a question that is
    not known here, so it is not judged, and a question of our own follows."""
    state.turn += 1
    if state.ended:
        return pick(state, "over")
    if _cue(heard) == "stop":
        return _move(state, "stop", questions)
    return _go_on(state, pick(state, "go_on"), questions)


def react(state: State, heard: str, last_reply: str | None, questions: int) -> str:
    """The next reply; changes `state`.

    Args:
        heard: what the person said since the last reply; "" if nothing.
        last_reply: of that reply what was heard; None: it is not known any more.
        questions: how many main questions the interview has.
    """
    state.turn += 1
    asked_from, state.ask_from = state.ask_from, 0  # 0: this reply asks nothing of its own
    if state.ended:
        return pick(state, "over")
    if not heard:
        return _again(state, pick(state, "still_here"))
    kind = _cue(heard)
    if state.stop_asked:
        state.stop_asked = False
        said_yes = kind == "stop" or (_is_short(heard) and _opens(heard, YES) and not _opens(heard, NO))
        if said_yes:
            return _close(state, "stopped")
        if _is_short(heard):
            return _again(state, pick(state, "go_on"))
    if kind not in (None, "dont_know"):
        return _move(state, str(kind), questions)
    if not _question_was_heard(state, asked_from, last_reply):
        return _cut_in(state, heard)
    aside = _aside(state, heard, dont_know=kind == "dont_know")
    return aside if aside is not None else _answered(state, heard, questions)


# ------------------------------------------------------------------ answers


def _answered(state: State, heard: str, questions: int) -> str:
    question = bank().questions[state.asked[-1]]
    before = frozenset(point.name for point in _found(question, state.answers).covered)
    follows = bool(state.answers)
    if _cue(heard) == "dont_know":
        said = limited(pick(state, "after_follow_up")) if follows else explained(state, question)
        state.low += 1
        state.ceiling = state.difficulty
        return _go_on(state, said, questions)
    state.answers.append(heard)
    found = _found(question, state.answers)
    if found.guard == "language":
        state.answers.pop()
        return _again(state, feedback(state, question, found, before))
    if found.verdict == "off_topic" and not follows and state.prompts < PROMPTS:
        state.answers.pop()
        state.prompts += 1
        return _again(state, pick(state, "off_topic"))
    said = (after_follow_up if follows else feedback)(state, question, found, before)
    probe = _probe(state, question, found)
    if probe is not None:
        state.follow_ups += 1
        return _asked(state, said, probe)
    _learn(state, question, found)
    return _go_on(state, said, questions)


def _found(question: Question, answers: Sequence[str]) -> Assessment:
    return score(question, " ".join(answers))


def _probe(state: State, question: Question, found: Assessment) -> str | None:
    """A question that builds on the answer, aims at what is weakest and gives nothing away."""
    if state.follow_ups >= FOLLOW_UPS or found.wrong or found.verdict == "off_topic":
        return None
    if found.star is not None and found.verdict != "right":
        if not found.star.event:
            return pick(state, "ask_event")
        if len(found.star.actions) < 3:
            return pick(state, "ask_own")
        if not found.star.result:
            return pick(state, "ask_result")
        return question.follow_up
    if question.scoring != "points":
        return question.follow_up if not found.guard else None
    if found.verdict == "right":
        return question.follow_up
    untold = [point for point in found.missing if point.name not in state.told]
    return what_about(state, untold[0]) if untold else question.follow_up


def _learn(state: State, question: Question, found: Assessment) -> None:
    """Moves the person's level by what they scored, and notes what worked."""
    if found.score is not None:
        moved = level_after(state.theta, question.difficulty, found.score)
        state.theta = max(moved, state.theta) if found.unsure else moved
        state.low = state.low + 1 if found.score <= 2 and not found.unsure else 0
        if found.score >= 4:
            state.good.append(found.covered[0].name if found.covered else question.points[0].name)
    if found.score is None or found.score < 4:
        state.tips.append(question.tip)
    state.ceiling = state.difficulty + 1


# ------------------------------------------------------------------ what is no answer


def _move(state: State, kind: str, questions: int) -> str:
    """What a cue asks for."""
    if kind == "stop":
        state.stop_asked = True
        return pick(state, "stop_sure")
    if kind == "wait":
        return pick(state, "wait")
    if kind in ("repeat", "slower"):
        return _again(state, pick(state, "again" if kind == "repeat" else "slower"))
    if kind == "back":
        if len(state.asked) < 2:
            return _again(state, pick(state, "back_nothing"))
        state.asked[-2:] = [state.asked[-1], state.asked[-2]]
        return _asked(state, pick(state, "back"), bank().questions[state.asked[-1]])
    if kind == "done" and state.answers:
        _learn(
            state, bank().questions[state.asked[-1]], _found(bank().questions[state.asked[-1]], state.answers)
        )
    if kind in ("harder", "easier"):
        state.theta = level_shifted(state.theta, harder=kind == "harder")
        state.ceiling = 3 if kind == "harder" else max(1, state.difficulty - 1)
    return _go_on(state, pick(state, kind), questions)  # done, skip, harder, easier


def _aside(state: State, heard: str, *, dont_know: bool) -> str | None:
    """What is said beside an answer: a greeting, a question back, an order to the machine, a bare "yes"."""
    if dont_know:
        return None
    folded = fold(heard, "en")
    words = folded.split()
    if INJECTION.search(folded):
        return _again(state, pick(state, "instructions"))
    if HOSTILE.search(folded):
        if state.calmed:
            return _again(state, pick(state, "once_more"))
        state.calmed = True
        return _again(state, pick(state, "hostile"))
    if len(words) <= 8 and words and words[0] in GREETINGS and not set(words) - GREETINGS:
        return _again(state, pick(state, "hello"))
    short = _is_short(heard)
    asks = language_of("en").question_starts.at_start(folded) is not None or heard.rstrip().endswith("?")
    if asks and len(words) <= SHORT_QUESTION_WORDS and _is_main(state) and state.prompts < PROMPTS:
        question = bank().questions[state.asked[-1]]
        if question.id != "about_yourself.questions_for_us" and _found(question, [heard]).coverage == 0:
            state.prompts += 1
            return _again(state, pick(state, "clarify"))
    if short and _is_main(state) and state.prompts < PROMPTS:
        state.prompts += 1
        return _again(state, pick(state, "short"))
    return None


def _cut_in(state: State, heard: str) -> str:
    """The person spoke before the question had been heard: note it, and ask."""
    said = pick(state, "cut_in")
    return _again(state, f"{said} {pick(state, 'once_more')}")


def _cue(heard: str) -> str | None:
    """As pipeline.languages.cue, also for what a recogniser writes out in full ("that is all")."""
    short = fold(heard, "en")
    for long, contracted in CONTRACTED:
        short = re.sub(rf"\b{long}\b", contracted, short)
    return cue(heard, "en") or cue(short, "en")


def _question_was_heard(state: State, asked_from: int, last_reply: str | None) -> bool:
    if last_reply is None or not state.ask or not asked_from:
        return True
    return len(last_reply.rstrip()) - asked_from >= HEARD_SHARE * len(state.ask)


def _is_short(heard: str) -> bool:
    return len(fold(heard, "en").split()) <= 3 or is_backchannel(heard, "en")


def _opens(heard: str, words: frozenset[str]) -> bool:
    return any(word in words for word in fold(heard, "en").split()[:3])


def _is_main(state: State) -> bool:
    return state.follow_ups == 0


# ------------------------------------------------------------------ asking


def _again(state: State, said: str) -> str:
    state.ask_from = len(said) + 1
    return f"{said} {state.ask}"


def _asked(state: State, said: str, question: Question | str) -> str:
    if isinstance(question, Question):
        state.answers, state.told, state.follow_ups, state.prompts = [], [], 0, 0
        state.difficulty = question.difficulty
        state.ceiling = question.difficulty + 1
    state.ask = question.ask if isinstance(question, Question) else question
    state.ask_from = len(said) + 1
    return f"{said} {state.ask}"


def _go_on(state: State, said: str, questions: int) -> str:
    """The next question, or the end."""
    done = len(state.asked)
    question = _next_question(state) if done < questions else None
    if question is None:
        return f"{said} {_close(state, 'finished')}"
    return _asked(state, f"{said} {pick(state, 'last' if done == questions - 1 else 'next')}", question)


def _next_question(state: State) -> Question | None:
    """Unasked, of the wanted topic, its difficulty nearest to what about 60 % get right."""
    topics = bank().topics
    wanted = [state.topics[len(state.asked) % len(state.topics)], *state.topics, *_topic_order(state.seed)]
    for topic in wanted:
        left = [question for question in topics[topic].questions if question.id not in state.asked]
        if left:
            break
    else:
        return None
    ceiling = (
        max(1.0, min(state.ceiling, state.difficulty - 1 if state.low >= 2 else 3)) if state.difficulty else 3
    )
    order = shuffled([question.id for question in left], state.seed, topic)
    chosen = next_question(left, state.theta, ceiling, order)
    assert chosen is not None
    state.asked.append(chosen.id)
    return chosen


def _topic_order(seed: int) -> list[str]:
    """All topics, the person first: that is how interviews begin."""
    rest = [topic for topic in bank().topics if topic != "about_yourself"]
    return ["about_yourself", *shuffled(rest, seed, "topics")]


def _close(state: State, why: str) -> str:
    """Says what worked and what to practise, and ends."""
    parts = [pick(state, "closing" if why == "finished" else "closing_stopped")]
    good = list(dict.fromkeys(state.good))
    if len(good) > 1:
        parts.append(pick(state, "closing_good", {"first": good[-1], "second": good[-2]}))
    elif good:
        parts.append(pick(state, "closing_good_one", {"first": good[0]}))
    if state.tips:
        parts.append(pick(state, "closing_practise", {"tip": state.tips[-1]}))
    parts.append(pick(state, "closing_thanks"))
    state.ended, state.ask = why, ""
    return " ".join(parts)
