"""The check that every server event of every test goes through can fail."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from pipeline import events as ev
from server.wire.realtime_events import Teller
from tests.realtime_events import check_server_event

ITEM = {
    "id": "item_1",
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_audio", "transcript": None}],
}
ADDED = {
    "type": "conversation.item.added",
    "event_id": "event_1",
    "item": ITEM,
    "previous_item_id": None,
}
STARTED = {
    "type": "input_audio_buffer.speech_started",
    "event_id": "event_1",
    "item_id": "item_1",
    "audio_start_ms": 320,
}
WORD = {
    "type": "viva.word",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "start": 0,
    "text": "Hello ",
}


@pytest.mark.parametrize("event", [ADDED, STARTED, WORD])
def test_good_event_passes(event: dict[str, Any]) -> None:
    check_server_event(event)


@pytest.mark.parametrize(
    "event",
    [
        {**STARTED, "mood": "good"},
        {**STARTED, "audio_start_ms": "320"},
        {**STARTED, "audio_start_ms": None},
        {**STARTED, "type": "input_audio_buffer.speech_begun"},
        {name: value for name, value in STARTED.items() if name != "item_id"},
        {name: value for name, value in ADDED.items() if name != "previous_item_id"},
        {**ADDED, "item": {**ITEM, "mood": "good"}},
        {**ADDED, "item": {**ITEM, "status": None}},
        {**ADDED, "item": {name: value for name, value in ITEM.items() if name != "object"}},
        {**ADDED, "item": {**ITEM, "content": [{"type": "input_audio"}]}},
        {**ADDED, "item": {**ITEM, "content": [{"type": "input_audio", "transcript": None, "mood": 1}]}},
        {**WORD, "mood": "good"},
        {**WORD, "start": 0.5},
        {name: value for name, value in WORD.items() if name != "text"},
    ],
)
def test_event_with_a_field_too_many_too_few_or_of_another_kind_does_not(event: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, pydantic.ValidationError, KeyError)):
        check_server_event(event)


def test_words_that_will_not_come_are_told_in_a_shape_that_all_clients_read() -> None:
    told: list[dict[str, Any]] = []
    Teller(told.append).tell(ev.TranscriptionFailed("item_1", "the recogniser is gone"))
    (event,) = told
    check_server_event(event)
    assert event["error"]["message"] == "the recogniser is gone"
