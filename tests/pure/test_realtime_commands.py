"""What a client may send, and what it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent

from pipeline.items import Item
from pipeline.session import Session
from server.wire.realtime import COMMANDS, Realtime
from server.wire.realtime_shapes import MAX_TEXT, Plain, Shape
from server.wire.realtime_shapes import Session as Settings
from tests import virtual
from tests.realtime_client import Client, typed, types
from tests.realtime_events import Json, check_server_event
from tests.session.call import Call, Ears, Mind, Voice


@pytest.fixture
def client() -> Client:
    return Client()


KEYS = "type session id item role content text viva mode audio input output".split()
VALUES = "message user input_text input_audio function_call text semantic_vad chat de auto root none".split()
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.floats() | st.sampled_from([*VALUES, ""]),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.sampled_from(KEYS), deeper, max_size=4),
    max_leaves=10,
)


def near(shape: type[Shape]) -> st.SearchStrategy[Json]:
    """Objects with the fields of a shape: most are right, some are anything."""
    fields = {name: _near_type(field.annotation) for name, field in shape.model_fields.items()}
    return st.fixed_dictionaries({}, optional=fields)


def _near_type(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and issubclass(kind, Shape):
        return near(kind)
    parts = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return st.sampled_from(parts) | anything
    if get_origin(kind) is list:
        return st.lists(_near_type(parts[0]), max_size=2)
    if get_origin(kind) is Annotated:
        return _near_type(parts[0])
    scalars = {int: st.integers(0, 3000), str: st.sampled_from(VALUES), bool: st.booleans()}
    return st.one_of([scalars.get(kind, anything), *map(_near_type, parts)])


commands = st.one_of(
    [
        st.tuples(st.just(kind), near(shape or Plain) | st.dictionaries(st.sampled_from(KEYS), anything))
        for kind, (shape, _) in sorted(COMMANDS.items())
    ]
    + [st.tuples(st.just("session.update"), st.fixed_dictionaries({"session": near(Settings)}))]
)


@hypothesis.settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(commands)
def test_nothing_that_a_client_sends_is_more_than_its_own_error(command: tuple[str, Json]) -> None:
    kind, fields = command
    fields.pop("type", None)

    async def send() -> list[Json]:
        return Client().send(kind, **fields)

    codes = [event["error"]["code"] for event in virtual.run(send()) if event["type"] == "error"]
    assert "internal_error" not in codes


def test_half_a_character_is_refused_because_nobody_could_be_told_of_it(client: Client) -> None:
    content = [{"type": "input_text", "text": "hello \ud800"}]
    (answer,) = client.send("conversation.item.create", item={"role": "user", "content": content})
    assert answer["error"]["code"] == "invalid_json"
    assert not client.session.items


def test_a_typed_message_becomes_an_item(client: Client) -> None:
    content = [{"type": "input_text", "text": "Hello "}, {"type": "input_text", "text": "there."}]
    item = {"id": "item_mine", "type": "message", "role": "user", "content": content}
    added, done = client.send("conversation.item.create", item=item)
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["item"]["id"] == "item_mine"
    assert added["item"]["content"] == [{"type": "input_text", "text": "Hello there."}]


@pytest.mark.parametrize("front", [None, "root"])
def test_previous_null_and_root_mean_the_front_and_absent_the_end(client: Client, front: str | None) -> None:
    client.send("conversation.item.create", **typed("one"))
    client.send("conversation.item.create", **typed("two"))
    client.send("conversation.item.create", **typed("zero", previous_item_id=front))
    behind = client.session.items[1].id
    client.send("conversation.item.create", **typed("one and a half", previous_item_id=behind))
    assert [item.text for item in client.session.items] == ["zero", "one", "one and a half", "two"]


def test_an_item_can_be_asked_for_and_deleted(client: Client) -> None:
    client.send("conversation.item.create", **typed("one"))
    item_id = client.session.items[0].id
    (retrieved,) = client.send("conversation.item.retrieve", item_id=item_id)
    assert retrieved["type"] == "conversation.item.retrieved"
    assert retrieved["item"]["content"][0]["text"] == "one"
    (deleted,) = client.send("conversation.item.delete", item_id=item_id)
    assert deleted == {
        "type": "conversation.item.deleted",
        "event_id": deleted["event_id"],
        "item_id": item_id,
    }
    assert client.session.items == []


def test_a_reply_of_which_nothing_was_heard_is_retrieved_with_a_text_that_is_not_empty(
    client: Client,
) -> None:
    client.session.items.append(Item("item_1", "assistant", "incomplete", ""))
    (retrieved,) = client.send("conversation.item.retrieve", item_id="item_1")
    assert retrieved["item"]["content"] == [{"type": "output_audio", "transcript": "…"}]


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "conversation.item.retrieve", "item_id": "item_x"}, None),
        ({"type": "conversation.item.retrieve"}, "missing_required_parameter"),
        ({"type": "conversation.item.delete", "item_id": "item_x"}, None),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": 10}, None),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": -1}, "invalid_value"),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": True}, "invalid_type"),
        ({"type": "conversation.item.create"}, "missing_required_parameter"),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output"}},
            "missing_required_parameter",
        ),
        ({"type": "conversation.item.create", "item": {"role": "boss", "content": []}}, "invalid_value"),
        ({"type": "conversation.item.create", **typed("   ")}, "empty_text"),
        ({"type": "conversation.item.create", **typed("x" * (MAX_TEXT + 1))}, "string_above_max_length"),
        ({"type": "conversation.item.create", **typed("x", previous_item_id="item_x")}, None),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "response.create", "response": {"conversation": "mine"}}, "invalid_value"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_type"),
        ({"type": "response.create", "response": 3}, "invalid_type"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        ({"type": "input_audio_buffer.append", "audio": ""}, "invalid_event"),
        ({"type": "viva.repeat"}, "nothing_to_repeat"),
        ({"type": "transcription_session.update"}, "unknown_event"),
        ({"type": "x" * 5000}, "unknown_event"),
    ],
)
def test_a_command_that_cannot_be_carried_out_is_answered_with_its_event_id(
    client: Client, event: Json, code: str | None
) -> None:
    error = client.refused(**event)
    assert error["code"] == code or code is None
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    "text", ["", "hello", "[]", '"x"', "{}", '{"type": 3}', "[" * 5000, "\x00", b"\xff\xfe"]
)
def test_what_is_no_event_is_answered_with_an_error(client: Client, text: Any) -> None:
    client.wire.handle(text)
    assert types(client.events) == ["error"]


def test_clearing_an_empty_input_is_confirmed(client: Client) -> None:
    assert types(client.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]


def test_output_clear_alone_stops_the_sound_and_truncates() -> None:
    long = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
    call = Call(Ears([]), Mind([long]), Voice(), greet=True)
    wires: list[Callable[[str], None]] = []
    events: list[Json] = []

    def connect(session: Session) -> None:
        wire = Realtime(session, lambda event: (check_server_event(event), events.append(event))[0])
        session.attach(wire.tell)
        wires.append(wire.handle)
        wire.handle('{"type": "session.update", "session": {}}')

    call.at(0, connect)
    call.at(1500, lambda _: wires[0]('{"type": "output_audio_buffer.clear"}'))
    call.run(4000)
    kinds = types(events)
    order = [
        "output_audio_buffer.started",
        "response.done",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]
    places = [kinds.index(kind) for kind in order]
    assert places == sorted(places)
    assert call.last_sound_ms() < 1600


def test_every_client_event_of_the_protocol_is_known() -> None:
    union = get_args(RealtimeClientEvent)[0]
    standard = {get_args(model.model_fields["type"].annotation)[0] for model in get_args(union)}
    assert standard <= set(COMMANDS)
    assert set(COMMANDS) - standard == {"viva.think", "viva.repeat"}
