"""Talks in other languages: chosen, typed where nobody understands, followed whichever way they run."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.real import driven_page
from tests.real.driven_page import connect, enter, tell
from tests.real.scenes import ABOUT, floor, heard, reply_begins, said

pytestmark = pytest.mark.real

address, browser, open_page = driven_page.address, driven_page.browser, driven_page.open_page


def test_choices_outlive_the_page(open_page: Any) -> None:
    page = open_page()
    page.check("#modes input[value=language]")
    assert page.is_checked("input[value=mei]"), "the mode brings its own person"
    assert page.is_hidden("#topic-pick")
    page.select_option("#language", "ar")
    expect(page.locator("#language-note")).to_contain_text("type your answers")
    page.check("#people input[value=vera]")
    page.reload()
    expect(page.locator("#go")).to_be_enabled()
    assert page.is_checked("input[value=language]")
    assert page.is_checked("input[value=vera]")
    connect(page)
    viva = page.evaluate("driver.call.parts.viva")
    chosen = [viva[name] for name in ("mode", "persona", "language", "topic")]
    assert chosen == ["language", "vera", "ar", None]
    tell(page, reply_begins("i1", "أهلا وسهلا", None))
    tell(page, [floor("listening")])
    expect(page.locator("#state")).to_contain_text("type your answer")
    assert page.get_attribute(".caption-words", "lang") == "ar"
    tell(page, heard("i1", "أهلا وسهلا", 2))
    assert page.inner_text("#turns .words") == "أهلا وسهلا"


def test_whoever_cannot_be_understood_is_told_what_would_change_that_and_may_type(open_page: Any) -> None:
    page = open_page(390, 844, storage="{ mode: 'interview', language: 'ar', motion: 'still' }")
    note = page.locator("#language-note")
    expect(note).to_contain_text("Nothing on this server understands spoken Arabic yet")
    expect(note).to_contain_text("its question bank is English")
    assert page.is_hidden("#topic-pick")
    note.locator("summary").click()
    expect(note.locator("li")).to_have_text(ABOUT["languages"][3]["add"])
    connect(page)
    expect(page.locator("#notice")).to_contain_text("Type your answers")
    page.click("#notice [data-action=type-instead]")
    assert page.evaluate("document.activeElement.id") == "typed"
    page.fill("#typed", "أعمل في شركة")
    page.press("#typed", "Enter")
    typed = next(
        event for event in page.evaluate("driver.sent") if event["type"] == "conversation.item.create"
    )
    assert typed["item"]["content"] == [{"type": "input_text", "text": "أعمل في شركة"}]


def x_of(page: Page, selector: str) -> list[float]:
    """Where each of those begins at its left."""
    return [one.bounding_box()["x"] for one in page.locator(selector).all()]


def test_a_sentence_from_right_to_left_is_followed_from_right_to_left(open_page: Any) -> None:
    page = open_page(storage="{ mode: 'language', language: 'ar', motion: 'still' }")
    connect(page)
    text = "لغة API سهلة"
    tell(page, reply_begins("i1", text, None))
    assert x_of(page, ".caption-words span") == sorted(x_of(page, ".caption-words span"), reverse=True)
    said_so_far: list[str] = []
    for start in (0, 4, 8):
        tell(page, [{"type": "viva.word", "item_id": "i1", "start": start, "text": ""}])
        said_so_far.append(page.inner_text(".caption-words .now"))
    assert said_so_far == text.split()
    assert page.get_attribute("#captions", "dir") == "rtl"
    tell(page, heard("i1", text, 3))
    assert page.get_attribute("#turns li", "dir") == "rtl"


def test_each_turn_runs_the_way_that_most_of_its_letters_do(open_page: Any) -> None:
    page = open_page(storage="{ mode: 'language', language: 'ar', motion: 'still' }")
    connect(page)
    tell(
        page,
        [*said("i1", "API هو واجهة البرمجة"), *said("i2", "I mean the API", "i1"), *said("i3", "123", "i2")],
    )
    assert [one.get_attribute("dir") for one in page.locator("#turns li").all()] == ["rtl", "ltr", "rtl"]


def test_words_of_a_script_without_spaces_are_followed_one_by_one(open_page: Any) -> None:
    page = open_page(storage="{ mode: 'language', language: 'zh' }")
    connect(page)
    tell(page, reply_begins("i1", "你好，今天怎么样？", None))
    tell(page, [{"type": "viva.word", "response_id": "r", "item_id": "i1", "start": 3, "text": "今天"}])
    assert page.inner_text(".caption-words .now") == "今天"


def test_page_is_usable_from_right_to_left(open_page: Any) -> None:
    page = open_page(390, 844)
    page.evaluate("document.documentElement.dir = 'rtl'")
    enter(page, "speaking")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#leave").bounding_box()["x"] < 100
