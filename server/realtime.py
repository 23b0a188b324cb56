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
    viva.ended         why

and such a client may send `viva.think` ("let me think") and `viva.repeat`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pipeline import events as ev
from pipeline.errors import CallError
from pipeline.items import Item, new_id
from pipeline.session import Session
from server.grant import OPEN, Grant, hidden
from server.realtime_items import (
    ON_THE_WIRE,
    Json,
    empty_item_out,
    item_out,
    part_out,
    response_done_out,
    response_out,
    session_out,
    settings_patch,
    text_of,
)

log = logging.getLogger(__name__)

MAX_TEXT = 32_000  # characters of a typed message, and of anything else a client may make us keep


class Realtime:
    """One client's view of a session.

    Args:
        session: what the client's commands act on.
        send: takes each event for the wire, in order.
        grant: what of the session is fixed, and is not for this client to see.
    """

    def __init__(self, session: Session, send: Callable[[Json], None], grant: Grant = OPEN) -> None:
        self.viva = False  # the client asked for our own events
        self.updated = False  # the client has sent its settings
        self._session = session
        self._send = send
        self._grant = grant
        self._conversation_id = new_id("conv")
        self._open: dict[str, Item] = {}  # replies whose content part was added, by response id

    # ------------------------------------------------------------ session

    def opened(self) -> None:
        """The client can hear us now."""
        self._emit("session.created", session=self._settings())

    def configure(self, session: Any) -> None:
        """Takes the session object of a client (`session.update`, or with the offer). Raises CallError."""
        self.bake(self._grant.unlocked(session) if isinstance(session, dict) else session)

    def bake(self, session: Any) -> None:
        """Takes a session object, whatever is fixed: a client secret's own. Raises CallError."""
        patch = settings_patch(session)
        asked = session.get("viva") is not None
        try:
            self._session.update(patch)
        except CallError as error:
            param = error.param or ""
            first, _, rest = param.partition(".")
            place = ON_THE_WIRE.get(first, f"session.{first}") + (f".{rest}" if rest else "")
            place = ON_THE_WIRE.get(param, place)
            raise CallError(error.code, str(error).removeprefix(f"{error.param}: "), place) from None
        self.viva = self.viva or asked

    def _settings(self) -> Json:
        session = session_out(self._session.id, self._session.call, viva=self.viva)
        return hidden(session) if self._grant.locked else session

    def _emit(self, type: str, **fields: Any) -> None:
        self._send({"type": type, "event_id": new_id("event"), **fields})

    def _own(self, type: str, **fields: Any) -> None:
        if self.viva:
            self._emit(f"viva.{type}", **fields)

    def _error(
        self, kind: str, code: str, message: str, *, param: str | None = None, cause: str | None = None
    ) -> None:
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": cause}
        self._emit("error", error=error)

    # ------------------------------------------------------------ commands

    def handle(self, text: str | bytes) -> None:
        """One message of the client. What is wrong with it is answered with an `error`; never raises."""
        event_id: str | None = None
        try:
            event = json.loads(text)
            json.dumps(event, ensure_ascii=False).encode()  # half a surrogate pair is a ValueError here
            if not isinstance(event, dict) or not isinstance(event.get("type"), str):
                raise CallError("invalid_event", "an event is a JSON object with a type", "type")
            given = event.get("event_id")
            event_id = given[:512] if isinstance(given, str) else None
            command = COMMANDS.get(event["type"])
            if command is None:
                raise CallError("unknown_event", f"there is no event {event['type'][:80]!r}", "type")
            self._grant.check_event(event)
            command(self, event)
        except CallError as error:
            self._error("invalid_request_error", error.code, str(error), param=error.param, cause=event_id)
        except (ValueError, RecursionError):
            self._error("invalid_request_error", "invalid_json", "the message is not JSON")
        except Exception:
            log.exception("a client's command failed")
            self._error("server_error", "internal_error", "the command failed here", cause=event_id)

    def _session_update(self, event: Json) -> None:
        self.configure(event.get("session"))
        self._emit("session.updated", session=self._settings())
        self.updated = True
        self._session.greet()  # only now: earlier items are lost by clients

    def _item_create(self, event: Json) -> None:
        item = event.get("item")
        if not isinstance(item, dict):
            raise CallError("invalid_type", "item is to be an object", "item")
        role, text = text_of(item)
        if len(text) > MAX_TEXT:
            raise CallError("string_above_max_length", f"{MAX_TEXT} characters at most", "item.content")
        behind = event.get("previous_item_id")
        if "previous_item_id" in event and behind is None:
            behind = "root"
        item_id = _string(item, "id", "item.id", default=None)
        self._session.say(text, item_id, behind, role=role)  # type: ignore[arg-type]  # text_of looked

    def _item_retrieve(self, event: Json) -> None:
        found = self._session.retrieve(_string(event, "item_id"))
        if found.role == "system" and self._grant.locked:
            raise CallError("locked_session", "that item is not for the client to see", "item_id")
        item = item_out(found)
        for part in item["content"]:
            if part.get("transcript") == "" and item["status"] == "incomplete":
                part["transcript"] = "…"  # a client that gets an empty text keeps the one it had
        self._emit("conversation.item.retrieved", item=item)

    def _item_truncate(self, event: Json) -> None:
        end_ms = event.get("audio_end_ms")
        if not isinstance(end_ms, int) or isinstance(end_ms, bool) or end_ms < 0:
            raise CallError("invalid_type", "audio_end_ms is a whole number from 0", "audio_end_ms")
        self._session.truncate(_string(event, "item_id"), end_ms)

    def _item_delete(self, event: Json) -> None:
        self._session.delete(_string(event, "item_id"))

    def _response_create(self, event: Json) -> None:
        given = event.get("response") or {}
        if not isinstance(given, dict):
            raise CallError("invalid_type", "response is to be an object", "response")
        if given.get("conversation", "auto") == "none" or given.get("input") is not None:
            raise CallError(
                "unsupported_parameter", "a reply belongs to the conversation here", "response.conversation"
            )
        metadata = given.get("metadata")
        if metadata is not None and not _is_metadata(metadata):
            raise CallError("invalid_value", "at most 16 pairs of short strings", "response.metadata")
        self._session.reply(metadata, _string(given, "instructions", "response.instructions", default=None))

    def _response_cancel(self, event: Json) -> None:
        self._session.cancel(_string(event, "response_id", default=None))

    def _append(self, event: Json) -> None:
        raise CallError("invalid_event", "over WebRTC sound comes by the audio track", "type")

    def _think(self, event: Json) -> None:
        self._session.think()

    def _repeat(self, event: Json) -> None:
        self._session.repeat()

    def _input_commit(self, event: Json) -> None:
        self._session.commit()

    def _input_clear(self, event: Json) -> None:
        self._session.clear_input()

    def _output_clear(self, event: Json) -> None:
        self._session.clear_output()

    # ------------------------------------------------------------ events

    def tell(self, event: ev.Event) -> None:
        """One event of the session, as the one or several of the protocol that say the same."""
        translate = EVENTS.get(type(event))
        if translate is not None:
            translate(self, event)

    def _floor(self, event: ev.FloorChanged) -> None:
        self._own(
            "floor",
            phase=event.phase,
            patience_ms=event.patience_ms,
            spent_ms=event.spent_ms,
            why=event.why,
            audible=event.audible,
            ducked=event.ducked,
        )

    def _speech_started(self, event: ev.SpeechStarted) -> None:
        self._emit("input_audio_buffer.speech_started", audio_start_ms=event.at_ms, item_id=event.item_id)

    def _speech_stopped(self, event: ev.SpeechStopped) -> None:
        self._emit("input_audio_buffer.speech_stopped", audio_end_ms=event.at_ms, item_id=event.item_id)

    def _committed(self, event: ev.Committed) -> None:
        self._emit("input_audio_buffer.committed", item_id=event.item_id, previous_item_id=event.previous_id)

    def _input_cleared(self, event: ev.InputCleared) -> None:
        self._emit("input_audio_buffer.cleared")

    def _item_added(self, event: ev.ItemAdded) -> None:
        self._emit("conversation.item.added", item=item_out(event.item), previous_item_id=event.previous_id)

    def _item_done(self, event: ev.ItemDone) -> None:
        self._emit("conversation.item.done", item=item_out(event.item), previous_item_id=event.previous_id)

    def _item_deleted(self, event: ev.ItemDeleted) -> None:
        self._emit("conversation.item.deleted", item_id=event.item_id)

    def _item_truncated(self, event: ev.ItemTruncated) -> None:
        self._emit(
            "conversation.item.truncated",
            item_id=event.item_id,
            content_index=0,
            audio_end_ms=event.audio_end_ms,
        )

    def _partial(self, event: ev.Partial) -> None:
        said, sure = event.transcript.text, event.transcript.sure
        self._own("partial", item_id=event.item_id, sure=said[:sure], tail=said[sure:])

    def _transcribed(self, event: ev.Transcribed) -> None:
        self._emit(
            "conversation.item.input_audio_transcription.completed",
            item_id=event.item_id,
            content_index=0,
            transcript=event.text,
            usage={"type": "duration", "seconds": event.seconds},
        )

    def _transcription_failed(self, event: ev.TranscriptionFailed) -> None:
        error = {
            "type": "server_error",
            "code": "transcription_failed",
            "message": event.message,
            "param": None,
        }
        self._emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=event.item_id,
            content_index=0,
            error=error,
        )

    def _reply_created(self, event: ev.ReplyCreated) -> None:
        response = response_out(event.response_id, self._conversation_id, self._session.call, event.metadata)
        self._emit("response.created", response=response)

    def _reply_item_added(self, event: ev.ReplyItemAdded) -> None:
        self._open[event.response_id] = event.item
        item = empty_item_out(event.item)
        self._emit("response.output_item.added", response_id=event.response_id, output_index=0, item=item)
        self._emit("conversation.item.added", item=item, previous_item_id=event.previous_id)
        part = part_out(event.item, begun=True)
        self._emit("response.content_part.added", **_part_of(event.response_id, event.item), part=part)

    def _phrase(self, event: ev.PhraseStarted) -> None:
        self._own("phrase", response_id=event.response_id, item_id=event.item_id, text=event.text)

    def _heard(self, event: ev.Heard) -> None:
        item = self._open.get(event.response_id)
        if item is not None:
            delta = "output_audio_transcript" if item.spoken else "output_text"
            self._emit(f"response.{delta}.delta", **_part_of(event.response_id, item), delta=event.text)
        self._own(
            "word",
            response_id=event.response_id,
            item_id=event.item_id,
            start=event.phrase_start,
            text=event.text,
        )

    def _audio_started(self, event: ev.AudioStarted) -> None:
        self._emit("output_audio_buffer.started", response_id=event.response_id)

    def _audio_stopped(self, event: ev.AudioStopped) -> None:
        self._emit("output_audio_buffer.stopped", response_id=event.response_id)

    def _audio_cleared(self, event: ev.AudioCleared) -> None:
        self._emit("output_audio_buffer.cleared", response_id=event.response_id)

    def _reply_done(self, event: ev.ReplyDone) -> None:
        opened = self._open.pop(event.response_id, None)
        item = event.item or opened
        if opened is not None and item is not None:
            place = _part_of(event.response_id, item)
            if item.spoken:
                self._emit("response.output_audio.done", **place)
                self._emit("response.output_audio_transcript.done", **place, transcript=item.text or "")
            else:
                self._emit("response.output_text.done", **place, text=item.text or "")
            self._emit("response.content_part.done", **place, part=part_out(item))
            out = item_out(item)
            self._emit("response.output_item.done", response_id=event.response_id, output_index=0, item=out)
            self._emit("conversation.item.done", item=out, previous_item_id=event.previous_id)
        response = response_done_out(event, self._conversation_id, self._session.call)
        self._emit("response.done", response=response)

    def _turn_measured(self, event: ev.TurnMeasured) -> None:
        figures = {**event.figures, "item_id": event.item_id, "response_id": event.response_id}
        self._own("turn_metrics", **figures)

    def _trouble(self, event: ev.Trouble) -> None:
        if self.viva:
            self._own("trouble", stage=event.stage, code=event.code, message=event.message)
        else:
            self._error("server_error", event.code, event.message)

    def _ended(self, event: ev.Ended) -> None:
        self._own("ended", why=event.why)


