"""The page's own words in the language of the browser: that they are there, are used, and fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.real.browser import STATIC, chromium, page_server, watch_for_trouble
from tests.real.scenes import ABOUT, floor, heard, reply_begins

pytestmark = pytest.mark.real

DRIVEN = Path(__file__).resolve().parents[1] / "page" / "driven.js"
CODES = ("es", "fr", "de", "zh", "hi", "ja", "ko", "pt", "ar", "ru", "it", "nl")
QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'")
ROWS = [
    QUOTED.findall(line)
    for line in (STATIC / "label-table.js").read_text(encoding="utf-8").splitlines()
    if line.startswith("  [")
]
WIDTHS = (390, 1280)
STILL = "localStorage['viva.settings'] ??= JSON.stringify({ motion: 'still', camera: false, language: 'ar' })"


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """Playwright's synchronous interface keeps a loop of its own running; there are no tasks of ours here."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with page_server(lambda: ABOUT, {"/main.js": DRIVEN}) as one:
        yield one


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The start page in a browser of the language that the test is for."""
    context = browser.new_context(locale=request.param, viewport={"width": 390, "height": 844})
    one = context.new_page()
    one.add_init_script(STILL)
    trouble = watch_for_trouble(one)
    one.goto(address)
    expect(one.locator("#go")).to_be_enabled()
    yield one
    context.close()
    assert trouble == []


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
    page.click("#go")
    page.evaluate("driver.dialled()")
    page.evaluate("driver.tell('up', {})")
    page.evaluate("(events) => driver.message(...events)", [*reply_begins("i1", "أهلا وسهلا", None)])
    speaking = words("{name} is speaking", code).replace("{name}", "Alex")
    expect(page.locator("#state .strong")).to_have_text(speaking)
    page.evaluate(
        "(events) => driver.message(...events)", [*heard("i1", "أهلا وسهلا", 2), floor("listening")]
    )
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
