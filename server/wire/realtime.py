"""The events of a session, and the commands of a client, in the words of OpenAI Realtime (GA).

A pure translator: dicts in, dicts out, no channel and no network. One is made for each connection.
https://platform.openai.com/docs/api-reference/realtime-server-events

What the protocol lacks goes out as `viva.*`, and only to a client that sent `session.viva` (an object, also
an empty one) in `session.update`:

    viva.floor         phase, patience_ms, spent_ms, why, audible, ducked
    viva.partial       item_id, sure, tail        two strings: what will not change, and what may
    viva.phrase        response_id, item_id, text           a phrase begins to be heard
    viva.word          response_id, item_id, start, text    the next word of it, at `start` of the phrase
    viva.turn_metrics  item_id, response_id, and the figures of the turn
    viva.trouble       stage, code, message       (others get `error`)
    viva.costs         currency, money, wasted, not_priced, used          what it has cost so far
    viva.ending        in_s, why                  its time or its budget is nearly over, or the server stops
    viva.ended         why
    viva.resumed       unheard {item_id, text}    first of all on a new line of the same conversation

and such a client may send `viva.think` ("let me think") and `viva.repeat`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pipeline import events as ev
from pipeline.absence import Missed
from pipeline.errors import CallError
from pipeline.items import Item
from pipeline.session import Request, Session
from server.access.grant import OPEN, Grant, hidden
from server.wire.realtime_events import Teller
from server.wire.realtime_items import item_in, item_out, recording_in
from server.wire.realtime_session import place_of, response_patch, session_out, settings_patch
from server.wire.realtime_shapes import (
    GivenItem,
    ItemCreate,
    ItemTruncate,
    Json,
    OfItem,
    Plain,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    parsed,
)
from server.wire.sound_formats import SoundFormats

log = logging.getLogger(__name__)


def by_the_track(event: Json) -> None:
    raise CallError("invalid_event", "over WebRTC sound comes by the audio track", "type")


class Realtime:
    """One client's view of a session.

    Args:
        session: what the client's commands act on.
        send: takes each event for the wire, in order.
        grant: what of the session is fixed, and is not for this client to see.
        append: takes `input_audio_buffer.append`; raises CallError.
        resume: what a client of ours takes the conversation up again with.
    """

    def __init__(
        self,
        session: Session,
        send: Callable[[Json], None],
        grant: Grant = OPEN,
        *,
        append: Callable[[Json], None] = by_the_track,
        resume: Callable[[], Json | None] = lambda: None,
    ) -> None:
        self.updated = False  # the client has sent its settings
        self._session = session
        self._out = Teller(send)
        self._grant = grant
        self._append = append
        self._resume = resume

    @property
    def viva(self) -> bool:
        """The client asked for our own events."""
        return self._out.viva

    @property
    def formats(self) -> SoundFormats:
        """Of the sound that goes in events."""
        return self._out.formats

    def tell(self, event: ev.Event) -> None:
        """One event of the session."""
        self._out.tell(event)

    # ------------------------------------------------------------ session

    def opened(self) -> None:
        """The client can hear us now."""
        self._out.emit("session.created", session=self._settings())
        conversation = {"id": self._out.conversation_id, "object": "realtime.conversation"}
        self._out.emit("conversation.created", conversation=conversation)

    def resumed(self, missed: Missed | None) -> None:
        """Behind `opened`, on a new line of the same conversation: what has been said so far."""
        unheard = {"item_id": missed.item_id, "text": missed.text} if missed else None
        self._out.own("resumed", unheard=unheard)
        before = None
        for item in self._session.items:
            if item.role != "system" or not self._grant.locked:
                for step in ("added", "done"):
                    self._out.emit(f"conversation.item.{step}", item=item_out(item), previous_item_id=before)
                before = item.id

    def ending(self, in_s: float | None, why: str) -> None:
        """The call is to end: "time_over", "budget_spent" (nobody knows when), or "server_stops"."""
        self._out.own("ending", in_s=in_s, why=why)

    def costs(self, figures: Json) -> None:
        """What the call has cost so far: `server.costs.Costs.figures`."""
        self._out.own("costs", **figures)

    def configure(self, session: Any) -> None:
        """Takes the session object of a client (`session.update`, or with the offer). Raises CallError."""
        self.bake(self._grant.unlocked(session) if isinstance(session, dict) else session)

    def bake(self, session: Any) -> None:
        """Takes a session object, whatever is fixed: a client secret's own. Raises CallError."""
        patch, formats = settings_patch(session), self.formats.merged(session)
        asked = session.get("viva") is not None
        try:
            self._session.update(patch)
        except CallError as error:
            place = f"session.{place_of(error.param or '')}"
            raise CallError(error.code, str(error).removeprefix(f"{error.param}: "), place) from None
        self._out.viva, self._out.formats = self.viva or asked, formats

    def _settings(self) -> Json:
        session = session_out(self._session.id, self._session.call, self.formats, viva=self.viva)
        if self.viva and (resume := self._resume()) is not None:
            session["viva"]["resume"] = resume
        return hidden(session) if self._grant.locked else session

    # ------------------------------------------------------------ commands

    def handle(self, text: str | bytes) -> None:
        """One message of the client. What is wrong with it is answered with an `error`; never raises."""
        event_id: str | None = None
        try:
            event = json.loads(text)
            if "\\u" in str(text):
                json.dumps(event, ensure_ascii=False).encode()  # half a surrogate pair is a ValueError here
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise CallError("invalid_event", "an event is a JSON object with a type", "type")
            given = event.get("event_id")
            event_id = given[:512] if isinstance(given, str) else None
            command = COMMANDS.get(event["type"])
            if command is None:
                raise CallError("unknown_event", f"there is no event {event['type'][:80]!r}", "type")
            self._grant.check_event(event)
            shape, carry_out = command
            carry_out(self, event if shape is None else parsed(shape, event))
        except CallError as error:
            self._out.error(
                "invalid_request_error", error.code, str(error), param=error.param, cause=event_id
            )
        except (ValueError, RecursionError):
            self._out.error("invalid_request_error", "invalid_json", "the message is not JSON")
        except Exception:
            log.exception("a client's command failed")
            self._out.error("server_error", "internal_error", "the command failed here", cause=event_id)

    def _session_update(self, event: SessionUpdate) -> None:
        self.configure(event.session)
        self._out.emit("session.updated", session=self._settings())
        self.updated = True
        self._session.greet()  # only now: earlier items are lost by clients

    def _item_create(self, event: ItemCreate) -> None:
        behind = event.previous_item_id
        if behind is None and "previous_item_id" in event.model_fields_set:
            behind = "root"
        sound = recording_in(event.item, self.formats.input, "item")
        if sound is not None:
            self._session.add_recording(sound, event.item.id, behind)
        else:
            self._session.add(item_in(event.item, "item"), behind)

    def _item_retrieve(self, event: OfItem) -> None:
        found = self._session.retrieve(event.item_id)
        if found.role == "system" and self._grant.locked:
            raise CallError("locked_session", "that item is not for the client to see", "item_id")
        item = item_out(found)
        for part in item.get("content", ()):
            if part.get("transcript") == "" and item["status"] == "incomplete":
                part["transcript"] = "…"  # a client that gets an empty text keeps the one it had
        self._out.emit("conversation.item.retrieved", item=item)

    def _item_truncate(self, event: ItemTruncate) -> None:
        self._session.truncate(event.item_id, event.audio_end_ms)

    def _item_delete(self, event: OfItem) -> None:
        self._session.delete(event.item_id)

    def _response_create(self, event: ResponseCreate) -> None:
        given = event.response
        if given is None:
            self._session.reply()
            return
        items = (
            None
            if given.input is None
            else tuple(
                self._input(item, f"response.input[{index}]") for index, item in enumerate(given.input)
            )
        )
        request = Request(response_patch(given), given.metadata, items, given.conversation != "none")
        self._session.reply(request)

    def _input(self, given: GivenItem, place: str) -> Item:
        if given.type != "item_reference" and recording_in(given, self.formats.input, place) is None:
            return item_in(given, place)
        if given.type != "item_reference":
            message = "sound is added with conversation.item.create, and then referred to by its id"
            raise CallError("unsupported_parameter", message, place)
        if given.id is None:
            place += ".id"
            raise CallError("missing_required_parameter", f"Missing required parameter: '{place}'.", place)
        return self._session.retrieve(given.id)

    def _response_cancel(self, event: ResponseCancel) -> None:
        self._session.cancel(event.response_id)

    def _input_append(self, event: Json) -> None:
        self._append(event)

    def _think(self, event: Plain) -> None:
        self._session.think()

    def _repeat(self, event: Plain) -> None:
        self._session.repeat()

    def _input_commit(self, event: Plain) -> None:
        self._session.commit()

    def _input_clear(self, event: Plain) -> None:
        self._session.clear_input()

    def _output_clear(self, event: Plain) -> None:
        self._session.clear_output()


# type of the event -> its shape (None: it is looked at where it goes), and what carries it out
COMMANDS: Mapping[str, tuple[type[Plain] | None, Callable[[Realtime, Any], None]]] = {
    "session.update": (SessionUpdate, Realtime._session_update),
    "input_audio_buffer.append": (None, Realtime._input_append),
    "input_audio_buffer.commit": (Plain, Realtime._input_commit),
    "input_audio_buffer.clear": (Plain, Realtime._input_clear),
    "conversation.item.create": (ItemCreate, Realtime._item_create),
    "conversation.item.retrieve": (OfItem, Realtime._item_retrieve),
    "conversation.item.truncate": (ItemTruncate, Realtime._item_truncate),
    "conversation.item.delete": (OfItem, Realtime._item_delete),
    "response.create": (ResponseCreate, Realtime._response_create),
    "response.cancel": (ResponseCancel, Realtime._response_cancel),
    "output_audio_buffer.clear": (Plain, Realtime._output_clear),
    "viva.think": (Plain, Realtime._think),
    "viva.repeat": (Plain, Realtime._repeat),
}
