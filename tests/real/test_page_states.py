"""Every state of the page in a real browser: what it shows, what it says, and that it fits its screen."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.real import driven_page
from tests.real.browser import page_server
from tests.real.driven_page import (
    AXE,
    DRIVEN,
    REFUSES,
    SCREENS,
    SHOTS,
    enter,
    look_closely,
    state_of,
    tell,
)
from tests.real.scenes import ABOUT, EARLIER, SCENES, floor, reply_begins

pytestmark = pytest.mark.real

address, browser, open_page = driven_page.address, driven_page.browser, driven_page.open_page

STATES = ["start", "connecting", *SCENES, "muted", "refused", "nocamera", "lost", "ended"]


def script_of(state: str) -> str:
    if state == "refused":
        return REFUSES % ("NotAllowedError", "audio")
    if state == "nocamera":
        return REFUSES % ("NotFoundError", "video")
    return ""


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


def test_answer_said_once_more_and_time_to_think_are_acknowledged(open_page: Any) -> None:
    page = open_page()
    enter(page, "listening")
    page.click("#think")
    expect(page.locator("#state")).to_contain_text("Take your time")
    page.click("#repeat")
    tell(
        page,
        [
            {"type": "response.created", "response": {"id": "r", "metadata": {"viva": "repeat"}}},
            {"type": "response.output_item.added", "response_id": "r", "item": {"id": "i9"}},
            *reply_begins("i9", "Once more.", "i3"),
        ],
    )
    expect(page.locator("#state")).to_contain_text("once more")
    assert "Once more." in page.inner_text("#captions")
    assert "Once more." not in page.inner_text("#turns")
    sent = [event["type"] for event in page.evaluate("driver.sent")]
    assert sent == ["viva.think", "viva.repeat"]


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
