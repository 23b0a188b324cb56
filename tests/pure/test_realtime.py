"""The wire: events of a session in the protocol's words and order, commands of a client carried out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent

from pipeline import events as ev
from pipeline.items import Item
from pipeline.providers import Transcript, Usage
from pipeline.session import Parts, Session
from pipeline.settings import CallSettings, Settings
from server.realtime import COMMANDS, EVENTS, MAX_TEXT, Realtime
from tests import virtual
from tests.realtime_events import Json, check_server_event
from tests.session.call import Call, Ears, Mind, Voice, silero, speech

QUESTION = "what is a cache"


class Client:
    """The other end of the wire."""

    def __init__(self, **call: Any) -> None:
        self.events: list[Json] = []
        parts = Parts(Ears([]), Mind(["Hello."]), Voice(), silero())
        self.session = Session(parts, Settings(), CallSettings(**call))
        self.wire = Realtime(self.session, self.take)
        self.session.attach(self.wire.tell)

    def take(self, event: Json) -> None:
        check_server_event(event)
        self.events.append(json.loads(json.dumps(event)))

    def send(self, type: str, **fields: Any) -> list[Json]:
        """What is answered to it."""
        before = len(self.events)
        self.wire.handle(json.dumps({"type": type, **fields}))
        return self.events[before:]

    def update(self, **session: Any) -> Json:
        (answer,) = (event for event in self.send("session.update", session=session) if "floor" not in event)
        return answer

    def tell(self, event: ev.Event) -> list[Json]:
        before = len(self.events)
        self.wire.tell(event)
        return self.events[before:]

    def refused(self, type: str, **fields: Any) -> Json:
        (answer,) = self.send(type, event_id="event_mine", **fields)
        assert answer["type"] == "error"
        assert answer["error"]["event_id"] == "event_mine"
        assert answer["error"]["type"] == "invalid_request_error"
        assert answer["error"]["message"]
        return answer["error"]


@pytest.fixture
def client() -> Client:
    return Client()


def types(events: list[Json]) -> list[str]:
    return [event["type"] for event in events]


# ------------------------------------------------------------------ a whole conversation


def conversation(call: Call, length_ms: int, *, viva: bool) -> list[Json]:
    """Everything that went over the wire."""
    events: list[Json] = []

    def take(event: Json) -> None:
        check_server_event(event)
        events.append(json.loads(json.dumps(event)))

    def connect(session: Session) -> None:
        wire = Realtime(session, take)
        wire.opened()
        session.attach(wire.tell)
        wire.handle(json.dumps({"type": "session.update", "session": {"viva": {}} if viva else {}}))

    call.actions.insert(0, (0, connect))
    call.run(length_ms)
    return events


def answered(**call: Any) -> Call:
    return Call(Ears([[QUESTION]]), Mind(["A small store."]), Voice(), speech(500, QUESTION), **call)


def test_a_question_and_its_answer_go_over_the_wire_in_the_order_that_clients_expect() -> None:
    events = conversation(answered(), 5000, viva=False)
    deltas = [event["delta"] for event in events if event["type"].endswith("transcript.delta")]
    assert "".join(deltas).split() == ["A", "small", "store."]
    assert [kind for kind in types(events) if not kind.endswith(".delta")] == [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "output_audio_buffer.started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
        "output_audio_buffer.stopped",
    ]


def test_every_event_of_one_answer_names_the_same_response_and_item() -> None:
    events = conversation(answered(), 5000, viva=True)
    created = next(event for event in events if event["type"] == "response.created")["response"]["id"]
    assert {event["response_id"] for event in events if "response_id" in event} == {created}
    done = next(event for event in events if event["type"] == "response.done")["response"]
    assert done["id"] == created
    assert done["status"] == "completed"
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "A small store."}]
    assert done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"]
    replied = {
        event["item_id"] for event in events if event["type"].startswith("response.") and "item_id" in event
    }
    assert replied == {done["output"][0]["id"]}


def test_our_own_events_go_only_to_a_client_that_asked_for_them() -> None:
    stock = types(conversation(answered(), 5000, viva=False))
    assert not [kind for kind in stock if kind.startswith("viva.")]
    asked = types(conversation(answered(), 5000, viva=True))
    assert {"viva.floor", "viva.phrase", "viva.word", "viva.turn_metrics"} <= set(asked)
    assert [kind for kind in asked if not kind.startswith("viva.")] == stock


def test_a_phrase_is_announced_before_its_first_word() -> None:
    kinds = types(conversation(answered(), 5000, viva=True))
    assert kinds.index("viva.phrase") < kinds.index("viva.word")


def test_an_interruption_ends_reply_sound_and_item_in_that_order() -> None:
    long = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
    barge = "no wait that is wrong please stop it now"
    call = Call(
        Ears([[QUESTION], [barge]]),
        Mind([long, "Fine."]),
        Voice(),
        speech(500, QUESTION),
        speech(4500, barge),
    )
    events = conversation(call, 12_000, viva=False)
    kinds = types(events)
    start = kinds.index("response.created")
    order = [
        "input_audio_buffer.speech_started",
        "response.done",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
    ]
    places = [kinds.index(kind, start) for kind in order]
    assert places == sorted(places), list(zip(order, places, strict=True))
    done = events[kinds.index("response.done")]["response"]
    assert done["status"] == "cancelled"
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    heard = done["output"][0]["content"][0]["transcript"]
    assert heard
    assert long.startswith(heard.strip())
    assert len(heard) < len(long)


def test_the_greeting_comes_after_session_updated() -> None:
    events = conversation(Call(Ears([]), Mind(["Hello."]), Voice(), greet=True), 2000, viva=False)
    assert types(events)[:3] == ["session.created", "session.updated", "response.created"]


# ------------------------------------------------------------------ single events


def test_every_event_of_a_session_is_translated_or_goes_over_a_channel_of_its_own() -> None:
    assert set(EVENTS) | {ev.Shapes} == set(get_args(ev.Event))


def test_spoken_words_are_null_until_they_are_known(client: Client) -> None:
    item = Item("item_1", "user", "completed")
    (added,) = client.tell(ev.ItemAdded(item, None))
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert added["previous_item_id"] is None
    item.text = "hello"
    (done,) = client.tell(ev.ItemDone(item, "item_0"))
    assert done["item"]["content"] == [{"type": "input_audio", "transcript": "hello"}]
    assert done["previous_item_id"] == "item_0"


def test_a_transcription_carries_its_usage(client: Client) -> None:
    (event,) = client.tell(ev.Transcribed("item_1", "hello", 1.25))
    assert event["usage"] == {"type": "duration", "seconds": 1.25}


def test_a_partial_is_two_strings(client: Client) -> None:
    client.update(viva={})
    (event,) = client.tell(ev.Partial("item_1", Transcript("partial", "I was born", sure=6)))
    assert (event["sure"], event["tail"]) == ("I was ", "born")


def test_a_reply_in_writing_has_text_parts(client: Client) -> None:
    item = Item("item_1", "assistant", text="", spoken=False)
    client.tell(ev.ReplyCreated("resp_1"))
    added = client.tell(ev.ReplyItemAdded("resp_1", item, None))
    assert added[-1]["part"] == {"type": "text", "text": ""}
    item.text, item.status = "Hi.", "completed"
    (delta,) = client.tell(ev.Heard("resp_1", "item_1", "Hi.", 0))
    assert delta["type"] == "response.output_text.delta"
    done = client.tell(ev.ReplyDone("resp_1", "completed", item=item))
    assert types(done) == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]


@pytest.mark.parametrize(
    ("status", "reason", "details"),
    [
        ("completed", None, {"type": "completed"}),
        ("cancelled", "turn_detected", {"type": "cancelled", "reason": "turn_detected"}),
        ("cancelled", "client_cancelled", {"type": "cancelled", "reason": "client_cancelled"}),
        ("cancelled", "withdrawn", {"type": "cancelled", "reason": "turn_detected"}),
        ("incomplete", "max_output_tokens", {"type": "incomplete", "reason": "max_output_tokens"}),
    ],
)
def test_response_done_says_how_it_ended(client: Client, status: Any, reason: Any, details: Json) -> None:
    (event,) = client.tell(ev.ReplyDone("resp_1", status, reason, usage=Usage(3, 4), metadata={"a": "b"}))
    response = event["response"]
    assert (response["status"], response["status_details"]) == (status, details)
    assert response["output"] == []
    assert response["metadata"] == {"a": "b"}
    assert response["usage"]["total_tokens"] == 7


def test_a_failed_reply_says_why(client: Client) -> None:
    (event,) = client.tell(ev.ReplyDone("resp_1", "failed", "the model is gone"))
    assert event["response"]["status_details"]["error"]["message"] == "the model is gone"


def test_trouble_is_an_error_for_stock_clients_and_a_line_for_the_page(client: Client) -> None:
    (event,) = client.tell(ev.Trouble("llm", "timeout", "the model is slow"))
    assert (event["type"], event["error"]["code"]) == ("error", "timeout")
    client.update(viva={})
    (event,) = client.tell(ev.Trouble("llm", "timeout", "the model is slow"))
    assert (event["type"], event["stage"], event["message"]) == ("viva.trouble", "llm", "the model is slow")


# ------------------------------------------------------------------ session.update


def test_an_update_is_merged_deeply_and_answered_with_all_settings(client: Client) -> None:
    first = client.update(
        type="realtime",
        instructions="Be brief.",
        output_modalities=["audio"],
        max_output_tokens=200,
        audio={"output": {"voice": "marin", "speed": 1.2}},
    )
    assert first["type"] == "session.updated"
    second = client.update(type="realtime", tracing="auto", audio={"output": {"speed": 0.9}})
    session = second["session"]
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["audio"]["output"]["speed"] == 0.9
    assert session["instructions"] == "Be brief."
    assert session["max_output_tokens"] == 200
    assert "viva" not in session
    assert client.session.call.speed == 0.9


def test_what_the_npm_client_sends_is_taken(client: Client) -> None:
    answer = client.update(
        type="realtime",
        model="gpt-realtime",
        instructions="",
        output_modalities=["audio"],
        audio={
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": None,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash", "speed": 1},
        },
        tool_choice="auto",
        tools=[],
        tracing="auto",
        prompt=None,
    )
    assert answer["type"] == "session.updated"
    assert client.session.call.instructions is None


@pytest.mark.parametrize(
    ("given", "kind", "silence_ms", "patience"),
    [
        (None, "none", 500, 1.0),
        ({"type": "server_vad", "silence_duration_ms": 800}, "fixed", 800, 1.0),
        ({"type": "server_vad"}, "fixed", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "low"}, "patience", 500, 1.5),
        ({"type": "semantic_vad", "eagerness": "medium"}, "patience", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "auto"}, "patience", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "high"}, "patience", 500, 0.6),
        ({"type": "semantic_vad"}, "patience", 500, 1.0),
    ],
)
def test_turn_detection_becomes_patience(
    client: Client, given: Any, kind: str, silence_ms: int, patience: float
) -> None:
    answer = client.update(audio={"input": {"turn_detection": given}})
    call = client.session.call
    assert (call.turn_detection.kind, call.turn_detection.silence_ms) == (kind, silence_ms)
    assert call.patience == patience
    shown = answer["session"]["audio"]["input"]["turn_detection"]
    assert (shown and shown["type"]) == (given and given["type"])


def test_turn_detection_keeps_whether_to_answer_and_whether_to_be_interrupted(client: Client) -> None:
    detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
    client.update(audio={"input": {"turn_detection": detection}})
    turns = client.session.call.turn_detection
    assert (turns.create_response, turns.interrupt_response) == (False, False)


def test_our_own_settings_come_under_viva_and_outweigh_what_is_mapped(client: Client) -> None:
    answer = client.update(
        audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}},
        viva={"mode": "chat", "language": "de", "greet": False, "patience": 2.0, "topic": "coding"},
    )
    call = client.session.call
    assert (call.mode, call.language, call.greet, call.patience, call.topic) == (
        "chat",
        "de",
        False,
        2.0,
        "coding",
    )
    assert answer["session"]["viva"]["mode"] == "chat"
    assert client.wire.viva


def test_viva_null_asks_for_nothing(client: Client) -> None:
    assert client.update(viva=None)["type"] == "session.updated"
    assert not client.wire.viva


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "transcription"}, "session.type"),
        ({"colour": 1}, "session.colour"),
        ({"instructions": 3}, "session.instructions"),
        ({"output_modalities": ["smell"]}, "session.output_modalities"),
        ({"output_modalities": []}, "session.output_modalities"),
        ({"output_modalities": [{}]}, "session.output_modalities"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"max_output_tokens": "many"}, "session.max_output_tokens"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"audio": {"output": {"voice": 3}}}, "session.audio.output.voice"),
        ({"audio": {"sideways": {}}}, "session.audio.sideways"),
        ({"audio": {"input": {"turn_detection": {"type": "x"}}}}, "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "very"}}}},
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}},
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        ({"viva": {"mode": "opera"}}, "session.viva.mode"),
        ({"viva": {"language": "xx"}}, "session.viva.language"),
        ({"viva": {"patience": "much"}}, "session.viva.patience"),
        ({"viva": {"secret": 1}}, "session.viva.secret"),
        ({"viva": []}, "session.viva"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_of_the_update_is_taken(
    client: Client, session: Json, param: str
) -> None:
    before = client.session.call
    error = client.refused("session.update", session={"speed": None} if session is None else session)
    assert error["param"] == param
    assert client.session.call == before
    assert not client.wire.viva
    assert not client.wire.updated


FIELDS = [
    *("type session item id role content text item_id previous_item_id audio_end_ms response".split()),
    *("instructions conversation input output audio turn_detection eagerness metadata".split()),
    *("silence_duration_ms transcription language".split()),
    *("voice speed viva mode persona patience greet output_modalities".split()),
]
VALUES = "message user input_text audio text semantic_vad server_vad chat de auto root".split()
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.floats() | st.sampled_from([*VALUES, ""]),
    lambda deeper: (
        st.lists(deeper, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), deeper, max_size=4)
    ),
    max_leaves=10,
)


@hypothesis.settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.sampled_from(FIELDS[1:]), anything, max_size=4))
def test_nothing_that_a_client_sends_is_more_than_its_own_error(command: str, fields: Json) -> None:
    async def send() -> list[Json]:
        return Client().send(command, **fields)

    codes = [event["error"]["code"] for event in virtual.run(send()) if event["type"] == "error"]
    assert "internal_error" not in codes


def test_half_a_character_is_refused_because_nobody_could_be_told_of_it(client: Client) -> None:
    content = [{"type": "input_text", "text": "hello \ud800"}]
    (answer,) = client.send("conversation.item.create", item={"role": "user", "content": content})
    assert answer["error"]["code"] == "invalid_json"
    assert not client.session.items


# ------------------------------------------------------------------ other commands


def test_a_typed_message_becomes_an_item(client: Client) -> None:
    content = [{"type": "input_text", "text": "Hello "}, {"type": "input_text", "text": "there."}]
    item = {"id": "item_mine", "type": "message", "role": "user", "content": content}
    added, done = client.send("conversation.item.create", item=item)
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["item"]["id"] == "item_mine"
    assert added["item"]["content"] == [{"type": "input_text", "text": "Hello there."}]


def typed(text: str, **fields: Any) -> Json:
    content = [{"type": "input_text", "text": text}]
    return {"item": {"type": "message", "role": "user", "content": content}, **fields}


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
        ({"type": "conversation.item.retrieve"}, "invalid_type"),
        ({"type": "conversation.item.delete", "item_id": "item_x"}, None),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": 10}, None),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": -1}, "invalid_type"),
        ({"type": "conversation.item.truncate", "item_id": "item_x", "audio_end_ms": True}, "invalid_type"),
        ({"type": "conversation.item.create"}, "invalid_type"),
        ({"type": "conversation.item.create", "item": {"type": "function_call_output"}}, "invalid_value"),
        ({"type": "conversation.item.create", "item": {"role": "boss", "content": []}}, "invalid_value"),
        ({"type": "conversation.item.create", **typed("   ")}, "empty_text"),
        ({"type": "conversation.item.create", **typed("x" * (MAX_TEXT + 1))}, "string_above_max_length"),
        ({"type": "conversation.item.create", **typed("x", previous_item_id="item_x")}, None),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "response.create", "response": {"conversation": "none"}}, "unsupported_parameter"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_value"),
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
