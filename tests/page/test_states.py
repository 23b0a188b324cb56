"""What the page makes of the server's events: its reducer in a real browser, without a page around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.real.browser import chromium, page_server
from tests.real.scenes import (
    ABOUT,
    EARLIER,
    GREETING,
    QUESTION,
    SCENES,
    floor,
    heard,
    item,
    reply_begins,
    said,
)

pytestmark = pytest.mark.real

ANSWER: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r-i10", "metadata": None}},
    {"type": "response.output_item.added", "response_id": "r-i10", "item": item("i10", "assistant", "")},
]
UP: list[dict[str, Any]] = [{"type": "page.connecting", "text": ""}, {"type": "page.up"}]

FOLD = """async ([events, stepMs]) => {
  const { reduce, stateOf, isOver, START } = await import('/states.js');
  let model = START, now = 1000;
  for (const event of events) { model = reduce(model, event, now); now += stepMs; }
  return { ...model, state: stateOf(model), over: isOver(model) };
}"""


@pytest.fixture(scope="module")
def blank() -> Iterator[Page]:
    with chromium() as browser, page_server(lambda: ABOUT, {}) as address:
        page = browser.new_page()
        page.goto(f"{address}/mark.svg")
        yield page


@pytest.fixture
def fold(blank: Page) -> Any:
    def run(events: list[dict[str, Any]], step_ms: int = 10) -> dict[str, Any]:
        result: dict[str, Any] = blank.evaluate(FOLD, [[*UP, *events], step_ms])
        return result

    return run


def test_a_change_of_providers_is_a_small_note(fold: Any) -> None:
    change = {
        "type": "viva.provider",
        "stage": "tts",
        "from": "openai",
        "to": "espeak",
        "why": "no connection",
    }
    note = fold([floor("answering"), change])["note"]
    assert note == {"kind": "provider", "text": "The voice changed from openai to espeak: no connection."}


@pytest.mark.parametrize("state", SCENES)
def test_every_scene_leads_to_its_state(fold: Any, state: str) -> None:
    assert fold(SCENES[state])["state"] == state


def test_whoever_may_not_talk_longer_is_told_before(fold: Any) -> None:
    note = fold([floor("listening"), {"type": "viva.ending", "in_s": 60, "why": "time_over"}])["note"]
    assert note["text"].endswith("60 seconds are left.")
    note = fold([{"type": "viva.ending", "in_s": 300, "why": "server_stops"}])["note"]
    assert note["text"] == "This server is about to be stopped: 5 minutes are left."


def test_whoever_may_not_spend_more_is_told_before_without_a_time_that_nobody_knows(fold: Any) -> None:
    note = fold([floor("listening"), {"type": "viva.ending", "in_s": None, "why": "budget_spent"}])["note"]
    assert note["text"].endswith("this one ends soon, with a goodbye.")


def test_costs_are_those_told_last(fold: Any) -> None:
    told = [{"type": "viva.costs", "money": money} for money in (0.1, 0.2)]
    assert fold(told)["costs"]["money"] == 0.2
    assert fold([])["costs"] is None


def used(stage: str, money: float | None) -> dict[str, Any]:
    return {"stage": stage, "name": f"{stage}/m", "unit": "seconds", "amount": 1, "money": money}


@pytest.mark.parametrize(
    ("costs", "charged", "words"),
    [
        (None, False, "It cost nothing: all of it ran on the server itself."),
        (None, True, ""),
        ({"money": 0, "used": [used("llm", 0)]}, False, "It cost nothing: no vendor was asked."),
        (
            {"money": 0.0412, "used": [used("stt", 0.01), used("llm", 0.0252), used("tts", 0.006)]},
            True,
            "It cost about $0.041: ears $0.01, mind $0.025, voice $0.006.",
        ),
        (
            {"money": 1.5, "wasted": 0.25, "used": [used("llm", 1.5)]},
            True,
            "It cost about $1.50: mind $1.50. Of that, $0.25 went into answers that were not needed, "
            "as you went on speaking.",
        ),
        (
            {"money": 0, "not_priced": ["deepgram/nova-9"], "used": [used("stt", None)]},
            True,
            "What it cost is not known: no price is set here for deepgram/nova-9.",
        ),
        (
            {"money": 0.5, "not_priced": ["a/b", "c/d"], "used": [used("llm", 0.5), used("stt", None)]},
            True,
            "It cost about $0.50: mind $0.50, and more that is not known, "
            "as no price is set here for a/b and c/d.",
        ),
    ],
)
def test_what_a_talk_cost_is_said_as_far_as_it_is_known(
    blank: Page, costs: dict[str, Any] | None, charged: bool, words: str
) -> None:
    told = costs and {"currency": "USD", "wasted": 0, "not_priced": [], **costs}
    say = "async ([costs, charged]) => (await import('/costs.js')).costWords(costs, charged)"
    assert blank.evaluate(say, [told, charged]) == words


def test_reply_that_is_not_yet_audible_is_thinking(fold: Any) -> None:
    assert fold([floor("answering")])["state"] == "thinking"
    assert fold([floor("answering", audible=True)])["state"] == "speaking"


def test_cough_over_a_reply_does_not_look_like_an_interruption(fold: Any) -> None:
    doubt = floor("doubting", audible=True, ducked=True)
    assert fold([*SCENES["speaking"], doubt])["state"] == "speaking"
    assert fold([*SCENES["speaking"], doubt, floor("answering", audible=True)])["state"] == "speaking"


def test_interruption_gives_way_to_the_persons_words(fold: Any) -> None:
    partial = {"type": "viva.partial", "item_id": "i6", "sure": "Actually", "tail": " I would"}
    quick = fold([*SCENES["interrupted"], partial])
    assert (quick["state"], quick["caption"]["who"], quick["caption"]["cut"]) == ("interrupted", "they", True)
    # The same, at a pace at which the first words come 2 s after the cut.
    slow = fold([*SCENES["interrupted"], partial], 2000)
    assert (slow["state"], slow["caption"]["who"], slow["caption"]["tail"]) == ("hearing", "you", " I would")


def test_reply_cleared_by_a_typed_message_is_no_interruption(fold: Any) -> None:
    events = [
        *SCENES["speaking"],
        {"type": "output_audio_buffer.cleared", "response_id": "r"},
        floor("listening"),
    ]
    assert fold(events)["state"] == "listening"


def test_withdrawn_reply_leaves_no_trace(fold: Any) -> None:
    events = [
        *EARLIER,
        *said("i4", "I would", "i3"),
        *reply_begins("i5", QUESTION, "i4"),
        {"type": "input_audio_buffer.speech_started", "audio_start_ms": 30_000, "item_id": "i6"},
        {"type": "response.done", "response": {"id": "r-i5", "status": "cancelled"}},
        {"type": "output_audio_buffer.cleared", "response_id": "r-i5"},
        {"type": "conversation.item.deleted", "item_id": "i4"},
        {"type": "conversation.item.deleted", "item_id": "i5"},
        floor("hearing"),
        {"type": "viva.partial", "item_id": "i6", "sure": "I would put", "tail": ""},
    ]
    after = fold(events)
    assert [turn["id"] for turn in after["turns"]] == ["i1", "i2", "i3", "i6"]
    assert (after["state"], after["caption"]["sure"]) == ("hearing", "I would put")


def test_transcript_holds_what_was_heard_and_marks_the_cut(fold: Any) -> None:
    turn = fold(SCENES["interrupted"])["turns"][-1]
    assert (turn["text"], turn["cut"]) == (" ".join(QUESTION.split(" ")[:9]), True)


def test_item_lands_where_the_server_puts_it(fold: Any) -> None:
    def added(item_id: str, after: str | None) -> dict[str, Any]:
        message = item(item_id, "user", "hello")
        return {"type": "conversation.item.added", "item": message, "previous_item_id": after}

    assert [turn["id"] for turn in fold([*EARLIER, added("late", "i1")])["turns"]] == [
        "i1",
        "late",
        "i2",
        "i3",
    ]
    assert [turn["id"] for turn in fold([*EARLIER, added("front", None)])["turns"]] == [
        "front",
        "i1",
        "i2",
        "i3",
    ]


def test_utterance_without_words_is_taken_back(fold: Any) -> None:
    events = [*EARLIER, *said("i4", " ", "i3")]
    assert [turn["id"] for turn in fold(events)["turns"]] == ["i1", "i2", "i3"]


def test_speaking_times_are_added_up(fold: Any) -> None:
    after = fold(EARLIER, 100)
    assert after["speech"] == {"i2": {"from": 9000, "to": 21_000}}  # the server's own figures
    # Two replies: `started` is followed by phrase, a word and a delta each, item, response, `stopped`.
    greeting, question = (len(text.split(" ")) for text in (GREETING, QUESTION))
    assert after["theySpoke"] == 100 * ((1 + 2 * greeting + 3) + (1 + 2 * question + 3))


def test_call_is_over_only_after_the_last_word(fold: Any) -> None:
    farewell = [
        *SCENES["speaking"],
        {"type": "viva.ended", "why": "stop"},
    ]
    assert not fold(farewell)["over"]
    stopped = [*farewell, {"type": "output_audio_buffer.stopped", "response_id": "r"}, floor("listening")]
    assert fold(stopped)["over"]


def test_transcript_outlives_a_drop(fold: Any) -> None:
    drop = {"type": "page.lost", "fault": {"kind": "dropped"}, "attempt": 1}
    after = fold([*SCENES["hearing"], drop])
    assert after["state"] == "lost"
    assert [turn["who"] for turn in after["turns"]] == ["they", "you", "they", "you", "note"]
    assert after["turns"][3]["text"].endswith("probably fall")
    again = fold([*SCENES["hearing"], drop, {"type": "page.connecting", "attempt": 1}])
    assert again["state"] == "lost"
    redial = [drop, {"type": "page.connecting", "attempt": 1}, {"type": "page.up"}, *heard("i9", "Hi", 1)]
    back = fold([*SCENES["hearing"], *redial])
    assert (back["state"], back["note"]["kind"], back["turns"][-1]["text"]) == ("thinking", "again", "Hi")


def test_conversation_that_is_taken_up_again_shows_what_was_missed_and_no_break(fold: Any) -> None:
    drop = {"type": "page.lost", "fault": {"kind": "dropped"}, "attempt": 1, "waits": True}
    lost = fold([*EARLIER, drop])
    assert (lost["state"], lost["waits"]) == ("lost", True)
    unheard = {"item_id": "i3", "text": " again?"}
    history = [
        {"type": f"conversation.item.{step}", "item": one, "previous_item_id": before}
        for one, before in (
            (item("i1", "assistant", GREETING), None),
            (item("i2", "user", "I would."), "i1"),
            (item("i3", "assistant", "And again?"), "i2"),
        )
        for step in ("added", "done")
    ]
    again = {"type": "page.connecting", "attempt": 1}, {"type": "page.up", "resumed": True}
    back = fold([*EARLIER, drop, *again, {"type": "viva.resumed", "unheard": unheard}, *history])
    assert [turn["id"] for turn in back["turns"]] == ["i1", "i2", "i3"]
    assert back["turns"][2]["unheard"] == "again?"
    assert back["caption"]["text"] == "again?"
    assert back["note"]["kind"] == "again"


def test_sound_that_goes_over_a_websocket_is_said_and_stays_said_when_it_comes_back(fold: Any) -> None:
    socket = {"type": "page.up", "resumed": True, "socket": True}
    assert "No UDP passes" in fold([socket, {"type": "viva.resumed", "unheard": None}])["note"]["text"]


def test_button_without_anything_to_act_on_is_answered_in_plain_words(fold: Any) -> None:
    error = {"type": "error", "error": {"code": "input_audio_buffer_commit_empty", "message": "raw"}}
    assert "Say something first" in fold([error])["note"]["text"]
    harmless = {"type": "error", "error": {"code": "response_cancel_not_active", "message": "raw"}}
    assert fold([harmless])["note"] is None


def test_what_is_said_once_more_is_no_new_turn(fold: Any) -> None:
    again = [
        {"type": "response.created", "response": {"id": "r-i9", "metadata": {"viva": "repeat"}}},
        {"type": "response.output_item.added", "response_id": "r-i9", "item": item("i9", "assistant", "")},
        *reply_begins("i9", QUESTION, "i3"),
        *heard("i9", QUESTION, 4),
    ]
    during = fold([*EARLIER, *again])
    assert [turn["id"] for turn in during["turns"]] == ["i1", "i2", "i3"]
    assert (during["state"], during["caption"]["text"]) == ("speaking", QUESTION)
    over = [{"type": "conversation.item.deleted", "item_id": "i9"}, floor("listening")]
    after = fold([*EARLIER, *again, *over])
    assert (after["caption"]["text"], after["again"]) == (QUESTION, None), "the strip keeps what was said"
    following = fold([*EARLIER, *again, *over, *ANSWER, *reply_begins("i10", "Right.", "i3")])
    assert [turn["id"] for turn in following["turns"]][-1] == "i10"


def test_repetition_that_is_cut_before_its_first_word_hides_no_later_answer(fold: Any) -> None:
    cut = [
        {"type": "response.created", "response": {"id": "r-i9", "metadata": {"viva": "repeat"}}},
        {"type": "response.done", "response": {"id": "r-i9", "status": "cancelled"}},
    ]
    after = fold([*EARLIER, *cut, *ANSWER, *reply_begins("i10", "Right.", "i3")])
    assert (after["turns"][-1]["id"], after["again"]) == ("i10", None)


def test_time_to_think_before_the_first_word_is_acknowledged_until_it(fold: Any) -> None:
    think = {"type": "page.think"}
    assert fold([*EARLIER, think])["thinking"] is True
    assert fold([*EARLIER, think, floor("hearing")])["thinking"] is False
    assert fold([*SCENES["speaking"], think])["thinking"] is False


@pytest.mark.parametrize(
    ("text", "language", "shown"),
    [
        ("i think i'd say it's fine", "en", "I think I'd say it's fine"),
        ("I said i", "en", "I said i"),  # this recogniser knows capitals
        ("i ragazzi", "it", "i ragazzi"),
        ("wi-fi in the office", "en", "Wi-fi in the office"),
        ("", "en", ""),
    ],
)
def test_words_without_capitals_are_shown_as_one_writes_them(
    blank: Page, text: str, language: str, shown: str
) -> None:
    write = "async ([text, language]) => (await import('/turns.js')).asWritten(text, language)"
    assert blank.evaluate(write, [text, language]) == shown


def test_words_are_counted_in_scripts_without_spaces(blank: Page) -> None:
    count = "async ([text, language]) => (await import('/turns.js')).countWords(text, language)"
    assert blank.evaluate(count, ["It's fine, isn't it?", "en"]) == 4
    assert blank.evaluate(count, ["我喜欢喝茶。", "zh"]) >= 3
