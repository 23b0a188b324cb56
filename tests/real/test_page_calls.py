"""The page in a real browser with the real server and the embedded parts: what only both together show."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.environment import bare
from tests.real.browser import chromium, strict_wire

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
HAPPENS_WITHIN_MS = 30_000  # on a busy machine

# Keeps what the page, which draws in every frame, shows two frames after the server spoke about the floor,
# unless it has done so again.
FOLLOW = """
window.followed = [];
let floors = 0;
const open = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (label, ...more) {
  const channel = open.call(this, label, ...more);
  if (label === 'oai-events') channel.addEventListener('message', ({ data }) => {
    const { type, phase, audible } = JSON.parse(data);
    if (type !== 'viva.floor') return;
    const number = ++floors;
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (floors === number) followed.push([phase, audible, document.body.dataset.state]);
    }));
  });
  return channel;
};
"""
SHOWN = {
    ("listening", False): {"listening"},
    ("hearing", False): {"hearing", "interrupted"},
    ("paused", False): {"pausing"},
    ("answering", False): {"thinking"},
    ("answering", True): {"speaking"},
    ("doubting", False): {"speaking"},
    ("doubting", True): {"speaking"},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:  # its microphone beeps once a second
        yield one


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    one = browser.new_page(viewport={"width": 1280, "height": 800})
    one.set_default_timeout(HAPPENS_WITHIN_MS)
    one.add_init_script(FOLLOW)
    with strict_wire(one):
        yield one
    one.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(port: int, **settings: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", str(port)],
        cwd=ROOT,
        env=bare(VIVA_CALL__SPEED="1.5", **settings),  # done sooner
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert str(port) in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


def begin(page: Page, port: int) -> None:
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector("#go:not([disabled])")
    page.check("input[name=mode][value=chat]", force=True)
    page.click("#go")


def reach(page: Page, state: str) -> None:
    page.wait_for_selector(f"body[data-state={state}]")


@pytest.mark.timeout(180)
def test_page_follows_the_server_shows_both_voices_and_repeats_without_a_new_turn(
    page: Page, port: int
) -> None:
    loud = "(who) => Number(document.body.style.getPropertyValue(`--${who}-level`)) > 0.3"
    with server(port):
        begin(page, port)
        reach(page, "speaking")
        page.wait_for_function(loud, arg="they")
        page.wait_for_function(loud, arg="you")
        reach(page, "listening")
        turns = page.inner_text("#turns")
        page.click("#repeat")
        reach(page, "speaking")
        expect(page.locator("#state")).to_contain_text("once more", timeout=HAPPENS_WITHIN_MS)
        assert page.inner_text("#turns") == turns
        reach(page, "listening")
        assert page.inner_text("#turns") == turns
        assert page.inner_text(".caption-words") in turns, "the last words stay under the face"
        page.wait_for_function("followed.at(-1)?.[0] === 'listening'")
        followed = [tuple(one) for one in page.evaluate("followed")]
    assert followed
    assert all(state in SHOWN[phase, bool(audible)] for phase, audible, state in followed), followed


@pytest.mark.timeout(180)
def test_server_that_dies_is_noticed_and_found_again(page: Page, port: int) -> None:
    with server(port):
        begin(page, port)
        reach(page, "speaking")
        page.wait_for_selector("#turns li")
    reach(page, "lost")
    turns = page.inner_text("#turns")
    assert turns.endswith("The connection was lost here.")
    with server(port):
        page.click("[data-action=redial]")
        reach(page, "speaking")
        assert page.inner_text("#turns").startswith(turns)
        expect(page.locator("#notice")).to_contain_text("Connected again")


@pytest.mark.timeout(180)
def test_full_server_is_asked_again_until_a_line_is_free(browser: Browser, page: Page, port: int) -> None:
    with server(port, VIVA_SERVER__MAX_CALLS="1", VIVA_SERVER__RETRY_AFTER_S="1"):
        begin(page, port)
        reach(page, "speaking")
        other = browser.new_page()
        other.set_default_timeout(HAPPENS_WITHIN_MS)
        begin(other, port)
        expect(other.locator("#notice h2")).to_have_text("Every line is taken", timeout=HAPPENS_WITHIN_MS)
        page.click("#leave")
        reach(other, "speaking")
        other.close()
