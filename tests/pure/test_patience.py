"""Every example of languages.toml, the order of judgement, and what it comes to in milliseconds."""

from __future__ import annotations

import pytest

from pipeline.languages import languages
from pipeline.patience import Verdict, judge, patience_ms
from pipeline.settings import PatienceSettings, TurnSettings

COMPLETE = [(code, text) for code, known in languages().items() for text in known.must_not["complete"]]
HANGING = [(code, text) for code, known in languages().items() for text in known.must_not["hanging_examples"]]


def test_all_languages_bring_examples() -> None:
    assert len({code for code, _ in COMPLETE}) == len({code for code, _ in HANGING}) == 13


@pytest.mark.parametrize("punctuated", [False, True])
@pytest.mark.parametrize(("language", "text"), COMPLETE)
def test_complete_examples_do_not_hang(language: str, text: str, punctuated: bool) -> None:
    assert judge(text, language, punctuated).kind != "hanging"


@pytest.mark.parametrize("end", ["", "."])
@pytest.mark.parametrize(("language", "text"), HANGING)
def test_hanging_examples_hang_also_with_a_full_stop(language: str, text: str, end: str) -> None:
    assert judge(text + end, language, punctuated=True).kind == "hanging"


@pytest.mark.parametrize("code", languages())
def test_a_lone_filler_hangs(code: str) -> None:
    for filler in languages()[code].fillers.all:
        assert judge(filler, code).kind == "hanging", filler


@pytest.mark.parametrize(
    ("language", "text", "kind"),
    [
        ("en", "my number is five five five", "hanging"),
        ("en", "it is double four", "hanging"),
        ("en", "My number is 555 12", "hanging"),
        ("en", "it is 555-1234", "hanging"),
        ("en", "we were five", "neutral"),
        ("en", "we started in 2019", "neutral"),
        ("en", "we had 10,000 users and cut it by 99.9", "neutral"),
        ("en", "it's j o h n dot", "hanging"),
        ("en", "it's john one dot", "hanging"),
        ("en", "foo underscore bar dot", "hanging"),
        ("en", "that was the dot", "neutral"),
        ("it", "a questo punto", "neutral"),
        ("it", "e poi a questo punto", "neutral"),
        ("it", "la mail è c r punto", "hanging"),
        ("fr", "mon adresse est m tiret bas", "hanging"),
        ("zh", "我的电话是一三八", "hanging"),
        ("zh", "我们从三点", "neutral"),
        ("zh", "邮箱是a艾特", "hanging"),
        ("ja", "番号はゼロ三", "hanging"),
        ("ko", "번호는 공 일 공", "hanging"),
    ],
)
def test_dictated_numbers_and_addresses_hang(language: str, text: str, kind: str) -> None:
    assert judge(text, language).kind == kind


@pytest.mark.parametrize(
    ("language", "text", "punctuated", "verdict"),
    [
        # 1: a cue comes first, also where its last word would hang ("that's it")
        ("en", "That's it.", False, Verdict("complete", "cue: done", "done")),
        ("en", "let me think", False, Verdict("complete", "cue: wait", "wait")),
        # 3 before 4: an exception saves an ending that hangs
        ("en", "yes i think so", False, Verdict("complete", "here so stands for a whole clause")),
        ("en", "um yes i think so", False, Verdict("complete", "here so stands for a whole clause")),
        # 4 before 5: a question that is not finished
        ("en", "what do you think about the", False, Verdict("hanging", 'ends in "the"')),
        ("en", "the service was fast but um", False, Verdict("hanging", 'ends in "um"')),
        # 5
        ("en", "what do you mean", False, Verdict("question", 'begins with "what"')),
        ("en", "okay um how does it work", False, Verdict("question", 'begins with "how"')),
        ("en", "you use it every day don't you", False, Verdict("question", 'ends in "don\'t you"')),
        ("ko", "연봉이 얼마나 될까요", False, Verdict("question", 'ends in "까요"')),
        # 6, only when the recogniser is known to punctuate
        ("en", "I like it.", True, Verdict("complete", 'ends in "."', weak=True)),
        ("en", "I like it.", False, Verdict("neutral", "no sign of an end")),
        ("en", "You like it?", True, Verdict("question", "ends in a question mark")),
        ("zh", "我喜欢这里。", True, Verdict("complete", 'ends in "。"', weak=True)),
        ("en", "I like it...", True, Verdict("neutral", "no sign of an end")),
        # 7
        ("en", "I like it", True, Verdict("neutral", "no sign of an end")),
        ("en", "", False, Verdict("neutral", "no words yet")),
    ],
)
def test_the_first_rule_that_applies_decides(
    language: str, text: str, punctuated: bool, verdict: Verdict
) -> None:
    assert judge(text, language, punctuated) == verdict


@pytest.mark.parametrize(
    ("kind", "chat_ms", "interview_ms"),
    [("complete", 240, 1000), ("question", 240, 1000), ("neutral", 700, 1600), ("hanging", 1800, 3000)],
)
def test_patience_is_the_modes(kind: str, chat_ms: int, interview_ms: int) -> None:
    turns = TurnSettings()
    verdict = Verdict(kind, "")  # type: ignore[arg-type]
    assert patience_ms(verdict, turns.chat) == chat_ms
    assert patience_ms(verdict, turns.interview) == interview_ms
    assert patience_ms(verdict, turns.interview, 1.5) == round(interview_ms * 1.5)
    assert patience_ms(verdict, turns.chat, 0.6) == round(chat_ms * 0.6)


def test_what_was_learned_about_a_person_is_the_least() -> None:
    turns = TurnSettings()
    assert patience_ms(Verdict("complete", ""), turns.chat, learned_ms=600) == 600
    assert patience_ms(Verdict("hanging", ""), turns.chat, learned_ms=600) == 1800


def test_whoever_says_that_they_are_done_does_not_wait_in_any_mode() -> None:
    turns = TurnSettings()
    done = judge("that's all", "en")
    assert patience_ms(done, turns.interview) == 240
    assert patience_ms(done, turns.interview, learned_ms=900) == 240
    assert patience_ms(judge("i don't know", "en"), turns.interview) == 1000


def test_a_recognisers_full_stop_alone_shortens_patience_only_half_way() -> None:
    chat = PatienceSettings(complete_ms=240, neutral_ms=700, hanging_ms=1800)
    assert patience_ms(judge("I put it in the memory.", "en", punctuated=True), chat) == 470
    assert patience_ms(judge("What is a cache?", "en", punctuated=True), chat) == 240
    assert patience_ms(judge("I put it in the memory", "en"), chat) == 700
