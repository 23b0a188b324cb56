"""The page on a server that asks for a key: how a person gets in, and what is left of the key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.environment import bare
from tests.real.browser import chromium

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
KEY = "school-0123456789-abcdefghij"
WITHIN_MS = 30_000  # on a busy machine


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0"],
        cwd=ROOT,
        env=bare(VIVA_API_KEYS=f"school={KEY}", VIVA_LIMITS__FAILURES_PER_MINUTE="3"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    one = browser.new_page()
    one.goto(address)
    yield one
    one.close()


def enter(page: Page, key: str) -> None:
    page.locator("#key").fill(key)
    page.locator("#enter").click()


def test_a_key_opens_the_page_and_a_call_and_is_kept_nowhere(page: Page) -> None:
    expect(page.locator("#log-in")).to_be_visible(timeout=WITHIN_MS)
    expect(page.locator("#start")).to_be_hidden()
    expect(page.locator("#key")).to_be_focused()
    enter(page, f"  {KEY} ")
    expect(page.locator("#start")).to_be_visible(timeout=WITHIN_MS)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert KEY not in kept
    assert '"viva.client-secret":"ek_' in kept
    page.reload()
    expect(page.locator("#start .card").first).to_be_visible(timeout=WITHIN_MS)
    expect(page.locator("#log-in")).to_be_hidden()
    page.locator("#go").click(timeout=WITHIN_MS)
    expect(page.locator("body")).to_have_attribute("data-state", "speaking", timeout=WITHIN_MS)


def test_a_secret_that_has_run_out_leads_back_to_the_log_in(page: Page) -> None:
    expect(page.locator("#log-in")).to_be_visible(timeout=WITHIN_MS)  # else the page forgets it at once
    page.evaluate("sessionStorage.setItem('viva.client-secret', 'ek_a.b.c')")
    page.reload()
    expect(page.locator("#key-wrong")).to_have_text(
        "Your log-in has run out. Please log in again.", timeout=WITHIN_MS
    )
    enter(page, KEY)
    expect(page.locator("#start")).to_be_visible(timeout=WITHIN_MS)
    page.locator("#open-settings").click()
    page.locator("#log-out").click()
    expect(page.locator("#log-in")).to_be_visible(timeout=WITHIN_MS)
    assert page.evaluate("sessionStorage.length") == 0


def test_a_wrong_key_is_said_to_be_one_and_guessing_is_slowed_down(page: Page) -> None:
    wrong = page.locator("#key-wrong")
    enter(page, "")
    expect(wrong).to_have_text("Enter the key first.")
    enter(page, "two words")
    expect(wrong).to_contain_text("no spaces")
    enter(page, "not-the-key")
    expect(wrong).to_contain_text("not known here", timeout=WITHIN_MS)
    for _ in range(3):
        enter(page, "not-the-key-either")
        expect(page.locator("#enter")).to_be_enabled(timeout=WITHIN_MS)
    expect(wrong).to_contain_text("Too many tries", timeout=WITHIN_MS)
    expect(page.locator("#key")).to_have_attribute("aria-invalid", "true")
