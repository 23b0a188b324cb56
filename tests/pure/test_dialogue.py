"""The history, and what the mind is told of it."""

from __future__ import annotations

import pytest

from pipeline.dialogue import Dialogue, shorten
from pipeline.errors import CallError
from pipeline.items import Item, Status
from pipeline.providers import Message, ToolCall


def dialogue(*texts: str) -> Dialogue:
    history = Dialogue()
    for index, text in enumerate(texts):
        history.add(Item(f"item_{index}", "assistant" if index % 2 else "user", "completed", text))
    return history


def test_items_stand_where_they_are_put() -> None:
    history = dialogue("a", "b")
    assert history.add(Item("last", "user", text="c")) == "item_1"
    assert history.add(Item("second", "user", text="d"), "item_0") == "item_0"
    assert history.add(Item("first", "user", text="e"), "root") is None
    assert [item.id for item in history.items] == ["first", "item_0", "second", "item_1", "last"]


def test_an_unknown_place_and_a_taken_id_are_refused() -> None:
    history = dialogue("a")
    with pytest.raises(CallError, match="no item 'nowhere'"):
        history.add(Item("x", "user", text="b"), "nowhere")
    with pytest.raises(CallError, match="already"):
        history.add(Item("item_0", "user", text="b"))


def test_the_mind_is_told_the_prompt_and_the_newest_messages() -> None:
    messages = dialogue("a", "b", "c", "d").messages("be kind", 2)
    assert [(message.role, message.text) for message in messages] == [
        ("system", "be kind"),
        ("user", "c"),
        ("assistant", "d"),
    ]


def test_an_interruption_is_marked_and_the_unheard_left_out() -> None:
    history = dialogue("what is a cache")
    history.add(Item("reply", "assistant", "incomplete", ""))
    history.add(Item("pending", "user", "completed", None))
    history.add(Item("cut", "user", "completed", "wait", interrupted=True))
    assert [message.text for message in history.messages("s", 20)[1:]] == [
        "what is a cache",
        "[INTERRUPTED] wait",
    ]


def test_a_note_is_told_even_if_nothing_was_heard() -> None:
    history = Dialogue()
    history.add(Item("reply", "assistant", "incomplete", "", note={"asked": "q1"}))
    assert history.messages("s", 20)[1].note == {"asked": "q1"}


def test_a_reply_is_shortened_to_the_words_that_had_begun() -> None:
    item = Item("reply", "assistant", "completed", "one two three", audio_ms=2000)
    item.words = [(0, 0), (900, 3), (1100, 7)]
    shorten(item, 1100)
    assert (item.text, item.audio_ms) == ("one two", 1100)
    shorten(item, 5000)
    assert (item.text, item.audio_ms) == ("one two", 1100)
    shorten(item, 0)
    assert (item.text, item.audio_ms) == ("", 0)


def call(call_id: str, status: Status = "completed") -> Item:
    return Item(f"item_{call_id}", None, status, "{}", kind="function_call", call_id=call_id, name="f")


def output(call_id: str, text: str = "out") -> Item:
    return Item(f"out_{call_id}", None, "completed", text, kind="function_call_output", call_id=call_id)


def roles(history: Dialogue, limit: int = 20) -> list[str]:
    return [message.role + message.call_id for message in history.messages("s", limit)[1:]]


def test_outputs_follow_their_calls_wherever_they_came() -> None:
    history = dialogue("weather", "let me look")
    history.items += [
        call("1"),
        call("2"),
        Item("q", "user", text="hello?"),
        output("2", "b"),
        output("1", "a"),
    ]
    messages = history.messages("s", 20)[1:]
    assert [message.text for message in messages] == ["weather", "let me look", "a", "b", "hello?"]
    assert [one.id for one in messages[1].calls] == ["1", "2"]


def test_calls_of_two_replies_are_told_one_after_the_other() -> None:
    history = dialogue("weather")
    history.items += [call("1"), output("1"), call("2"), output("2")]
    assert roles(history) == ["user", "assistant", "tool1", "assistant", "tool2"]


def test_a_call_that_was_cut_off_is_not_told_and_one_without_an_output_says_so() -> None:
    history = dialogue("weather")
    history.items += [call("1", "incomplete"), call("2")]
    messages = history.messages("s", 20)
    assert roles(history) == ["user", "assistant", "tool2"]
    assert messages[-1].text == "No result has come yet."


@pytest.mark.parametrize("limit", range(1, 12))
def test_the_window_never_parts_a_call_from_its_output(limit: int) -> None:
    history = dialogue("weather", "let me look")
    history.items += [call("1"), call("2"), output("1"), output("2")]
    history.items += [Item("q", "user", text="and?"), Item("a", "assistant", text="Sunny.")]
    history.items[-1].steps = (
        Message("assistant", "", calls=(ToolCall("3", "f", "{}"),)),
        Message("tool", "out", call_id="3"),
    )
    messages = history.messages("s", limit)[1:]
    asked = [one.id for message in messages for one in message.calls]
    assert [message.call_id for message in messages if message.role == "tool"] == asked
    assert len(messages) <= max(limit, 3)
    assert messages[-1].text == "Sunny."


def test_words_that_are_still_to_come_are_not_counted_to_what_stands_before_them() -> None:
    history = dialogue("a", "b")
    history.add(Item("pending", "user", "completed", None))
    history.add(Item("last", "assistant", text="c"))
    assert [one.item_ids for one in history.exchanges()] == [["item_0"], ["item_1"], ["last"]]
    history.find("pending").text = "now known"
    assert [message.text for message in history.messages("s", 9, covered={"item_0", "item_1"})[1:]] == [
        "now known",
        "c",
    ]


def test_the_newest_exchange_is_told_however_long_it_is() -> None:
    history = dialogue("a", "b " * 400)
    assert [message.text for message in history.messages("s", 9, tokens=100)[1:]] == ["b " * 400]
