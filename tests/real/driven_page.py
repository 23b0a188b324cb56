"""The page in a real browser, with the test in the place of its call: it tells the page what a server does.

A test file names the fixtures that it takes: `address, browser, open_page = driven_page.address, ...`
(`open_page` needs the other two). Imported one by one they would look unused, and hidden by arguments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.real.browser import chromium, page_server, watch_for_trouble
from tests.real.scenes import ABOUT, EARLIER, SCENES

DRIVEN = Path(__file__).resolve().parents[1] / "page" / "driven.js"
SHOTS = os.environ.get("VIVA_SHOTS")  # a folder: every state is saved there as a picture
AXE = os.environ.get("VIVA_AXE")  # axe.min.js: every state is checked with it
SCREENS = {"wide": (1280, 800), "phone": (390, 844)}  # CSS pixels
HAPPENS_WITHIN_MS = 30_000  # on a busy machine
expect.set_options(timeout=HAPPENS_WITHIN_MS)
STILL = "{ motion: 'still' }"  # what a person has chosen before: a face drawn in software takes a core

# getUserMedia as a browser without permission or without a device answers it.
REFUSES = """
const name = %r, kind = %r;
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) =>
  wanted[kind] ? Promise.reject(new DOMException(name, name)) : real(wanted);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server that serves the page alone."""
    with page_server(lambda: ABOUT, {"/main.js": DRIVEN}) as one:
        yield one


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Any]:
    """Opens the start page in a browser of its own; the test fails if that browser complains of anything.

    `script` runs before the page; `storage`: choices made before, in JavaScript; `more` is Playwright's.
    """
    contexts = []
    troubles: list[list[str]] = []

    def open_one(
        width: int = 1280,
        height: int = 800,
        *,
        script: str = "",
        storage: str = STILL,
        **more: Any,
    ) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(HAPPENS_WITHIN_MS)
        if script:
            page.add_init_script(script)
        if storage:
            page.add_init_script(f"localStorage['viva.settings'] ??= JSON.stringify({storage})")
        troubles.append(watch_for_trouble(page))
        page.goto(address)
        expect(page.locator("#go")).to_be_enabled()
        return page

    yield open_one
    for context in contexts:
        context.close()
    trouble = [one for of_a_page in troubles for one in of_a_page]
    assert not trouble, trouble


def connect(page: Page) -> None:
    """From the start page to a call that is up."""
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


def state_of(page: Page) -> str | None:
    return page.get_attribute("body", "data-state")


def look_closely(page: Page, name: str, *, full: bool) -> None:
    """By hand: a picture of the page, and what axe has to say about it."""
    page.wait_for_timeout(700)
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=full)
    if AXE:
        page.evaluate(Path(AXE).read_text())
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert not found, [(one["id"], [node["target"] for node in one["nodes"]]) for one in found]


def closer(page: Page, name: str, *, full: bool = False) -> None:
    """By hand, on both screens."""
    for screen, (width, height) in SCREENS.items() if SHOTS or AXE else ():
        page.set_viewport_size({"width": width, "height": height})
        look_closely(page, f"{name}-{screen}", full=full)
