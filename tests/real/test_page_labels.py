"""The page's own words in the language of the browser: that they are there, are used, and fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.real import driven_page
from tests.real.browser import STATIC
from tests.real.driven_page import connect, tell
from tests.real.scenes import ABOUT, floor, heard, reply_begins

pytestmark = pytest.mark.real

address, browser, open_page = driven_page.address, driven_page.browser, driven_page.open_page

CODES = ("es", "fr", "de", "zh", "hi", "ja", "ko", "pt", "ar", "ru", "it", "nl")
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
ROWS = [
    QUOTED.findall(line)
    for line in (STATIC / "label-table.js").read_text(encoding="utf-8").splitlines()
    if line.startswith("  [")
]
WIDTHS = (390, 1280)
CHOSEN = "{ motion: 'still', camera: false, language: 'ar' }"


@pytest.fixture
def page(request: pytest.FixtureRequest, open_page: Any) -> Page:
    """The start page in a browser of the language that the test is for."""
    one: Page = open_page(390, 844, storage=CHOSEN, locale=request.param)
    return one


def words(english: str, code: str) -> str:
    """As they stand in the table."""
    return next(row for row in ROWS if row[0] == english)[1 + CODES.index(code)]


def test_every_label_has_all_languages_and_is_one_of_the_page() -> None:
    sources = [
        re.sub(r"\s+", " ", file.read_text(encoding="utf-8"))
        for file in [*STATIC.glob("*.js"), STATIC / "index.html"]
        if file.name != "label-table.js"
    ]
    served = [text for one in [*ABOUT["modes"], *ABOUT["personas"]] for text in one.values()]
    for row in ROWS:
        assert len(row) == 1 + len(CODES), row[0]
        assert all(one.strip() for one in row), row[0]
        names = set(re.findall(r"{\w+}", row[0]))
        assert all(set(re.findall(r"{\w+}", one)) == names for one in row), row[0]
        assert row[0] in served or any(row[0] in source for source in sources), f"{row[0]} is nowhere"
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    "page", ["es", "fr", "de", "ja", "ar", "nl"], indirect=True
)  # the longest words; scripts
def test_a_browser_of_that_language_sees_it_in_its_own_and_nothing_is_cut_off(page: Page) -> None:
    code = page.evaluate("document.documentElement.lang")
    assert page.inner_text("#go") == words("Start talking", code)
    assert page.inner_text("h1 >> nth=1") == words("Practise out loud.", code)
    assert page.get_attribute("#typed", "placeholder") == words("Type instead", code)
    assert page.evaluate("document.documentElement.dir") == ("rtl" if code == "ar" else "ltr")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", ["ar", "ru", "de"], indirect=True)  # right to left; the longest words
def test_a_call_is_shown_in_it_too_and_fits_a_phone(page: Page) -> None:
    code = page.evaluate("document.documentElement.lang")
    connect(page)
    tell(page, reply_begins("i1", "أهلا وسهلا", None))
    speaking = words("{name} is speaking", code).replace("{name}", "Alex")
    expect(page.locator("#state .strong")).to_have_text(speaking)
    tell(page, [*heard("i1", "أهلا وسهلا", 2), floor("listening")])
    assert page.inner_text("#think") == words("Let me think", code)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("#think, #done, #leave").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("page", ["en-GB", "pl"], indirect=True)
def test_another_language_sees_english(page: Page) -> None:
    assert page.inner_text("#go") == "Start talking"
    assert page.evaluate("document.documentElement.lang") == "en"
