"""Looks for situation, own actions and result in a behavioural answer (English).

Points raise nothing here: blame and opinions are full of their words. What counts is that something happened,
that the person did something about it, and how it came out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.coach.matching import Said

ACTION_REACH = 2  # words after "I" in which an action may stand
ACTION_ROOM = 3  # words an action has to itself: a row of "I asked I decided" tells nothing
EVENT_VERBS = 6  # past verbs that make an event without a cue
PLAN_WOULDS = 3  # "would" that make a plan of it

_TIME = (
    "year month week summer winter spring autumn fall quarter job role company team project position".split()
)
_SITUATION = re.compile(
    rf"""\b(?:
    (?:last|previous|first|former|old)\s(?:{"|".join(_TIME)})
  | (?:years?|months?|weeks?|days?)\sago | when\si\s(?:was|worked|joined|started|had|led) | while\si\swas
  | at\s(?:my|our|the)\s(?:\w+\s){{0,2}}
    (?:company|job|employer|university|school|startup|office|bank|firm|agency|team)
  | (?:we|i)\shad\s(?:a|an|two|three|five|just|been|only|one) | there\swas\s(?:a|an|one|this) | at\sthe\stime
  | back\sthen | one\s(?:day|morning|evening|night|friday|monday)
  | (?:we|i)\s(?:was|were)\s(?:working|leading|building|asked|responsible)
  | during\s(?:my|our|the|a) | in\s(?:19|20)\d\d | a\s(?:year|while|few\syears)\sago | my\steam\s(?:was|had)
  | (?:a|my|our)\s(?:colleague|customer|manager|boss|client|teammate)\s(?:\w+\s)?
    (?:wanted|asked|came|told|called|was|had|said)
    )\b""",
    re.VERBOSE,
)
_RESULT = re.compile(
    r"""\b(?:
    as\sa\sresult | in\sthe\send | the\s(?:result|outcome|effect)\swas | eventually | finally | since\sthen
  | so\sthat
  | (?:it|that|this)\sworked | on\stime | (?:went|dropped|fell|came)\s(?:from|down|to|by|up)
  | reduced | increased | improved | doubled | halved | tripled | saved | grew | shipped | launched
  | delivered | released
  | (?:faster|quicker|shorter|cheaper|safer|fewer|less|better|higher|lower|smaller|calmer|easier|happier
    |stronger)
  | never\shappened\sagain | still\s(?:uses?|in\suse|works?|runs?) | got\spromoted | was\spromoted | adopted
  | (?:\d+|two|three|four|five|six|seven|eight|nine|half|half\sa)\s(?:percent|times|thousand|million)
    )\b""",
    re.VERBOSE,
)
_NUMBER = re.compile(
    r"""\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|half
  |a\s(?:third|quarter))\s(?:a\s|of\s(?:the|our|an)\s)?(?:
    percent|times|thousand|million|seconds?|milliseconds?|minutes?|hours?|days?|weeks?|months?|years?|people|users?
  | customers?|tickets?|bugs?|incidents?|euros?|dollars?|pounds?|calls?|teams?|releases?|orders?
  | points?|engineers?|requests?
    )\b|\bhalved\b|\bdoubled\b|\btripled\b|\bzero\b""",
    re.VERBOSE,
)
_LEARNED = re.compile(
    r"""\b(?:
    i\s(?:have\s|had\s|also\s|really\s)?learn(?:ed|t) | (?:taught|showed)\s(?:me|us) | next\stime
  | the\slesson | (?:since\sthen|now|today)\s(?:i|we) | (?:what|which)\si\s(?:took|learned)
  | i\s(?:realised|realized) | my\slesson
    )\b""",
    re.VERBOSE,
)
_IRREGULAR = frozenset(
    """
    built wrote led took made found went said told came gave got did knew thought began brought kept
    left lost met ran sat saw sent spoke spent chose drew fell felt held heard paid read rebuilt rewrote
    set showed shut sold stood swapped taught understood wore won broke caught cut put split threw drove
    froze grew wound bought flew hit was were had became
    """.split()
)
_NO_VERBS = frozenset(
    "need feed speed indeed seed bleed breed exceed proceed hundred red bed shed embed".split()
)
_NO_ACTIONS = frozenset(  # something that happened in the head, or to the person
    """
    was were had needed wanted noticed agreed worked learned learnt knew thought felt got became
    realised realized liked loved hoped believed seemed tried used heard saw understood expected
    disagreed received started remembered enjoyed hated wished looked failed happened lost stayed cared
    assumed guessed managed fell supposed did went
    """.split()
)
_SELF = ("i",)


@dataclass(frozen=True, slots=True)
class Star:
    situation: bool
    task: bool
    actions: tuple[str, ...]  # different verbs, in order
    result: bool
    number: bool  # in the part where the result is
    learned: bool
    woulds: int
    event: bool  # something that really happened


_TASK = re.compile(
    r"""\b(?:
    had\sto | needed\sto | my\s(?:job|task|role|goal)\swas | the\sgoal | deadline | my\sresponsibility
  | was\s(?:supposed\sto|responsible|asked\sto) | asked\sme\sto
    )\b""",
    re.VERBOSE,
)


def star_of(said: Sequence[Said]) -> Star:
    """What an answer tells, from its words."""
    words = [one.word for one in said]
    text = " ".join(words)
    late = " ".join(words[len(words) // 3 :])
    woulds = words.count("would")
    verbs = sum(_is_past(word) for word in words)
    situation = _SITUATION.search(text) is not None
    return Star(
        situation=situation,
        task=_TASK.search(text) is not None,
        actions=_actions(words),
        result=_RESULT.search(late) is not None,
        number=_NUMBER.search(late) is not None,
        learned=_LEARNED.search(text) is not None,
        woulds=woulds,
        event=situation or (verbs >= EVENT_VERBS and woulds < PLAN_WOULDS),
    )


def star_score(star: Star, coverage: float, *, lowest: float) -> int:
    """1 to 5; `lowest` is the coverage below which nothing of the question was touched."""
    own = len(star.actions)
    if not star.event or (star.woulds >= PLAN_WOULDS and own < 2):
        return 1 if coverage < lowest else 2
    score = 2 + (own >= 3) + star.result
    if score == 4 and star.number and star.learned:
        score = 5
    if own < 2 or coverage < lowest:
        score = min(score, 3)
    if own == 0 and not star.result:
        score = min(score, 2)
    return score


def _actions(words: Sequence[str]) -> tuple[str, ...]:
    places = []
    for place, word in enumerate(words):
        if word not in _SELF:
            continue
        for after in range(place + 1, min(len(words), place + 1 + ACTION_REACH)):
            if words[after] in _SELF or words[after] in ("not", "never"):
                break
            if _is_past(words[after]) and words[after] not in _NO_ACTIONS:
                places.append(after)
                break
    found: dict[str, None] = {}
    for place, following in pairwise([*places, len(words) + 1]):
        if following - place - 1 >= ACTION_ROOM:
            found.setdefault(words[place])
    return tuple(found)


def _is_past(word: str) -> bool:
    return word in _IRREGULAR or (len(word) > 3 and word.endswith("ed") and word not in _NO_VERBS)
