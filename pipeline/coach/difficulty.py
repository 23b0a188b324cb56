"""Which question comes next: an Elo-like level of the person on the questions' scale of 1 to 3."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.coach.questions import Question

START = 1.5
LOWEST, HIGHEST = 0.5, 3.5
EASIER_THAN_LEVEL = 0.4  # about 60 % of the answers succeed at that
STEP = 0.7  # of "harder" and "easier"


def level_after(level: float, difficulty: int, score: int) -> float:
    """The person's level after an answer: up by how much better (1 to 5) it was than expected."""
    expected = 1 / (1 + math.exp(difficulty - level))
    return _bounded(level + (score - 1) / 4 - expected)


def level_shifted(level: float, *, harder: bool) -> float:
    """The level after the person asked for harder or easier questions."""
    return _bounded(level + (STEP if harder else -STEP))


def next_question(
    left: Sequence[Question], level: float, highest: float, order: Sequence[str]
) -> Question | None:
    """The question whose difficulty is nearest to what the person gets right more often than not.

    Args:
        left: questions not asked yet.
        highest: difficulty above which only a question is taken if there is no other.
        order: ids, for questions of the same difficulty.
    """
    target = level - EASIER_THAN_LEVEL
    return min(
        left,
        key=lambda one: (one.difficulty > highest, abs(one.difficulty - target), order.index(one.id)),
        default=None,
    )


def _bounded(level: float) -> float:
    return round(min(max(level, LOWEST), HIGHEST), 3)
