"""The question bank: topics, questions and their key points, read from questions.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

Scoring = Literal["points", "star", "profile"]


@dataclass(frozen=True, slots=True)
class Point:
    name: str
    says: tuple[str, ...]  # any of them covers it; "*": up to three words
    teach: str  # spoken when it is missing


@dataclass(frozen=True, slots=True)
class Misconception:
    says: tuple[str, ...]
    teach: str  # what is right


@dataclass(frozen=True, slots=True)
class Question:
    id: str  # "topic.name"
    topic: str  # id
    scoring: Scoring
    difficulty: int  # 1 easy .. 3 hard
    ask: str  # spoken as it stands
    follow_up: str
    tip: str
    points: tuple[Point, ...]
    wrong: tuple[Misconception, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    id: str
    title: str
    scoring: Scoring
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class Bank:
    topics: Mapping[str, Topic]  # by id, in the file's order
    questions: Mapping[str, Question]  # by id
    slips: Mapping[str, str]  # what recognisers return -> the term


@cache
def bank() -> Bank:
    """The whole bank (English); read once per process."""
    data = tomllib.loads(
        resources.files("pipeline.coach").joinpath("questions.toml").read_text(encoding="utf-8")
    )
    topics = {table["id"]: _topic(table) for table in data["topics"]}
    questions = {question.id: question for topic in topics.values() for question in topic.questions}
    return Bank(MappingProxyType(topics), MappingProxyType(questions), MappingProxyType(data["slips"]))


def _topic(table: dict[str, Any]) -> Topic:
    questions = tuple(_question(table, row) for row in table["questions"])
    return Topic(table["id"], table["title"], table["scoring"], questions)


def _question(topic: dict[str, Any], row: dict[str, Any]) -> Question:
    return Question(
        id=row["id"],
        topic=topic["id"],
        scoring=topic["scoring"],
        difficulty=row["difficulty"],
        ask=row["ask"],
        follow_up=row["follow_up"],
        tip=row["tip"],
        points=tuple(Point(point["name"], tuple(point["says"]), point["teach"]) for point in row["points"]),
        wrong=tuple(Misconception(tuple(wrong["says"]), wrong["teach"]) for wrong in row.get("wrong", [])),
    )
