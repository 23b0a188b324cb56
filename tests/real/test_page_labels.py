"""The page's own words in the language of the browser: that they are there, are used, and fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.coach.questions import bank
from tests.real import driven_page
from tests.real.browser import STATIC
from tests.real.driven_page import connect, enter, tell
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


# Literals in the modules, without comments; of those with values in them, what stands around the values.
COMMENT = re.compile(r"(^|\s)//.*|/\*[\s\S]*?\*/", re.MULTILINE)
LITERAL = re.compile(r"'((?:[^'\\\n]|\\.)*)'|`((?:[^`\\]|\\.)*)`")
VALUE = re.compile(r"\$\{[^}]*\}")
WORDS = re.compile(r"^[A-Z][a-z]+[.:…]?$|[A-Za-z’]{2,}[,.:;]? [A-Za-z’{]{2,}")
MARKUP = re.compile(r"<[a-z]|[#\[(]\w|(?:input|button), |^no such state")
PROTOCOL = {"Authorization", "Location", "Escape", "Space"}
UNTRANSLATED = {"label-table.js", "admin.js"}  # an operator reads English
TEXT_OF_HTML = re.compile(r'>([^<>]*[A-Za-z][^<>]*)<|(?:aria-label|placeholder)="([^"]*)"')

COSTS = {
    "type": "viva.costs",
    "currency": "USD",
    "money": 0.0651,
    "wasted": 0.0051,
    "not_priced": [],
    "used": [{"stage": "llm", "name": "m", "unit": "output_tokens", "amount": 900, "money": 0.0651}],
}
# What is seen of the page's own words: not what was said, and not what the server tells of its providers.
SEEN = """() => {
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const own = !text.parentElement.closest('script, option, #engines :is(dd, li), .words, .caption-words');
    if (own && text.parentElement.checkVisibility() && text.data.trim()) found.push(text.data.trim());
  }
  return found;
}"""
NAMES = re.compile(r"\b(viva|Alex|Vera|Mei|Tomás|UTC|DevOps)\b")


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
    served += [topic.title for topic in bank().topics.values()]
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
    name = "\u2068Alex\u2069" if code == "ar" else "Alex"  # isolated from what is around it
    speaking = words("{name} is speaking", code).replace("{name}", name)
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


def test_no_words_of_the_page_are_missing_in_the_table() -> None:
    table = {row[0] for row in ROWS} | PROTOCOL | {"viva"}
    missing = []
    for file in STATIC.glob("*.js"):
        source = COMMENT.sub(r"\1", file.read_text(encoding="utf-8"))
        found = [VALUE.sub("", quoted or template) for quoted, template in LITERAL.findall(source)]
        if file.name not in UNTRANSLATED:
            missing += [one for one in found if WORDS.search(one) and not MARKUP.search(one)]
    _, body = (STATIC / "index.html").read_text(encoding="utf-8").split("</head>")
    missing += [
        (text or name).strip() for text, name in TEXT_OF_HTML.findall(re.sub(r"<!--.*?-->", "", body))
    ]
    assert [one for one in missing if one not in table] == []


def test_every_number_has_the_form_that_its_language_wants(browser: Browser) -> None:
    counted = [row for row in ROWS if re.match(r"one: |other: ", row[0])]
    blank = browser.new_page()
    wanted = blank.evaluate(
        "(codes) => codes.map((code) => [...Array(200).keys()].map("
        "(count) => new Intl.PluralRules(code).select(count)))",
        list(CODES),
    )
    blank.close()
    assert counted
    for row in counted:
        for code, categories, forms in zip(CODES, wanted, row[1:], strict=True):
            had = {form.split(": ")[0] for form in forms.split(" | ")}
            assert had >= {*categories, "other"}, (row[0], code)


@pytest.mark.parametrize("page", ["ru", "ar"], indirect=True)  # of these, Latin letters are English
def test_faults_costs_settings_and_the_log_in_are_in_it_too(page: Page) -> None:
    seen: list[str] = []

    def look() -> None:
        seen.extend(page.evaluate(SEEN))

    page.click("#open-settings")
    look()
    page.keyboard.press("Escape")
    page.evaluate("driver.app.startPage.logIn.show()")
    page.fill("#key", "two words")
    page.click("#enter")
    expect(page.locator("#key-wrong")).to_be_visible()
    look()
    page.evaluate("driver.app.startPage.logIn.hide()")
    enter(page, "speaking")
    tell(page, [COSTS, {"type": "viva.ending", "in_s": 300, "why": "server_stops"}])
    expect(page.locator("#notice")).to_be_visible()
    look()
    for kind in ("gone", "budget", "often", "offline", "timeout", "elsewhere"):
        page.evaluate(
            "(fault) => driver.app.dispatch({ type: 'page.lost', attempt: 2, fault })",
            {"kind": kind, "retryAfterS": 600},
        )
        look()
    page.click("#notice [data-action=leave]")
    expect(page.locator("#ended-costs")).to_be_visible()
    look()
    assert len(set(seen)) > 60
    assert [
        one for one in seen if re.search(r"[A-Za-z]{4,}", NAMES.sub("", one)) and "Wi-Fi" not in one
    ] == []


def test_person_chooses_the_language_of_the_page_and_no_conversation_is_lost_by_it(open_page: Any) -> None:
    page = open_page(locale="en-GB")

    def choose(code: str) -> None:
        page.click("#open-settings")
        page.select_option("[name=pageLanguage]", code)
        page.keyboard.press("Escape")

    choose("de")
    expect(page.locator("#go")).to_have_text(words("Start talking", "de"))
    connect(page)
    choose("ja")
    assert page.inner_text("#think") == words("Let me think", "de")
    page.click("#leave")
    page.click("#again")
    expect(page.locator("#go")).to_have_text(words("Start talking", "ja"))
    choose("")
    expect(page.locator("#go")).to_have_text("Start talking")
