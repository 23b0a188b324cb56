"""Every state of the page in a real browser: what it shows, what it says, and that it fits its screen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.real.browser import chromium, page_server, watch_for_trouble
from tests.real.scenes import ABOUT, EARLIER, SCENES, floor, heard, reply_begins, said

pytestmark = pytest.mark.real

DRIVEN = Path(__file__).resolve().parents[1] / "page" / "driven.js"
SHOTS = os.environ.get("VIVA_SHOTS")  # a folder: every state is saved there as a picture
AXE = os.environ.get("VIVA_AXE")  # axe.min.js: every state is checked with it
SCREENS = {"wide": (1280, 800), "phone": (390, 844)}
STATES = [
    "start", "connecting", *SCENES, "muted", "refused", "nocamera", "lost", "ended",
]  # fmt: skip

STILL = "{ motion: 'still' }"  # what a person has chosen before: a face drawn in software takes a core

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
        storage: str = STILL,
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
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


@pytest.mark.parametrize("state", STATES)
def test_state_fits_wide_and_narrow_screens(open_page: Any, state: str) -> None:
    page = open_page(script=script_of(state))
    enter(page, state)
    assert state_of(page) == state
    assert page.is_visible("#quality") == (state not in ("start", "connecting", "ended"))
    for screen, (width, height) in SCREENS.items():
        page.set_viewport_size({"width": width, "height": height})
        fits(page, state, width, height)
        for scheme in ("light", "dark") if SHOTS or AXE else ():
            page.emulate_media(color_scheme=scheme)
            look_closely(page, f"{state}-{screen}-{scheme}", full=state in ("start", "ended"))


def fits(page: Page, state: str, width: int, height: int) -> None:
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


def look_closely(page: Page, name: str, *, full: bool) -> None:
    """By hand: a picture of the page, and what axe has to say about it."""
    page.wait_for_timeout(700)
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=full)
    if AXE:
        page.evaluate(Path(AXE).read_text())
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert [
            f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found
        ] == []


def closer(page: Page, name: str, *, full: bool = False) -> None:
    """By hand, on both screens."""
    for screen, (width, height) in SCREENS.items() if SHOTS or AXE else ():
        page.set_viewport_size({"width": width, "height": height})
        look_closely(page, f"{name}-{screen}", full=full)


def test_words_follow_the_voice_and_the_cut_ones_are_struck_through(open_page: Any) -> None:
    page = open_page()
    enter(page, "speaking")
    assert page.inner_text(".caption-words .now") == "goes"
    assert page.inner_text(".caption-words .ahead >> nth=0") == "down"
    tell(page, SCENES["interrupted"][len(SCENES["speaking"]) :])
    assert state_of(page) == "interrupted"
    assert page.inner_text(".caption-words .unsaid >> nth=0") == "down"
    assert "You broke in here" in page.inner_text("#turns li:last-child")
    expect(page.locator("#announce")).to_have_text("Alex stopped. Go on.")


def test_mute_silences_the_track_and_says_so(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    enabled = "driver.call.parts.microphone.enabled"
    assert page.evaluate(enabled) is True
    page.keyboard.press("m")
    assert (state_of(page), page.evaluate(enabled)) == ("muted", False)
    assert page.get_attribute("#mute", "aria-label") == "Unmute the microphone"
    expect(page.locator("#announce")).to_have_text("Your microphone is muted.")
    page.click("#mute")
    assert (state_of(page), page.evaluate(enabled)) == ("listening", True)


def test_camera_is_switched_off_and_on_within_the_call(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    expect(page.locator("#self-note")).to_be_hidden()
    page.click("#camera")
    expect(page.locator("#self-note")).to_have_text("Camera is off")
    expect(page.locator("#self-note")).to_be_visible()
    page.click("#camera")
    expect(page.locator("#self-note")).to_be_hidden()
    assert page.get_attribute("#camera", "aria-pressed") == "true"


def test_space_held_talks_while_muted(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    assert state_of(page) == "listening", "without mute it does nothing"
    page.keyboard.press("m")
    page.keyboard.down("Space")
    assert page.evaluate("driver.call.parts.microphone.enabled") is True
    page.keyboard.up("Space")
    assert state_of(page) == "muted"


def test_single_keys_can_be_switched_off_and_never_fire_while_typing(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.fill("#typed", "")
    page.type("#typed", "mtd")
    assert state_of(page) == "listening"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("t")
    page.keyboard.press("d")
    assert page.evaluate("driver.sent.map(({ type }) => type)") == ["viva.think", "input_audio_buffer.commit"]
    page.click("#open-settings")
    page.uncheck("[name=singleKeys]")
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    assert state_of(page) == "listening"


def test_typing_breaks_in_and_asks_for_an_answer(open_page: Any) -> None:
    page = open_page()
    enter(page, "speaking")
    page.fill("#typed", "  What do you mean by peak?  ")
    page.press("#typed", "Enter")
    sent = page.evaluate("driver.sent")
    assert [event["type"] for event in sent] == [
        "response.cancel", "output_audio_buffer.clear", "conversation.item.create", "response.create",
    ]  # fmt: skip
    assert sent[2]["item"]["content"] == [{"type": "input_text", "text": "What do you mean by peak?"}]
    assert page.input_value("#typed") == ""


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


def test_answer_said_once_more_and_time_to_think_are_acknowledged(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.click("#think")
    expect(page.locator("#state")).to_contain_text("Take your time")
    page.click("#repeat")
    tell(
        page,
        [
            {"type": "response.output_item.added", "response_id": "r", "item": {"id": "i9"}},
            *reply_begins("i9", "Once more.", "i3"),
        ],
    )
    expect(page.locator("#state")).to_contain_text("once more")
    assert "Once more." in page.inner_text("#captions")
    assert "Once more." not in page.inner_text("#turns")
    sent = [event["type"] for event in page.evaluate("driver.sent")]
    assert sent == ["viva.think", "viva.repeat"]


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


def test_starting_again_is_a_new_call_with_an_empty_transcript(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.click("#reset")
    page.evaluate("driver.dialled(2)")
    assert page.evaluate("driver.calls[0].closed") is True
    assert page.inner_text("#turns") == ""


def test_end_by_the_server_waits_for_the_last_word_and_counts_honestly(open_page: Any) -> None:
    page = open_page()
    enter(page, "speaking")
    tell(page, [{"type": "viva.ended", "why": "stop"}])
    assert state_of(page) == "speaking"
    tell(page, [{"type": "output_audio_buffer.stopped", "response_id": "r-i5"}, floor("listening")])
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    assert page.evaluate("document.activeElement.id") == "ended-title"
    assert "12 seconds you spoke" in page.inner_text("#glance")
    assert "39 words of yours, in 2 turns; Alex had 3 turns" in page.inner_text("#glance")
    assert page.evaluate("driver.calls[0].closed") is True


USED = [
    {"stage": "stt", "name": "openai/whisper-1", "unit": "seconds", "amount": 41, "money": 0.0041},
    {"stage": "llm", "name": "openai/gpt-4o", "unit": "output_tokens", "amount": 900, "money": 0.021},
    {"stage": "tts", "name": "elevenlabs/x", "unit": "characters", "amount": 800, "money": 0.04},
]
COSTS = {
    "type": "viva.costs",
    "currency": "USD",
    "money": 0.0651,
    "wasted": 0.004,
    "not_priced": [],
    "used": USED,
}


def test_what_a_talk_cost_is_said_after_the_last_word(open_page: Any) -> None:
    page = open_page()
    enter(page, "speaking")
    tell(page, [{**COSTS, "money": 0.01}, COSTS])
    page.click("#leave")
    costs = page.inner_text("#ended-costs")
    assert costs.startswith("It cost about $0.065: ears $0.0041, mind $0.021, voice $0.04.")
    closer(page, "ended-costs")
    page.click("#again")
    page.click("#go")
    page.evaluate("driver.dialled(2)")
    page.evaluate("driver.tell('up', {})")
    tell(page, EARLIER)
    page.click("#leave")
    assert page.inner_text("#ended-costs") == "It cost nothing: all of it ran on the server itself."


def test_end_of_a_budget_is_told_before_and_after(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    tell(page, [{"type": "viva.ending", "in_s": None, "why": "budget_spent"}])
    expect(page.locator("#notice")).to_contain_text("nearly spent: this one ends soon, with a goodbye")
    closer(page, "ending-budget")
    tell(page, [COSTS, {"type": "viva.ended", "why": "budget_spent"}])
    expect(page.locator("body")).to_have_attribute("data-state", "ended")
    assert page.inner_text("#ended-costs").startswith("It ended because what it may cost was spent. It cost")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Changes what the server says of itself."""

    def change(**fields: Any) -> None:
        for name, value in fields.items():
            monkeypatch.setitem(ABOUT, name, value)

    return change


