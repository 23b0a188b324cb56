"""A client on the wire of a call on virtual time: every event checked, and their order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pipeline import events as ev
from pipeline.session import Session
from server.wire.realtime import Realtime
from tests.realtime_events import check_server_event
from tests.session.call import Call
from tests.wire_order import Json, WireOrder


class Client:
    """Takes everything down that goes over the wire, and checks it."""

    def __init__(self, *, viva: bool = True, note: Callable[[ev.Event], None] = lambda event: None) -> None:
        self.events: list[Json] = []
        self._note = note  # hears what the wire is told
        self._viva = viva
        self.order = WireOrder()
        self.failures: list[Any] = []
        self._reactions: list[tuple[str, Callable[[Json], list[Json]]]] = []
        self.wire: Realtime | None = None

    def connect(self, session: Session) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.failures.append(context))
        self.wire = Realtime(session, self._take)
        self.wire.opened()
        session.attach(self._tell)
        self.send(session, {"type": "session.update", "session": {"viva": {}} if self._viva else {}})

    def _tell(self, event: ev.Event) -> None:
        assert self.wire is not None
        self._note(event)
        try:
            self.wire.tell(event)
        except Exception as error:  # told at the end, because a session survives what its listener does
            self.failures.append(error)

    def _take(self, event: Json) -> None:
        check_server_event(event)
        self.order.take(event)
        self.events.append(event)
        for kind, react in self._reactions:
            if kind == event["type"]:
                asyncio.get_running_loop().call_soon(self._react, react, event)

    def _react(self, react: Callable[[Json], list[Json]], event: Json) -> None:
        assert self.wire is not None
        for command in react(event):
            self.wire.handle(json.dumps(command))

    def send(self, session: Session, command: Json) -> None:
        assert self.wire is not None
        self.wire.handle(json.dumps(_with_ids(command, session)))

    def when(self, kind: str, react: Callable[[Json], list[Json]]) -> None:
        """Sends what `react` makes of each event of that type."""
        self._reactions.append((kind, react))

    def of(self, kind: str) -> list[Json]:
        return [event for event in self.events if event["type"] == kind]

    def one(self, kind: str) -> Json:
        (event,) = self.of(kind)
        return event

    @property
    def errors(self) -> list[Json]:
        return [event["error"] for event in self.of("error")]

    def check(self) -> None:
        assert not self.failures
        errors = [event["error"] for event in self.events if event["type"] == "error"]
        assert "internal_error" not in {error["code"] for error in errors}, errors
        self.order.close()


def _with_ids(command: Json, session: Session) -> Json:
    """ "LAST" in a command is the id of the newest item, "FIRST" of the oldest."""
    names = {"LAST": -1, "FIRST": 0}
    return {
        key: (session.items[names[value]].id if session.items else "item_none")
        if isinstance(value, str) and value in names
        else value
        for key, value in command.items()
    }


class Wired(Call):
    """A call whose client has the wire: `wire.events` is all that it was sent."""

    def __init__(self, *parts: Any, viva: bool = False, **call: Any) -> None:
        super().__init__(*parts, **call)
        self.wire = Client(viva=viva, note=self.note)
        self.actions.append((0, self.wire.connect))

    def send(self, at_ms: int, type: str, **fields: Any) -> Wired:
        """The client sends that event at that moment."""
        self.at(at_ms, lambda session: self.wire.send(session, {"type": type, **fields}))
        return self

    def run(self, length_ms: int) -> Wired:
        super().run(length_ms)
        self.wire.check()
        return self
