"""What a recogniser is told beforehand."""

from __future__ import annotations

from pipeline.coach.hints import MOST, hints
from pipeline.coach.questions import bank


def test_an_interview_names_the_terms_of_its_topic() -> None:
    assert "kubernetes" in hints("interview", "en", "cloud_devops")
    assert "kubernetes" not in hints("interview", "en", "databases")


def test_without_a_topic_they_come_from_all() -> None:
    everything = hints("interview", "en", None)
    assert len(everything) == MOST
    assert {"cache", "queue", "database"} <= set(everything)
    assert set(everything) <= set(bank().slips.values())


def test_elsewhere_there_are_none() -> None:
    assert hints("chat", "en", None) == hints("interview", "de", None) == ()


def test_in_another_language_only_names_are_told() -> None:
    told = hints("interview", "de", "cloud_devops")
    assert "kubernetes" in told
    assert "canary" in hints("interview", "en", "cloud_devops")
    assert "canary" not in told
