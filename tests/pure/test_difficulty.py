"""The level moves as told, and the next question fits it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.coach.difficulty import HIGHEST, LOWEST, START, level_after, level_shifted, next_question
from pipeline.coach.questions import bank

QUESTIONS = list(bank().topics["system_design"].questions)
ORDER = [question.id for question in QUESTIONS]


def test_row_of_fives_reaches_difficulty_three_at_the_fifth_question():
    level, asked = START, []
    for _ in range(5):
        left = [question for question in QUESTIONS if question not in asked]
        question = next_question(left, level, asked[-1].difficulty + 1 if asked else 3, ORDER)
        asked.append(question)
        level = level_after(level, question.difficulty, 5)
    difficulties = [question.difficulty for question in asked]
    assert difficulties == sorted(difficulties)
    assert difficulties[0] == 1
    assert difficulties[4] == 3


def test_expected_score_leaves_the_level_almost_alone():
    assert abs(level_after(2.0, 2, 3) - 2.0) < 0.001


def test_right_answer_to_a_hard_question_counts_more():
    assert level_after(2.0, 3, 5) > level_after(2.0, 1, 5)


@given(st.floats(LOWEST, HIGHEST), st.integers(1, 3), st.integers(1, 5))
def test_level_stays_in_its_bounds(level, difficulty, score):
    assert LOWEST <= level_after(level, difficulty, score) <= HIGHEST


def test_better_scores_never_lower_the_level():
    levels = [level_after(1.8, 2, score) for score in range(1, 6)]
    assert levels == sorted(levels)


def test_harder_and_easier_shift_the_level():
    assert level_shifted(1.5, harder=True) == 2.2
    assert level_shifted(1.5, harder=False) == 0.8


def test_question_above_the_limit_comes_only_if_there_is_no_other():
    hard = [question for question in QUESTIONS if question.difficulty == 3]
    assert next_question(QUESTIONS, 3.5, 1, ORDER).difficulty == 1
    assert next_question(hard, 3.5, 1, ORDER).difficulty == 3


def test_no_question_left_is_none():
    assert next_question([], 1.5, 3, ORDER) is None
