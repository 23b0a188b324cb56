"""Every state of the page in a real browser: what it shows, what it says, and that it fits its screen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.real.browser import chromium, page_server, watch_for_trouble
from tests.real.scenes import ABOUT, EARLIER, QUESTION, SCENES, floor, reply_begins

pytestmark = pytest.mark.real

DRIVEN = Path(__file__).resolve().parents[1] / "page" / "driven.js"
SHOTS = os.environ.get("VIVA_SHOTS")  # a folder: every state is saved there as a picture
AXE = os.environ.get("VIVA_AXE")  # axe.min.js: every state is checked with it
SCREENS = {"wide": (1280, 800), "phone": (390, 844)}
STATES = [
    "start", "connecting", *SCENES, "muted", "refused", "nocamera", "lost", "ended",
]  # fmt: skip

# getUserMedia as a browser without permission or without a device answers it.
REFUSES = """
const name = %r, kind = %r;
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) =>
  wanted[kind] ? Promise.reject(new DOMException(name, name)) : real(wanted);
"""


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
def open_page(browser: Browser, address: str) -> Iterator[Any]:
    contexts = []
    troubles: list[list[str]] = []

    def open_one(
        width: int = 1280,
        height: int = 800,
        *,
        scheme: str = "light",
        script: str = "",
        storage: str = "",
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        if storage:
            page.add_init_script(f"localStorage.setItem('viva.settings', JSON.stringify({storage}))")
        troubles.append(watch_for_trouble(page))
        page.goto(address)
        expect(page.locator("#go")).to_be_enabled()
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [trouble for one in troubles for trouble in one] == []


def connect(page: Page) -> None:
    page.click("#go")
    page.evaluate("driver.dialled()")
    page.evaluate("driver.tell('up', {}); driver.echo()")


def tell(page: Page, events: list[dict[str, Any]]) -> None:
    page.evaluate("(events) => driver.message(...events)", events)


def enter(page: Page, state: str) -> None:
    """From the start page to `state`, by what a person and a server do."""
    if state == "start":
        return
    if state == "connecting":
        page.click("#go")
        page.evaluate("driver.dialled()")
        return
    connect(page)
    tell(page, SCENES.get(state, EARLIER))
    if state == "muted":
        page.click("#mute")
    if state == "lost":
        page.evaluate("driver.refuse = { kind: 'gone' }; driver.tell('lost', { kind: 'dropped' })")
    if state == "ended":
        page.click("#leave")


def script_of(state: str) -> str:
    if state == "refused":
        return REFUSES % ("NotAllowedError", "audio")
    if state == "nocamera":
        return REFUSES % ("NotFoundError", "video")
    return ""


def state_of(page: Page) -> str | None:
    return page.get_attribute("body", "data-state")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("state", STATES)
def test_state_fits_its_screen_and_has_no_violations(
    open_page: Any, state: str, screen: str, scheme: str
) -> None:
    width, height = SCREENS[screen]
    page = open_page(width, height, scheme=scheme, script=script_of(state))
    enter(page, state)
    assert state_of(page) == state
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if state not in ("start", "ended"):
        assert page.evaluate("document.documentElement.scrollHeight") <= height
        for control in ("#mute", "#think", "#done", "#leave", "#camera", "#reset"):
            box = page.locator(control).bounding_box()
            assert box, f"{control} is not shown"
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
            assert min(box["width"], box["height"]) >= 40, f"{control} is too small for a thumb"
    if SHOTS:
        page.wait_for_timeout(700)
        page.screenshot(path=f"{SHOTS}/{state}-{screen}-{scheme}.png", full_page=state in ("start", "ended"))
    if AXE:
        page.evaluate(Path(AXE).read_text())
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [
            f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found
        ] == []
