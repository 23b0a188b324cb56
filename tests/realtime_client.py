"""The other end of the wire, without a wire: what a client sends, and what it is told, checked."""

from __future__ import annotations

import json
from typing import Any

from pipeline import events as ev
from pipeline.session import Parts, Session
from pipeline.settings import CallSettings, Settings
from server.wire.realtime import Realtime
from tests.realtime_events import Json, check_server_event
from tests.session.call import Ears, Mind, Voice, silero


class Client:
    """Its session does not run: what it is told, it is told at once."""

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


def types(events: list[Json]) -> list[str]:
    return [event["type"] for event in events]


def typed(text: str, **fields: Any) -> Json:
    """A message of the user's, as `conversation.item.create` has it."""
    content = [{"type": "input_text", "text": text}]
    return {"item": {"type": "message", "role": "user", "content": content}, **fields}
