"""What is the product's own to say, word for word: greetings, questions, fillers, as a voice is given them.

Nobody's words are among them, neither a person's nor a model's: what is kept of their sound tells nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from pipeline import modes
from pipeline.coach.questions import bank
from pipeline.languages import language_of
from pipeline.sentences import Sentences
from pipeline.speakable import speakable

# Where one part ends and the next begins: a sentence, or what leads up to one ("What's missing: ...").
_BETWEEN = re.compile(r"(?<=[.!?…:؟।])\s+|(?<=[。！？：])\s*")


def is_fixed(spoken: str, language: str) -> bool:
    """Whether a phrase for a voice is put together from nothing but that. The first one of a language takes
    some tens of ms."""
    parts = list(_parts(spoken))
    return bool(parts) and all(part in _fixed(language) for part in parts)


def _parts(spoken: str) -> Iterator[str]:
    """Short ones are spoken together, so each is looked up by itself."""
    return (part for part in _BETWEEN.split(spoken.strip()) if part)


@cache
def _fixed(language: str) -> frozenset[str]:
    found: set[str] = set()
    for text in _texts(language):
        cutter = Sentences(language)  # whose first phrase may be a clause
        for phrase in (text, *cutter.push(text + " "), *cutter.flush()):
            found |= set(_parts(speakable(phrase, language).text))
    return frozenset(found)


def _texts(language: str) -> Iterator[str]:
    names = [persona.name for persona in modes.load().personas.values()]
    for text in _sources(language):
        for name in names if "{persona}" in text else names[:1]:
            said = text.replace("{persona}", name).replace("{tip}", "").replace("{ask}", "")  # ours, too
            if "{" not in said:  # the rest of the places are for what somebody said
                yield said


def _sources(language: str) -> Iterator[str]:
    for lines in language_of(language).say.values():
        yield from lines
    talk = _table("partner")
    yield from _strings([talk[language], talk["formal"].get(language)])
    if language != "en":
        return
    yield from _strings([talk["chat"], talk["chat_words"], _table("scripted")])
    for question in bank().questions.values():
        yield from (question.ask, question.follow_up, question.tip)
        yield from (point.teach for point in question.points)
        yield from (wrong.teach for wrong in question.wrong)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("pipeline.llm") / f"{name}.toml").read_text("utf-8"))


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, list | dict):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _strings(part)
