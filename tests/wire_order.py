"""What holds for the order of OpenAI Realtime's server events, whatever happens in a call."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class WireOrder:
    """A client's picture of the conversation, built up from the events. `take` asserts; so does `close`."""

    def __init__(self) -> None:
        self.items: list[str] = []  # in the order of the conversation
        self.responses: dict[str, str] = {}  # id -> status
        self._outputs: dict[str, list[str]] = {}  # response id -> its items
        self._unfinished: dict[str, str] = {}  # item id -> what has come of its words or arguments
        self._in_conversation: dict[str, bool] = {}  # response id -> whether its items are
        self._sound: dict[str, str] = {}  # response id -> started, stopped, cleared
        self._speaking: str | None = None  # item id
        self._done: set[str] = set()  # items
        self._committed: set[str] = set()  # whose transcript is owed

    def take(self, event: Json) -> None:
        kind = event["type"]
        step = getattr(self, "_" + kind.replace(".", "_"), None)
        if step is not None:
            step(event)
        elif kind.startswith("response."):
            assert self.responses.get(event["response_id"]) == "in_progress", f"{kind} outside its response"

    def close(self) -> None:
        """The call has been quiet for long: nothing is owed any more."""
        assert self._speaking is None, "speech_started without speech_stopped"
        assert not self._committed, "an item that was committed has neither words nor a failure"
        assert "in_progress" not in self.responses.values(), "response.created without response.done"
        assert "started" not in self._sound.values(), "output_audio_buffer.started and nothing after it"
        assert set(self.items) <= self._done, "an item was added and never done"

    # ------------------------------------------------------------ the person

    def _input_audio_buffer_speech_started(self, event: Json) -> None:
        assert self._speaking is None, "speech_started twice"
        assert event["item_id"] not in self.items
        self._speaking = event["item_id"]

    def _input_audio_buffer_speech_stopped(self, event: Json) -> None:
        assert self._speaking == event["item_id"], "speech_stopped for another item"
        self._speaking = None

    def _input_audio_buffer_committed(self, event: Json) -> None:
        assert self._speaking is None, "committed before speech_stopped"
        self._committed.add(event["item_id"])

    def _conversation_item_input_audio_transcription_completed(self, event: Json) -> None:
        item = event["item_id"]
        assert item in self._committed, "a transcript that nobody is owed"
        assert item in self.items, "a transcript of an item that is gone"
        self._committed.remove(item)

    _conversation_item_input_audio_transcription_failed = (
        _conversation_item_input_audio_transcription_completed
    )

    # ------------------------------------------------------------ items

    def _conversation_item_added(self, event: Json) -> None:
        item, behind = event["item"]["id"], event["previous_item_id"]
        assert item not in self.items, "an item was added twice"
        self.items.insert(0 if behind is None else self.items.index(behind) + 1, item)
        if {"type": "input_audio", "transcript": None} in event["item"].get("content", ()):
            self._committed.add(item)  # also a recording that the client added

    def _conversation_item_done(self, event: Json) -> None:
        item, behind = event["item"]["id"], event["previous_item_id"]
        assert item not in self._done, "an item was done twice"
        index = self.items.index(item)
        assert behind == (self.items[index - 1] if index else None)
        self._done.add(item)

    def _conversation_item_deleted(self, event: Json) -> None:
        self.items.remove(event["item_id"])
        self._committed.discard(event["item_id"])

    def _conversation_item_truncated(self, event: Json) -> None:
        assert event["item_id"] in self.items, "an item that is gone was truncated"

    # ------------------------------------------------------------ replies

    def _response_created(self, event: Json) -> None:
        response = event["response"]
        mine = self._in_conversation[response["id"]] = response["conversation_id"] is not None
        busy = [one for one, status in self.responses.items() if status == "in_progress"]
        assert not mine or not any(self._in_conversation[one] for one in busy), "two replies at once"
        self.responses[response["id"]] = "in_progress"
        self._outputs[response["id"]] = []

    def _response_output_item_added(self, event: Json) -> None:
        output = self._of_response(event)
        assert event["output_index"] == len(output)
        assert event["item"]["status"] == "in_progress"
        output.append(event["item"]["id"])
        self._unfinished[event["item"]["id"]] = ""

    def _of_response(self, event: Json) -> list[str]:
        assert self.responses[event["response_id"]] == "in_progress", f"{event['type']} outside its response"
        return self._outputs[event["response_id"]]

    def _delta(self, event: Json) -> None:
        assert self._of_response(event)[event["output_index"]] == event["item_id"]
        self._unfinished[event["item_id"]] += event["delta"]

    _response_output_text_delta = _delta
    _response_output_audio_transcript_delta = _delta
    _response_function_call_arguments_delta = _delta

    def _response_output_text_done(self, event: Json) -> None:
        assert event["text"] == self._unfinished[event["item_id"]]

    def _response_function_call_arguments_done(self, event: Json) -> None:
        assert event["arguments"] == self._unfinished[event["item_id"]]

    def _response_output_item_done(self, event: Json) -> None:
        item = event["item"]
        assert self._of_response(event)[event["output_index"]] == item["id"]
        assert item["status"] != "in_progress"
        del self._unfinished[item["id"]]
        inside = self._in_conversation[event["response_id"]]
        assert inside or item["id"] not in self.items, "an item beside the conversation is in it"

    def _response_done(self, event: Json) -> None:
        response = event["response"]
        assert self.responses[response["id"]] == "in_progress", "response.done twice"
        assert response["status"] != "in_progress"
        output = [item["id"] for item in response["output"]]
        assert output == self._outputs[response["id"]], "response.done has other items"
        assert not set(output) & self._unfinished.keys(), "response.done before an item was"
        self.responses[response["id"]] = response["status"]

    def _output_audio_buffer_started(self, event: Json) -> None:
        assert self.responses[event["response_id"]] == "in_progress"
        assert event["response_id"] not in self._sound
        self._sound[event["response_id"]] = "started"

    def _output_audio_buffer_stopped(self, event: Json) -> None:
        assert self._sound[event["response_id"]] == "started", "stopped without started"
        self._sound[event["response_id"]] = "over"

    _output_audio_buffer_cleared = _output_audio_buffer_stopped
