"""What the scripted interviewer remembers between two replies, as the JSON of a Note."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from importlib import resources
from typing import Any

OPENINGS_APART = 5  # turns before the same opening may come again


@dataclass(slots=True)
class State:
    """One interview, as it stands after a reply. All values are JSON values."""

    seed: int = 0
    turn: int = 0  # replies so far
    asked: list[str] = field(default_factory=list)  # ids of questions, the one being asked last
    answers: list[str] = field(default_factory=list)  # what was said to it so far
    told: list[str] = field(default_factory=list)  # names of its points that were explained
    ask: str = ""  # the words of the question being asked (main or follow-up)
    ask_from: int = 0  # where it begins in the reply that asked it
    follow_ups: int = 0  # asked about this question
    prompts: int = 0  # "tell me more", "back to the question" and the like, about this question
    theta: float = 1.5  # the person's level, 0.5 to 3.5
    difficulty: int = 0  # of the last question
    ceiling: float = 3.0  # the next question is not harder than this
    low: int = 0  # answers of 2 or less in a row
    topics: list[str] = field(default_factory=list)  # that are gone through, where none was chosen
    used: dict[str, int] = field(default_factory=dict)  # opening -> the turn it was last used in
    good: list[str] = field(default_factory=list)  # what worked, for the closing words
    tips: list[str] = field(default_factory=list)  # what to practise, the newest last
    stop_asked: bool = False
    calmed: bool = False  # "we can stop at any time" was said
    ended: str = ""  # why it is over; "": it is not

    @classmethod
    def read(cls, note: Mapping[str, Any]) -> State:
        known = {one.name for one in fields(cls)}
        # A copy to the bottom: the reply that carries this note may be answered a second time.
        return cls(**deepcopy({key: value for key, value in note.items() if key in known}))

    def note(self) -> dict[str, Any]:
        data = asdict(self)
        if not self.ended:
            del data["ended"]  # its presence tells the session that the conversation is over
        return data


@cache
def phrases() -> Mapping[str, list[str]]:
    """scripted.toml."""
    return tomllib.loads((resources.files("pipeline.llm") / "scripted.toml").read_text(encoding="utf-8"))


def shuffled(items: list[str], seed: int, salt: str) -> list[str]:
    """The same order for the same seed, in every process."""
    result = list(items)
    random.Random(f"{seed}/{salt}").shuffle(result)
    return result


def pick(state: State, kind: str, words: Mapping[str, str] | None = None) -> str:
    """One of the phrases of a kind: one that can be filled in and that was not heard for the longest time."""
    words = words or {}
    usable = [one for one in phrases()[kind] if _fits(one, words)]
    order = shuffled(usable, state.seed, kind)
    chosen = min(order, key=lambda one: (state.used.get(one, -OPENINGS_APART), order.index(one)))
    state.used[chosen] = state.turn
    for old in [one for one, turn in state.used.items() if turn < state.turn - 3 * OPENINGS_APART]:
        del state.used[old]
    for name, value in words.items():
        chosen = chosen.replace(f"{{{name}}}", value)
    return chosen


def _fits(phrase: str, words: Mapping[str, str]) -> bool:
    return all(words.get(name) for name in _names(phrase))


def _names(phrase: str) -> list[str]:
    return [part.split("}")[0] for part in phrase.split("{")[1:]]
