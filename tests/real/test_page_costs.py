"""What talks cost and what they are held with, as the page tells a person and the operator."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.real import driven_page
from tests.real.driven_page import closer, enter, tell
from tests.real.scenes import ABOUT, EARLIER

pytestmark = pytest.mark.real

address, browser, open_page = driven_page.address, driven_page.browser, driven_page.open_page

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
