"""What the page says and does where a microphone, the sound or the way to the server fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.real import driven_page
from tests.real.driven_page import REFUSES, closer, enter, state_of

pytestmark = pytest.mark.real

address, browser, open_page = driven_page.address, driven_page.browser, driven_page.open_page


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NotAllowedError", "The browser blocks your microphone"),
        ("NotFoundError", "No microphone found"),
        ("NotReadableError", "Another program uses the microphone"),
    ],
)
def test_each_failure_of_the_microphone_has_its_words_and_a_call_all_the_same(
    open_page: Any, name: str, words: str
) -> None:
    page = open_page(script=REFUSES % (name, "audio"))
    enter(page, "listening")
    assert page.inner_text("#notice h2") == words
    assert page.inner_text("#alarm") != ""
    assert page.evaluate("driver.call.parts.microphone") is None
    page.click("[data-action=type-instead]")
    assert state_of(page) == "listening"
    assert page.evaluate("document.activeElement.id") == "typed"


def test_unprotected_address_says_why_there_is_no_microphone(open_page: Any) -> None:
    page = open_page(script="Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    enter(page, "listening")
    assert page.inner_text("#notice h2") == "No microphone on an unprotected page"
    assert page.locator("[data-action=retry-mic]").count() == 0


def test_microphone_that_is_allowed_later_makes_a_new_call(open_page: Any) -> None:
    page = open_page(script=REFUSES % ("NotAllowedError", "audio"))
    enter(page, "refused")
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = MediaDevices.prototype.getUserMedia; "
        "driver.call.useMicrophone = async () => false"
    )
    page.click("[data-action=retry-mic]")
    page.evaluate("driver.dialled(2)")
    assert page.evaluate("driver.call.parts.microphone.kind") == "audio"
    assert page.evaluate("driver.calls[0].closed") is True


def test_microphone_that_is_pulled_out_is_noticed_and_the_next_one_can_be_muted(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.evaluate(
        "driver.call.parts.microphone.stop(); driver.call.parts.microphone.dispatchEvent(new Event('ended'));"
        "driver.call.useMicrophone = async (track) => { driver.replaced = track; return true; }"
    )
    assert page.inner_text("#notice h2") == "No microphone found"
    page.click("[data-action=retry-mic]")
    expect(page.locator("body")).to_have_attribute("data-state", "listening")
    page.keyboard.press("m")
    assert page.evaluate("driver.replaced.enabled") is False


@pytest.mark.parametrize("target", ["[data-action=unblock]", "#captions"])
def test_sound_that_needs_a_click_asks_for_it_and_takes_any(open_page: Any, target: str) -> None:
    page = open_page()
    enter(page, "listening")
    page.evaluate("""() => {
      const element = document.getElementById('voice');
      element.play = () => Promise.reject(new DOMException('blocked', 'NotAllowedError'));
      const tone = new AudioContext().createMediaStreamDestination();
      driver.tell('voice', { stream: tone.stream, receiver: { getSynchronizationSources: () => [] } });
    }""")
    expect(page.locator("#notice")).to_contain_text("waits for a click")
    page.evaluate("delete document.getElementById('voice').play")
    page.click(target)
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "busy", "retryAfterS": 20}, "Every line is taken"),
        ({"kind": "often", "retryAfterS": 7}, "Too many calls from your network"),
        ({"kind": "budget", "retryAfterS": 20_000}, "Today’s budget is spent"),
        ({"kind": "locked"}, "Your log-in has run out"),
        ({"kind": "gone"}, "The server does not answer"),
        ({"kind": "offline"}, "No network"),
        ({"kind": "timeout"}, "No sound gets through"),
        ({"kind": "rejected", "message": "too many m-lines"}, "The server refused the call"),
    ],
)
def test_each_failure_to_connect_has_its_words(open_page: Any, fault: dict[str, Any], words: str) -> None:
    page = open_page()
    page.evaluate("(fault) => { driver.refuse = fault; }", fault)
    page.click("#go")
    expect(page.locator("#notice h2")).to_have_text(words)
    assert state_of(page) == "lost"
    closer(page, f"lost-{fault['kind']}")
    page.click("#notice [data-action=leave]")
    assert state_of(page) == "start"


REFUSED = """async () => {
  const { Call } = await import('/call.js');
  const call = new Call({ microphone: null, camera: null, viva: {} });
  const fault = await call.open().then(() => null, (error) => error.fault);
  call.close();
  return fault;
}"""


def test_refusal_of_a_call_is_known_by_its_code_and_a_proxys_by_its_status(
    browser: Browser, address: str
) -> None:
    page = browser.new_page()
    page.goto(f"{address}/mark.svg")
    spent = {"error": {"code": "budget_spent", "message": "raw"}}
    bodies = iter([json.dumps(spent), "<h1>Service Unavailable</h1>"])

    def refuse(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "70"}, body=next(bodies))

    page.route("**/v1/realtime/calls", refuse)
    assert page.evaluate(REFUSED) == {"kind": "budget", "retryAfterS": 70}
    assert page.evaluate(REFUSED) == {"kind": "busy", "retryAfterS": 70}
    page.close()


# Chromium as it is without any network interface: it finds no candidate, and never says so.
NO_PATH = """async (online) => {
  const { Call } = await import('/call.js');
  const real = RTCPeerConnection;
  window.RTCPeerConnection = class extends real {
    constructor(...args) { super(...args); this.setConfiguration({ iceTransportPolicy: 'relay' }); }
    get iceGatheringState() { return 'gathering'; }
  };
  Object.defineProperty(navigator, 'onLine', { value: online, configurable: true });
  const call = new Call({ microphone: null, camera: null, viva: {} }), began = performance.now();
  const fault = await call.open().then(() => null, (error) => error.fault);
  call.close();
  window.RTCPeerConnection = real;
  return { fault, ms: performance.now() - began };
}"""


@pytest.mark.parametrize(("online", "within_ms"), [(False, 2000), (True, 4000)])
def test_browser_without_any_path_says_so_and_asks_no_server(
    open_page: Any, online: bool, within_ms: int
) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = page.evaluate(NO_PATH, online)
    assert found["fault"] == {"kind": "offline"}
    assert found["ms"] < within_ms
    assert not [url for url in asked if "realtime" in url]


def test_server_that_cannot_be_asked_while_the_device_is_offline_is_worded_so(open_page: Any) -> None:
    page = open_page()
    page.evaluate("driver.refuse = { kind: 'gone', offline: true }")
    page.click("#go")
    expect(page.locator("#notice")).to_contain_text("This device seems to have no network")


def test_drop_is_followed_by_a_new_call_that_keeps_the_transcript(open_page: Any) -> None:
    page = open_page()
    enter(page, "hearing")
    page.evaluate("driver.tell('lost', { kind: 'dropped' })")
    assert state_of(page) == "lost"
    page.evaluate("driver.dialled(2)")
    page.evaluate("driver.tell('up', {})")
    expect(page.locator("#notice")).to_contain_text("starts anew")
    assert "The connection was lost here." in page.inner_text("#turns")
    assert "Mostly because" in page.inner_text("#turns")