def test_server_that_may_spend_no_more_today_is_closed(
    elsewhere: Any, browser: Browser, address: str
) -> None:
    elsewhere(limits={"max_calls": 8, "no_budget_s": 20_000})
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(address)
    expect(page.locator("#go")).to_have_text("Closed until midnight UTC")
    expect(page.locator("#go")).to_be_disabled()
    gone = page.inner_text("#server-gone")
    assert gone.endswith("It talks again after midnight UTC, in 6 hours.")
    closer(page, "start-budget")
    page.close()


def test_what_answers_is_named_with_what_stands_in_for_it_and_what_would_be_better(
    elsewhere: Any, open_page: Any
) -> None:
    links = [
        ("deepgram", "nova-3 at Deepgram", None),
        ("openai", "whisper-1 at OpenAI", "the key is refused"),
    ]
    links += [("pocketsphinx", "US English, on this server", None)]
    chain = [{"name": name, "detail": detail, "error": error} for name, detail, error in links]
    ears, mind, voice = ABOUT["providers"]
    voice = {**voice, "better": "elevenlabs: set ELEVENLABS_API_KEY; openai: set OPENAI_API_KEY"}
    elsewhere(providers=[{**ears, "name": "deepgram", "chain": chain, "charged": True}, mind, voice])
    page = open_page()
    said = page.inner_text("#engines dl")
    assert "deepgram nova-3 at Deepgram" in said
    assert "If it fails: openai (not working: the key is refused), then pocketsphinx" in said
    page.click("#engines summary")
    assert "Better would be elevenlabs: set ELEVENLABS_API_KEY" in page.inner_text("#engines ul")
    closer(page, "start-chain", full=True)