COMMANDS: Mapping[str, Callable[[Realtime, Json], None]] = {
    "session.update": Realtime._session_update,
    "input_audio_buffer.append": Realtime._append,
    "input_audio_buffer.commit": Realtime._input_commit,
    "input_audio_buffer.clear": Realtime._input_clear,
    "conversation.item.create": Realtime._item_create,
    "conversation.item.retrieve": Realtime._item_retrieve,
    "conversation.item.truncate": Realtime._item_truncate,
    "conversation.item.delete": Realtime._item_delete,
    "response.create": Realtime._response_create,
    "response.cancel": Realtime._response_cancel,
    "output_audio_buffer.clear": Realtime._output_clear,
    "viva.think": Realtime._think,
    "viva.repeat": Realtime._repeat,
}

EVENTS: Mapping[type, Callable[[Realtime, Any], None]] = {
    ev.FloorChanged: Realtime._floor,
    ev.SpeechStarted: Realtime._speech_started,
    ev.SpeechStopped: Realtime._speech_stopped,
    ev.Committed: Realtime._committed,
    ev.InputCleared: Realtime._input_cleared,
    ev.ItemAdded: Realtime._item_added,
    ev.ItemDone: Realtime._item_done,
    ev.ItemDeleted: Realtime._item_deleted,
    ev.ItemTruncated: Realtime._item_truncated,
    ev.Partial: Realtime._partial,
    ev.Transcribed: Realtime._transcribed,
    ev.TranscriptionFailed: Realtime._transcription_failed,
    ev.ReplyCreated: Realtime._reply_created,
    ev.ReplyItemAdded: Realtime._reply_item_added,
    ev.PhraseStarted: Realtime._phrase,
    ev.Heard: Realtime._heard,
    ev.AudioStarted: Realtime._audio_started,
    ev.AudioStopped: Realtime._audio_stopped,
    ev.AudioCleared: Realtime._audio_cleared,
    ev.ReplyDone: Realtime._reply_done,
    ev.TurnMeasured: Realtime._turn_measured,
    ev.Trouble: Realtime._trouble,
    ev.Ended: Realtime._ended,
    # ev.Shapes goes over a channel of its own, see server.peer
}


def _part_of(response_id: str, item: Item) -> Json:
    return {"response_id": response_id, "item_id": item.id, "output_index": 0, "content_index": 0}


def _is_metadata(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= 16
        and all(len(key) <= 64 and isinstance(text, str) and len(text) <= 512 for key, text in value.items())
    )


_REQUIRED: Any = object()


def _string(event: Json, key: str, place: str | None = None, *, default: Any = _REQUIRED) -> Any:
    value = event.get(key)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise CallError("invalid_type", f"{place or key} is to be a string", place or key)
    return value
