"""The rules by which answers are scored, one by one."""

from __future__ import annotations

import pytest

from pipeline.coach.content import Assessment, score
from pipeline.coach.questions import Misconception, Point, Question, bank

FILL = "as I would explain it to somebody who is new to all of this and has some time "


def question(
    *points: tuple[str, ...], wrong: tuple[str, ...] = (), ask: str = "What is it?", scoring: str = "points"
):
    return Question(
        id="system_design.url_shortener",
        topic="system_design",
        scoring=scoring,  # type: ignore[arg-type]
        difficulty=1,
        ask=ask,
        follow_up="",
        tip="",
        points=tuple(Point(f"point {n}", says, "Say it.") for n, says in enumerate(points)),
        wrong=(Misconception(wrong, "It is not so."),) if wrong else (),
    )


def status(entry: str, answer: str, **more: str) -> str:
    return score(question((entry,), **more), answer).points[0].status


def covers(entry: str, answer: str, **more: str) -> bool:
    return status(entry, answer, **more) == "covered"


# ------------------------------------------------------------------ rules 1 and 2: words


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        ("we can not lose it", "We can't lose it!"),
        ("retry after", "a Retry-After header"),
        ("four twenty nine code", "the 429 code"),
        ("429 code", "the four twenty nine code"),
        ("p ninety nine", "look at the p99"),
        ("three oh one redirect", "a 301 redirect"),
        ("four hundred four page", "a 404 page"),
        ("cache popular links", "we were caching the popular links"),
        ("cache aside", "so I use cash aside here"),
        ("message is idempotent", "the message is item potent"),
        ("expire the links", "um expire uh the er links"),
        ("rate limit", "a rate of the limit"),
        ("delete * after", "delete all of it after a year"),
        ("short * unique", "short and really quite unique"),
        ("kubernetes deployment", "a kubernets deployment"),
    ],
)
def test_same_words_in_another_form_match(entry, answer):
    assert covers(entry, answer)


@pytest.mark.parametrize(
    ("entry", "answer"),
    [
        ("rate limit", "limit the rate"),
        ("rate limit", "the rate was high and strange limit"),
        ("delete * after", "delete one two three four after"),
        ("experiment first", "experience first"),
        ("synchronous call", "asynchronous call"),
        ("locking rows", "looking rows"),
    ],
)
def test_other_words_do_not_match(entry, answer):
    assert not covers(entry, answer)


def test_slips_are_not_replaced_in_stories():
    assert not covers("cache it", "I paid cash it was", scoring="star")


# ------------------------------------------------------------------ rule 3: negation and echo


@pytest.mark.parametrize(
    "answer",
    [
        "we do not cache the links",
        "never ever cache the links",
        "without a cache for links",
        "cache not the links",
        "nobody would cache the links",
    ],
)
def test_negated_words_do_not_count(answer):
    assert not covers("cache links" if "for" in answer or "not the" in answer else "cache the links", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "not only cache the links",
        "I'm not sure but cache the links",
        "no problem cache the links",
        "it is not so hard at all to cache the links",
        "No. Cache the links.",
    ],
)
def test_harmless_negations_count(answer):
    assert covers("cache the links", answer)


def test_negation_that_belongs_to_the_entry_is_wanted():
    assert covers("does not wait", "the caller doesn't wait")


def test_echo_of_the_question_proves_nothing():
    ask = "How do you keep the popular links in memory?"
    assert not covers("popular links in memory", "so how do you keep the popular links in memory", ask=ask)


# ------------------------------------------------------------------ rule 4: points and coverage


def test_one_term_touches_and_two_terms_cover():
    one_word = question(("redis", "memcached"))
    assert score(one_word, "I would take redis").points[0].status == "touched"
    assert score(one_word, "I would take redis or memcached").points[0].status == "covered"
    assert score(one_word, "redis redis redis").points[0].status == "touched"


def test_terms_far_apart_only_touch():
    one_word = question(("redis", "memcached"))
    answer = "redis " + "and then some other thing happened " * 4 + "memcached"
    assert score(one_word, answer).points[0].status == "touched"


def test_coverage_counts_touched_half():
    found = score(
        question(("rate limit",), ("redis",), ("nothing here",), ("nor here",)), "rate limit in redis"
    )
    assert found.coverage == (1 + 0.5) / 4


def test_quote_is_the_clause_and_knows_where_it_begins():
    answer = "First some words, then I cache the popular links, and that is it."
    point = score(question(("cache the popular",)), answer).points[0]
    assert point.quote == "then I cache the popular links"
    assert answer[point.start :].startswith(point.quote)
    assert point.term == "cache the popular"


# ------------------------------------------------------------------ rule 6: misconceptions

WRONG = ("encrypt the url",)


def test_misconception_is_found_and_holds_the_score_at_two():
    asked = question(("rate limit",), ("redis cache",), wrong=WRONG)
    found = score(asked, FILL + "rate limit, and then we encrypt the url")
    assert found.verdict == "wrong"
    assert found.score == 2
    assert found.wrong[0].teach == "It is not so."
    assert "encrypt the url" in found.wrong[0].quote


