"""The events of a session in the words of OpenAI Realtime (GA): one of ours is one or several of theirs.

https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline import events as ev
from pipeline.items import Item, new_id
from server.wire.realtime_items import item_out, new_item_out, part_out, response_done_out, response_out
from server.wire.realtime_shapes import Json
from server.wire.sound_formats import SoundFormats


class Teller:
    """Tells one client what happens. `send` takes each event for the wire, in order."""

    def __init__(self, send: Callable[[Json], None]) -> None:
        self.viva = False  # the client asked for our own events
        self.formats = SoundFormats()
        self.conversation_id = new_id("conv")
        self._send = send
        self._replies: dict[str, ev.ReplyCreated] = {}  # that have begun and are not done, by id
        self._parts: dict[str, Json] = {}  # where a reply's words go, by response id

    def emit(self, type: str, **fields: Any) -> None:
        self._send({"type": type, "event_id": new_id("event"), **fields})

    def own(self, type: str, **fields: Any) -> None:
        if self.viva:
            self.emit(f"viva.{type}", **fields)

    def error(
        self, kind: str, code: str, message: str, *, param: str | None = None, cause: str | None = None
    ) -> None:
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": cause}
        self.emit("error", error=error)

    def tell(self, event: ev.Event) -> None:
        """One event of the session, as the one or several of the protocol that say the same."""
        translate = EVENTS.get(type(event))
        if translate is not None:
            translate(self, event)

    def _floor(self, event: ev.FloorChanged) -> None:
        self.own(
            "floor",
            phase=event.phase,
            patience_ms=event.patience_ms,
            spent_ms=event.spent_ms,
            why=event.why,
            audible=event.audible,
            ducked=event.ducked,
        )

    def _speech_started(self, event: ev.SpeechStarted) -> None:
        self.emit("input_audio_buffer.speech_started", audio_start_ms=event.at_ms, item_id=event.item_id)

    def _speech_stopped(self, event: ev.SpeechStopped) -> None:
        self.emit("input_audio_buffer.speech_stopped", audio_end_ms=event.at_ms, item_id=event.item_id)

    def _timed_out(self, event: ev.TimedOut) -> None:
        self.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=event.from_ms,
            audio_end_ms=event.to_ms,
            item_id=event.item_id,
        )

    def _committed(self, event: ev.Committed) -> None:
        self.emit("input_audio_buffer.committed", item_id=event.item_id, previous_item_id=event.previous_id)

    def _input_cleared(self, event: ev.InputCleared) -> None:
        self.emit("input_audio_buffer.cleared")

    def _item_added(self, event: ev.ItemAdded) -> None:
        self.emit("conversation.item.added", item=item_out(event.item), previous_item_id=event.previous_id)

    def _item_done(self, event: ev.ItemDone) -> None:
        self.emit("conversation.item.done", item=item_out(event.item), previous_item_id=event.previous_id)

    def _item_deleted(self, event: ev.ItemDeleted) -> None:
        self.emit("conversation.item.deleted", item_id=event.item_id)

    def _item_truncated(self, event: ev.ItemTruncated) -> None:
        self.emit(
            "conversation.item.truncated",
            item_id=event.item_id,
            content_index=0,
            audio_end_ms=event.audio_end_ms,
        )

    def _partial(self, event: ev.Partial) -> None:
        said, sure = event.transcript.text, event.transcript.sure
        self.own("partial", item_id=event.item_id, sure=said[:sure], tail=said[sure:])

    def _transcribed(self, event: ev.Transcribed) -> None:
        self.emit(
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
        }
        self.emit(
            "conversation.item.input_audio_transcription.failed",
            item_id=event.item_id,
            content_index=0,
            error=error,
        )

    def _reply_created(self, event: ev.ReplyCreated) -> None:
        self._replies[event.response_id] = event
        self.emit("response.created", response=response_out(event, self.conversation_id, self.formats))

    def _reply_item_added(self, event: ev.ReplyItemAdded) -> None:
        begun = self._replies.get(event.response_id)
        if begun is None:
            return  # to a client that came in the middle of it
        item = new_item_out(event.item)
        place = {"response_id": event.response_id, "output_index": event.index}
        self.emit("response.output_item.added", **place, item=item)
        if begun.in_conversation:
            self.emit("conversation.item.added", item=item, previous_item_id=event.previous_id)
        if event.item.kind == "message":
            self._parts[event.response_id] = {**place, "item_id": event.item.id, "content_index": 0}
            part = part_out(event.item, begun=True)
            self.emit("response.content_part.added", **self._parts[event.response_id], part=part)

    def _call_arguments(self, event: ev.CallArguments) -> None:
        if event.response_id in self._replies:
            place = _call_place(event)
            self.emit("response.function_call_arguments.delta", **place, delta=event.text)

    def _phrase(self, event: ev.PhraseStarted) -> None:
        self.own("phrase", response_id=event.response_id, item_id=event.item_id, text=event.text)

    def _heard(self, event: ev.Heard) -> None:
        place, begun = self._parts.get(event.response_id), self._replies.get(event.response_id)
        if place is not None and begun is not None:
            delta = "output_text" if begun.call.text_only else "output_audio_transcript"
            self.emit(f"response.{delta}.delta", **place, delta=event.text)
        self.own(
            "word",
            response_id=event.response_id,
            item_id=event.item_id,
            start=event.phrase_start,
            text=event.text,
        )

    def _audio_started(self, event: ev.AudioStarted) -> None:
        self.emit("output_audio_buffer.started", response_id=event.response_id)

    def _audio_stopped(self, event: ev.AudioStopped) -> None:
        self.emit("output_audio_buffer.stopped", response_id=event.response_id)

    def _audio_cleared(self, event: ev.AudioCleared) -> None:
        self.emit("output_audio_buffer.cleared", response_id=event.response_id)

    def _reply_item_done(self, event: ev.ReplyItemDone) -> None:
        begun, item = self._replies.get(event.response_id), event.item
        if begun is None:
            return
        if item.kind == "function_call":
            call = {"name": item.name, "arguments": item.text or ""}
            self.emit("response.function_call_arguments.done", **_call_place(event), **call)
        else:
            self._part_done(self._parts.pop(event.response_id), item)
        out = item_out(item)
        place = {"response_id": event.response_id, "output_index": event.index}
        self.emit("response.output_item.done", **place, item=out)
        if begun.in_conversation:
            self.emit("conversation.item.done", item=out, previous_item_id=event.previous_id)

    def _part_done(self, place: Json, item: Item) -> None:
        if item.spoken:
            self.emit("response.output_audio.done", **place)
            self.emit("response.output_audio_transcript.done", **place, transcript=item.text or "")
        else:
            self.emit("response.output_text.done", **place, text=item.text or "")
        self.emit("response.content_part.done", **place, part=part_out(item))

    def _reply_done(self, event: ev.ReplyDone) -> None:
        begun = self._replies.pop(event.response_id, None)
        if begun is not None:
            response = response_done_out(event, begun, self.conversation_id, self.formats)
            self.emit("response.done", response=response)

    def _turn_measured(self, event: ev.TurnMeasured) -> None:
        figures = {**event.figures, "item_id": event.item_id, "response_id": event.response_id}
        self.own("turn_metrics", **figures)

    def _trouble(self, event: ev.Trouble) -> None:
        if self.viva:
            self.own("trouble", stage=event.stage, code=event.code, message=event.message)
        else:
            self.error("server_error", event.code, event.message)

    def _fell_over(self, event: ev.FellOver) -> None:
        change = {"stage": event.stage, "from": event.failed, "to": event.to}
        self.own("provider", **change, why=event.message)

    def _ended(self, event: ev.Ended) -> None:
        self.own("ended", why=event.why)


EVENTS: Mapping[type, Callable[[Teller, Any], None]] = {
    ev.FloorChanged: Teller._floor,
    ev.SpeechStarted: Teller._speech_started,
    ev.SpeechStopped: Teller._speech_stopped,
    ev.TimedOut: Teller._timed_out,
    ev.Committed: Teller._committed,
    ev.InputCleared: Teller._input_cleared,
    ev.ItemAdded: Teller._item_added,
    ev.ItemDone: Teller._item_done,
    ev.ItemDeleted: Teller._item_deleted,
    ev.ItemTruncated: Teller._item_truncated,
    ev.Partial: Teller._partial,
    ev.Transcribed: Teller._transcribed,
    ev.TranscriptionFailed: Teller._transcription_failed,
    ev.ReplyCreated: Teller._reply_created,
    ev.ReplyItemAdded: Teller._reply_item_added,
    ev.CallArguments: Teller._call_arguments,
    ev.ReplyItemDone: Teller._reply_item_done,
    ev.PhraseStarted: Teller._phrase,
    ev.Heard: Teller._heard,
    ev.AudioStarted: Teller._audio_started,
    ev.AudioStopped: Teller._audio_stopped,
    ev.AudioCleared: Teller._audio_cleared,
    ev.ReplyDone: Teller._reply_done,
    ev.TurnMeasured: Teller._turn_measured,
    ev.Trouble: Teller._trouble,
    ev.FellOver: Teller._fell_over,
    ev.Ended: Teller._ended,
    # ev.Shapes goes over a channel of its own, see server.peer
}


def _call_place(event: ev.CallArguments | ev.ReplyItemDone) -> Json:
    return {
        "response_id": event.response_id,
        "item_id": event.item.id,
        "output_index": event.index,
        "call_id": event.item.call_id,
    }
