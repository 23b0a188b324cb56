"""What may come over a data channel or a WebSocket: a client's events, spoilt, and what are none."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

TOOL = {
    "type": "function",
    "name": "look",
    "description": "x",
    "parameters": {"type": "object", "properties": {}},
}
VAD = {"type": "server_vad", "silence_duration_ms": 300, "create_response": True}
HI = [{"type": "input_text", "text": "hi"}]
EVENTS: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "max_output_tokens": 50,
            "tools": [TOOL],
            "tool_choice": "auto",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": VAD,
                    "transcription": {"model": "whisper-1", "language": "en", "prompt": "a cache"},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "coral", "speed": 1.0},
            },
            "viva": {"mode": "chat", "language": "en", "patience": 1.0},
        },
    },
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}},
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}},
    {"type": "session.update", "session": {"output_modalities": ["text"]}},
    {"type": "input_audio_buffer.append", "audio": "AAAAAAAAAAAAAAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"id": "item_1", "type": "message", "role": "user", "content": HI},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "system", "content": HI},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
    },
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 300},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "response.create"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "instructions": "Sum up.",
            "output_modalities": ["text"],
            "metadata": {"a": "b"},
            "input": [{"type": "message", "role": "user", "content": HI}],
        },
    },
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "response.cancel"},
    {"type": "output_audio_buffer.clear"},
    {"type": "viva.think"},
    {"type": "viva.repeat"},
]  # fmt: skip

DEEP = ["[" * 5000, '{"type":' * 3000]
VALUES: list[Any] = [None, True, 0, -1, 2**31, 2**63, 10**400, 0.5, 1e308]
VALUES += ["", " ", "\0", "\ud800", "__proto__", "x" * 40_000, "../../etc/passwd", "${jndi:ldap://x}"]
VALUES += [[], {}, [[]], {"": ""}, [None] * 300, {"type": "x"}, {"$ref": "#"}]
STRANGE: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(VALUES).map(copy.deepcopy),
    st.recursive(
        st.one_of(st.integers(), st.floats(), st.text(max_size=8), st.booleans()),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=8,
    ),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*path, index))
    return found


@st.composite
def _spoilt(draw: st.DrawFn) -> str:
    event = copy.deepcopy(draw(st.sampled_from(EVENTS)))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_places(event)[1:]))
        around = event
        for step in path[:-1]:
            around = around[step]
        match draw(st.sampled_from(["replace", "drop", "add", "double"])):
            case "replace":
                around[path[-1]] = draw(STRANGE)
            case "drop":
                del around[path[-1]]
            case "add" if isinstance(around, dict):
                around[draw(st.text(max_size=10))] = draw(STRANGE)
            case "double" if isinstance(around, list):
                around.extend(copy.deepcopy(around) * draw(st.integers(1, 40)))
        if len(_places(event)) < 2:
            break
    return json.dumps(event)


NONE = st.one_of(
    st.sampled_from(["", "{", "[]", "null", *DEEP, '{"type": "a"} {"type": "b"}', "NaN", "\ufeff{}"]),
    st.text(max_size=40),
    STRANGE.map(lambda value: json.dumps(value)),
    st.text(max_size=30).map(lambda name: json.dumps({"type": name})),
)
MESSAGES: st.SearchStrategy[str | bytes] = st.one_of(
    _spoilt(), _spoilt(), _spoilt(), NONE, st.binary(max_size=60)
)