ADMIN_SEEN = {
    "version": "0.1.0", "ready": True, "draining": False, "calls": 2, "max_calls": 8, "no_budget_s": 0,
    "providers": [{**one, "error": None} for one in ABOUT["providers"]],
    "today": {"spent": 4.125, "budget": 5.0, "currency": "USD"},
    "list": [
        {"call_id": f"call_local_{number}", "seconds": 130, "line": "webrtc", "mode": "interview",
         "language": "en", "items": 9, "key": "school", "user": "ann", "money": money, "not_priced": unknown}
        for number, money, unknown in ((1, 0.0412, []), (2, 0.0, ["openai/gpt-9"]))
    ],
}  # fmt: skip


def test_operator_sees_what_each_call_and_the_day_cost(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    seen = dict(ADMIN_SEEN)
    page.route("**/v1/viva/admin/calls", lambda route: route.fulfill(json=seen))
    page.goto(f"{address}/admin.html")
    page.fill("#key", "any")
    page.click("#door button")
    expect(page.locator("#today")).to_have_text(
        "Spent since midnight UTC, by the server’s prices: $4.13 of $5.00."
    )
    rows = [row.split("\t") for row in page.inner_text("#calls").splitlines()]
    assert [row[5] for row in rows] == ["$0.041", "not priced"]
    closer(page, "admin")
    seen["no_budget_s"] = 3600
    expect(page.locator("#today")).to_contain_text("New calls are refused until midnight, in 60 minutes.")
    page.close()


def test_choices_outlive_the_page(open_page: Any, address: str) -> None:
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


@pytest.mark.parametrize(("width", "height"), [(320, 640), (844, 390), (1024, 600)])
def test_conversation_fits_odd_screens(open_page: Any, width: int, height: int) -> None:
    page = open_page(width, height)
    enter(page, "listening")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = {name: page.locator(name).bounding_box() for name in ("#reset", "#show-panel", "#leave", "#mute")}
    for name, box in boxes.items():
        if box:
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= width, name
            assert box["y"] + box["height"] <= height, name
    last = boxes["#show-panel"] or boxes["#reset"]
    assert last["x"] + last["width"] <= boxes["#leave"]["x"], "End lies over another button"


def test_transcript_can_be_hidden_and_is_a_sheet_on_a_phone(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.click("#hide-panel")
    assert page.is_hidden("#panel")
    assert page.evaluate("document.activeElement.id") == "show-panel"
    phone = open_page(390, 844)
    enter(phone, "listening")
    assert phone.is_hidden("#panel")
    phone.click("#show-panel")
    assert phone.is_visible("#typed")
    phone.keyboard.press("Escape")
    assert phone.is_hidden("#panel")


def test_models_that_load_are_shown_and_waited_for(browser: Browser) -> None:
    about = {**ABOUT, "ready": False, "providers": [dict(one) for one in ABOUT["providers"]]}
    about["providers"][0]["ready"] = False
    with page_server(lambda: about, {"/main.js": DRIVEN}) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#go")).to_have_text("Getting the ears ready…")
        assert page.is_disabled("#go")
        expect(page.locator("#engines .loading")).to_have_text("Loading…")
        about["providers"][0]["ready"] = True
        about["ready"] = True
        expect(page.locator("#go")).to_have_text("Start talking")
        page.close()


def test_everything_is_reached_and_done_by_keyboard(open_page: Any) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#go")
    page.keyboard.press("Enter")
    page.evaluate("driver.dialled()")
    page.evaluate("driver.tell('up', {})")
    tell(page, EARLIER)
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"mute", "think", "done", "leave", "camera", "repeat", "reset", "typed", "log"} <= reached


def test_motion_that_is_unwelcome_is_left_out(open_page: Any) -> None:
    page = open_page(reduced_motion="reduce")
    enter(page, "pausing")
    # The ring stands at a quarter: 38 s of 60 are left, and only quarters are shown.
    assert page.evaluate("document.getElementById('mic').style.getPropertyValue('--patience')") == "0.75"


def test_faces_of_all_personas_are_drawn(open_page: Any) -> None:
    page = open_page()
    expect(page.locator("#people .face-layer")).to_have_count(7 * len(ABOUT["personas"]))


def test_slow_machine_gets_a_calmer_and_then_a_still_face(open_page: Any) -> None:
    page = open_page(storage="")
    enter(page, "speaking")
    frames = "(ms) => { for (let t = 0; t < 4500; t += ms) driver.app.stage.frame(null, null, ms / 1000); }"
    page.evaluate(frames, 30)
    assert page.get_attribute("body", "data-motion") == "calm"
    page.evaluate(frames, 60)
    assert page.get_attribute("body", "data-motion") == "still"
    assert page.locator("#face .face-layer").count() == 7, "the face is still there"
    page.evaluate("driver.app.settings.set('motion', 'calm')")
    assert page.get_attribute("body", "data-motion") == "calm", "a choice stands above the measurement"