def test_one_slip_in_a_good_answer_costs_less():
    asked = question(("rate limit",), ("redis cache",), wrong=WRONG)
    assert score(asked, FILL + "rate limit in the redis cache, encrypt the url").score == 3


@pytest.mark.parametrize(
    "before",
    [
        "we should never",
        "I would not",
        "instead of that people",
        "you should avoid to",
        "some people think that they",
        "it is a common myth that you should always",
        "it would be a mistake to try to",
    ],
)
def test_misconception_of_others_is_none(before):
    asked = question(("rate limit",), wrong=WRONG)
    assert not score(asked, f"{FILL}. {before} encrypt the url").wrong


# ------------------------------------------------------------------ rule 7: guards


def full(answer: str) -> Assessment:
    return score(question(("rate limit",), ("redis cache",)), answer)


def test_answer_of_a_few_words_is_held_at_two():
    assert (full("rate limit in the redis cache").guard, full("rate limit in the redis cache").score) == (
        "short",
        2,
    )


def test_bare_list_is_held_at_two():
    found = full("rate limit redis cache token bucket sliding window api key gateway counter header timeout")
    assert (found.guard, found.score) == ("list", 2)


def test_list_with_glue_is_held_at_two():
    found = full("and then we have the rate limit and it is also the redis cache and so on with that " * 3)
    assert (found.guard, found.score) == ("glued", 2)


def test_real_speech_is_not_held():
    found = full(FILL + "a rate limit protects us, and the counters live in a redis cache")
    assert (found.guard, found.score) == ("", 5)


@pytest.mark.parametrize(
    "answer",
    [
        "ich würde einen Zähler nehmen und die Daten in einer Tabelle mit dem Schlüssel speichern",
        "yo creo que la mejor forma es guardar los datos en una tabla con el código y la dirección",
        "я бы сделал таблицу с ключом и адресом и добавил кэш",
        "我会用一个数据库来保存这些链接",
    ],
)
def test_answer_in_another_language_is_not_scored(answer):
    found = full(answer)
    assert (found.guard, found.score, found.verdict) == ("language", None, "unscored")


def test_conversation_in_another_language_is_not_scored():
    assert score(question(("rate limit",)), "rate limit", "de").guard == "language"


# ------------------------------------------------------------------ rules 8 to 10: scores


@pytest.mark.parametrize(
    ("covered", "expected"), [(0, 1), (1, 1), (2, 2), (3, 3), (6, 3), (7, 4), (8, 4), (9, 5), (10, 5)]
)
def test_score_follows_coverage(covered, expected):
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliet".split()
    asked = question(*((f"{word} thing",) for word in words))
    told = ", ".join(f"it has a {word} thing" for word in words[:covered])
    rest = (
        " which comes from a long history of interesting projects, colleagues, offices, travels and meetings"
    )
    assert score(asked, told + rest).score == expected


def test_about_yourself_gets_no_number():
    assert score(question(("rate limit",), scoring="profile"), FILL + "rate limit").score is None


def test_i_do_not_know_is_no_attempt():
    found = score(question(("rate limit",)), "sorry I have no idea")
    assert (found.verdict, found.score) == ("no_attempt", None)


def test_long_answer_in_own_words_is_unsure():
    asked = question(("rate limit",), ("redis cache",))
    story = (
        "imagine a bathtub where water drips in slowly and everyone takes a cup when they arrive at the door "
    )
    assert score(asked, story * 5).unsure
    assert not score(asked, story).unsure
    assert score(asked, story * 5).verdict == "partial"


def test_another_subject_is_off_topic():
    found = score(
        bank().questions["databases.index"],
        "bananas grow on tall plants somewhere in the warm south of the world",
    )
    assert found.verdict == "off_topic"


STORY = "Last year at my company we had an outage. "


def star(answer: str) -> int | None:
    return score(bank().questions["behavioural.failure"], answer).score


def test_plan_is_no_event():
    plan = "I would talk to them, I would listen to their worries and I would look for a way"
    assert star(plan) in (1, 2)


def test_event_with_own_actions_and_result_is_four():
    told = STORY + (
        "It was my mistake, a wrong setting. I called the two engineers on duty right away. I wrote a "
        "script that repaired the orders one by one. I explained to the customers what had happened. "
        "In the end everybody "
        "got their goods and the team was calmer than before."
    )
    assert star(told) == 4


def test_number_and_learning_make_it_five():
    told = STORY + (
        "It was my mistake, a wrong setting. I called the two engineers on duty right away. I wrote a "
        "script that repaired the orders one by one. I explained to the customers what had happened. "
        "In the end everybody "
        "got their goods within three days, and I learned to test settings like code."
    )
    assert star(told) == 5


def test_row_of_actions_counts_none():
    assert star(
        STORY + "I asked I decided I built I wrote I called and it was my mistake, in the end fine"
    ) in (2, 3)


def test_we_throughout_stays_at_three():
    told = STORY + "We called everybody, we wrote a script, we explained it to them, in the end it worked."
    assert star(told) == 3
