"""Is this an event of OpenAI Realtime? Asked of the vendor's own types."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, get_args

from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

Json = dict[str, Any]


@cache
def models() -> dict[str, type[BaseModel]]:
    union = get_args(RealtimeServerEvent)[0]
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(union)}


def check_server_event(event: Json) -> None:
    """Raises AssertionError or pydantic.ValidationError if no client could have expected this."""
    assert event["event_id"].startswith("event_")
    json.dumps(event)
    if event["type"].startswith("viva."):
        return
    model = models()[event["type"]]  # a KeyError: a type that does not exist
    model.model_validate(event, strict=True)
    assert set(event) <= set(model.model_fields), f"{event['type']} has unknown fields"
    _no_null_status(event)


def _no_null_status(value: Any) -> None:
    if isinstance(value, dict):
        assert "status" not in value or value["status"] is not None
        for deeper in value.values():
            _no_null_status(deeper)
    elif isinstance(value, list):
        for deeper in value:
            _no_null_status(deeper)
