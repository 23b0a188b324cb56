"""The bank and the scoring together: every entry, every question, and answers as people speak them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.coach.content import score
from pipeline.coach.matching import find, without_echo, words_of
from pipeline.coach.questions import bank

ANSWERS = tomllib.loads(Path(__file__).with_name("answers.toml").read_text("utf-8"))
BOUNDS = {"strong": (4, 5), "mediocre": (2, 3), "wrong": (1, 2), "stuffed": (1, 2)}
AT_LEAST = {"strong": 13, "mediocre": 12, "wrong": 13, "stuffed": 13}  # of 13 questions
QUESTIONS = list(bank().questions.values())
TECHNICAL = [question for question in QUESTIONS if question.scoring == "points"]


def among_others(entry: str) -> str:
    """An entry in words that belong to no question."""
    return f"oh perhaps {entry.replace('*', 'really')} certainly fine as he told her yesterday morning again"


def test_bank_has_six_topics_of_ten_questions():
    assert [len(topic.questions) for topic in bank().topics.values()] == [10] * 6


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_question_read_back_scores_nothing(question):
    assert score(question, question.ask).coverage == 0


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_every_entry_is_found_in_an_answer_that_has_it(question):
    slips = tuple(bank().slips.items()) if question.scoring == "points" else ()
    asked = words_of(question.ask, slips=dict(slips))
    for part in (*question.points, *question.wrong):
        for entry in part.says:
            said = words_of(among_others(entry), slips=dict(slips))
            said = said if part in question.wrong else without_echo(said, asked)
            assert any(find(entry, said, slips=slips)), entry


@pytest.mark.parametrize("question", TECHNICAL, ids=lambda question: question.id)
def test_answer_made_of_one_entry_of_each_point_covers_all(question):
    answer = ". ".join(max(point.says, key=len).replace("*", "really") for point in question.points)
    assert score(question, answer).coverage == 1


@pytest.mark.parametrize(
    "question", [one for one in QUESTIONS if one.wrong], ids=lambda question: question.id
)
def test_misconception_is_put_right(question):
    for misconception in question.wrong:
        found = score(question, among_others(misconception.says[0]))
        assert found.verdict == "wrong"
        assert misconception.teach in [wrong.teach for wrong in found.wrong]


@pytest.mark.parametrize("kind", BOUNDS)
def test_answers_as_people_speak_them_are_rated_as_they_deserve(kind):
    low, high = BOUNDS[kind]
    scores = {name: score(bank().questions[name], answers[kind]).score for name, answers in ANSWERS.items()}
    fair = [name for name, number in scores.items() if number is not None and low <= number <= high]
    assert len(fair) >= AT_LEAST[kind], scores


def test_strong_answer_to_another_topics_question_is_not_rated_high():
    high = []
    for name, answers in ANSWERS.items():
        for other in QUESTIONS:
            if other.topic != name.split(".")[0] and other.scoring == "points":
                found = score(other, answers["strong"])
                if found.score is not None and found.score > 2:
                    high.append((name, other.id, found.score))
    assert len(high) <= 8, high  # of about 500
