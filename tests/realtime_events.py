"""Is this an event that a client can expect? Strictly: no unknown field, none missing, nothing to be coerced.

OpenAI's events are asked of the vendor's own types, ours (`viva.*`) of docs/protocol.md, which so stays true.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, get_args

from openai.types.realtime import RealtimeServerEvent, RealtimeSessionCreateRequest
from pydantic import BaseModel

from tests.protocol_document import own_events, own_settings, server_events

Json = dict[str, Any]

# Fields that the vendor's types have and an event may lack, by type. Any other must be there, be it as null,
# since clients tell an absent key from a null one.
MAY_LACK = {
    "AudioPCM": {"rate"},
    "AudioTranscription": {"delay", "keywords", "languages", "model", "prompt"},
    "Content": {"audio", "detail", "image_url", "text", "transcript"},  # see _content
    "ConversationItemInputAudioTranscriptionCompletedEvent": {"languages", "logprobs"},
    "Error": {"code", "param"},  # of transcription.failed and response.done: one client takes no null there
    "Part": {"audio", "text", "transcript"},
    "RealtimeFunctionTool": {"description", "parameters"},
    "RealtimeResponseStatus": {"error", "reason"},
    "RealtimeResponseUsageInputTokenDetails": {"cached_tokens_details", "image_tokens"},
    "RealtimeSessionCreateRequest": {"parallel_tool_calls", "reasoning"},
    "SemanticVad": {"model_version"},
    "ServerVad": {"idle_timeout_ms", "model_version", "prefix_padding_ms", "threshold"},
}
# And some that the types lack: OpenAI's own sessions carry them (RealtimeSessionCreateResponse), or ours.
MAY_HAVE = {"RealtimeSessionCreateRequest": {"id", "object", "expires_at", "viva"}}


@cache
def models() -> dict[str, type[BaseModel]]:
    union = get_args(RealtimeServerEvent)[0]
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def check_server_event(event: Json) -> None:
    """Raises AssertionError or pydantic.ValidationError if no client could have expected this."""
    assert event["event_id"].startswith("event_")
    json.dumps(event, allow_nan=False)
    kind = event["type"]
    if kind.startswith("viva."):
        own_events()[kind].check({name: event[name] for name in event.keys() - {"type", "event_id"}})
        return
    assert kind in server_events(), f"docs/protocol.md does not list {kind}"
    model = models()[kind]  # a KeyError: a type that does not exist
    _whole(model.model_validate(event, strict=True), kind)
    _traps(event)
    if kind.endswith("input_audio_transcription.failed"):
        assert None not in event["error"].values(), "@openai/agents-realtime takes no null here"
    if "session" in event and "viva" in event["session"]:
        own_settings().check(event["session"]["viva"])


def _whole(value: Any, place: str) -> None:
    """Every field of the type is there, and no other, all the way down."""
    if isinstance(value, list):
        for one in value:
            _whole(one, place)
    if not isinstance(value, BaseModel):
        return
    kind = type(value)
    unknown = set(value.model_extra or ()) - MAY_HAVE.get(kind.__name__, set())
    assert not unknown, f"{place}: {kind.__name__} knows no {sorted(unknown)}"
    missing = kind.model_fields.keys() - value.model_fields_set - MAY_LACK.get(kind.__name__, set())
    assert not missing, f"{place}: {kind.__name__} lacks {sorted(missing)}"
    if isinstance(value, RealtimeSessionCreateRequest):
        assert {"id", "object"} <= set(value.model_extra or ()), f"{place} has no id"
    for name in value.model_fields_set:
        _whole(getattr(value, name), f"{place}.{name}")


def _traps(value: Any) -> None:
    """What the types allow and real clients stumble over."""
    if isinstance(value, list):
        for one in value:
            _traps(one)
    if not isinstance(value, dict):
        return
    assert "status" not in value or value["status"] is not None
    if value.get("type") in ("input_audio", "output_audio"):
        assert "transcript" in value, "spoken content has the key transcript, null until it is known"
    if value.get("type") in ("input_text", "output_text"):
        assert isinstance(value["text"], str)
    if value.get("object") == "realtime.item":
        assert value["id"]
    if value.get("type") == "function_call":
        assert value["call_id"]
    for one in value.values():
        _traps(one)
