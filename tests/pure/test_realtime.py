"""The wire: events of a session in the protocol's words and order."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from pipeline import events as ev
from pipeline.items import Item
from pipeline.providers import Transcript, Usage
from pipeline.session import Session
from pipeline.settings import CallSettings
from server.wire.realtime import Realtime
from server.wire.realtime_events import EVENTS
from tests.realtime_client import Client, types
from tests.realtime_events import Json, check_server_event
from tests.session.call import Call, Ears, Mind, Voice, speech

QUESTION = "what is a cache"


@pytest.fixture
def client() -> Client:
    return Client()


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
        "conversation.created",
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
    assert types(events)[:4] == [
        "session.created",
        "conversation.created",
        "session.updated",
        "response.created",
    ]


# ------------------------------------------------------------------ single events


def test_every_event_of_a_session_is_translated_or_goes_over_a_channel_of_its_own() -> None:
    told_otherwise = {ev.Shapes, ev.Spent}  # the mouth's own channel; what things cost, once they are priced
    assert set(EVENTS) | told_otherwise == set(get_args(ev.Event))


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
    client.tell(ev.ReplyCreated("resp_1", CallSettings(text_only=True)))
    added = client.tell(ev.ReplyItemAdded("resp_1", 0, item, None))
    assert added[-1]["part"] == {"type": "text", "text": ""}
    item.text, item.status = "Hi.", "completed"
    (delta,) = client.tell(ev.Heard("resp_1", "item_1", "Hi.", 0))
    assert delta["type"] == "response.output_text.delta"
    done = client.tell(ev.ReplyItemDone("resp_1", 0, item, None))
    done += client.tell(ev.ReplyDone("resp_1", "completed", items=(item,)))
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
        ("incomplete", "content_filter", {"type": "incomplete", "reason": "content_filter"}),
    ],
)
def test_response_done_says_how_it_ended(client: Client, status: Any, reason: Any, details: Json) -> None:
    client.tell(ev.ReplyCreated("resp_1", CallSettings(), {"a": "b"}))
    (event,) = client.tell(ev.ReplyDone("resp_1", status, reason, usage=Usage(3, 4)))
    response = event["response"]
    assert (response["status"], response["status_details"]) == (status, details)
    assert response["output"] == []
    assert response["metadata"] == {"a": "b"}
    assert response["usage"]["total_tokens"] == 7


def test_a_failed_reply_says_why(client: Client) -> None:
    client.tell(ev.ReplyCreated("resp_1", CallSettings()))
    (event,) = client.tell(ev.ReplyDone("resp_1", "failed", "the model is gone"))
    assert event["response"]["status_details"]["error"]["message"] == "the model is gone"


def test_trouble_is_an_error_for_stock_clients_and_a_line_for_the_page(client: Client) -> None:
    (event,) = client.tell(ev.Trouble("llm", "timeout", "the model is slow"))
    assert (event["type"], event["error"]["code"]) == ("error", "timeout")
    client.update(viva={})
    (event,) = client.tell(ev.Trouble("llm", "timeout", "the model is slow"))
    assert (event["type"], event["stage"], event["message"]) == ("viva.trouble", "llm", "the model is slow")


def test_a_change_of_providers_is_told_to_the_page_and_to_no_stock_client(client: Client) -> None:
    change = ev.FellOver("tts", "elevenlabs", "espeak", "unreachable", "no connection to ElevenLabs")
    assert client.tell(change) == []
    client.update(viva={})
    (event,) = client.tell(change)
    told = {key: event[key] for key in ("type", "stage", "from", "to", "why")}
    assert told == {
        "type": "viva.provider",
        "stage": "tts",
        "from": "elevenlabs",
        "to": "espeak",
        "why": "no connection to ElevenLabs",
    }
