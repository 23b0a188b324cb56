"""`session.update`: what a client may set, and what it is told about a field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.realtime_client import Client
from tests.realtime_events import Json


@pytest.fixture
def client() -> Client:
    return Client()


def test_an_update_is_merged_deeply_and_answered_with_all_settings(client: Client) -> None:
    first = client.update(
        type="realtime",
        instructions="Be brief.",
        output_modalities=["audio"],
        max_output_tokens=200,
        audio={"output": {"voice": "marin", "speed": 1.2}},
    )
    assert first["type"] == "session.updated"
    second = client.update(type="realtime", tracing="auto", audio={"output": {"speed": 0.9}})
    session = second["session"]
    assert session["audio"]["output"]["voice"] == "marin"
    assert session["audio"]["output"]["speed"] == 0.9
    assert session["instructions"] == "Be brief."
    assert session["max_output_tokens"] == 200
    assert "viva" not in session
    assert client.session.call.speed == 0.9


def test_what_the_npm_client_sends_is_taken(client: Client) -> None:
    answer = client.update(
        type="realtime",
        model="gpt-realtime",
        instructions="",
        output_modalities=["audio"],
        audio={
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": None,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash", "speed": 1},
        },
        tool_choice="auto",
        tools=[],
        tracing="auto",
        prompt=None,
    )
    assert answer["type"] == "session.updated"
    assert client.session.call.instructions is None


@pytest.mark.parametrize(
    ("given", "kind", "silence_ms", "patience"),
    [
        (None, "none", 500, 1.0),
        ({"type": "server_vad", "silence_duration_ms": 800}, "fixed", 800, 1.0),
        ({"type": "server_vad"}, "fixed", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "low"}, "patience", 500, 1.5),
        ({"type": "semantic_vad", "eagerness": "medium"}, "patience", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "auto"}, "patience", 500, 1.0),
        ({"type": "semantic_vad", "eagerness": "high"}, "patience", 500, 0.6),
        ({"type": "semantic_vad"}, "patience", 500, 1.0),
    ],
)
def test_turn_detection_becomes_patience(
    client: Client, given: Any, kind: str, silence_ms: int, patience: float
) -> None:
    answer = client.update(audio={"input": {"turn_detection": given}})
    call = client.session.call
    assert (call.turn_detection.kind, call.turn_detection.silence_ms) == (kind, silence_ms)
    assert call.patience == patience
    shown = answer["session"]["audio"]["input"]["turn_detection"]
    assert (shown and shown["type"]) == (given and given["type"])


def test_turn_detection_keeps_whether_to_answer_and_whether_to_be_interrupted(client: Client) -> None:
    detection = {"type": "server_vad", "create_response": False, "interrupt_response": False}
    client.update(audio={"input": {"turn_detection": detection}})
    turns = client.session.call.turn_detection
    assert (turns.create_response, turns.interrupt_response) == (False, False)


def test_our_own_settings_come_under_viva_and_outweigh_what_is_mapped(client: Client) -> None:
    answer = client.update(
        audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}},
        viva={"mode": "chat", "language": "de", "greet": False, "patience": 2.0, "topic": "coding"},
    )
    call = client.session.call
    assert (call.mode, call.language, call.greet, call.patience, call.topic) == (
        "chat",
        "de",
        False,
        2.0,
        "coding",
    )
    assert answer["session"]["viva"]["mode"] == "chat"
    assert client.wire.viva


def test_viva_null_asks_for_nothing(client: Client) -> None:
    assert client.update(viva=None)["type"] == "session.updated"
    assert not client.wire.viva


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "transcription"}, "session.type"),
        ({"colour": 1}, "session.colour"),
        ({"instructions": 3}, "session.instructions"),
        ({"output_modalities": ["smell"]}, "session.output_modalities[0]"),
        ({"output_modalities": []}, "session.output_modalities"),
        ({"output_modalities": [{}]}, "session.output_modalities[0]"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"max_output_tokens": "many"}, "session.max_output_tokens"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"audio": {"output": {"voice": 3}}}, "session.audio.output.voice"),
        ({"audio": {"sideways": {}}}, "session.audio.sideways"),
        ({"audio": {"input": {"turn_detection": {"type": "x"}}}}, "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "very"}}}},
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}}}},
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        ({"viva": {"mode": "opera"}}, "session.viva.mode"),
        ({"viva": {"language": "xx"}}, "session.viva.language"),
        ({"viva": {"patience": "much"}}, "session.viva.patience"),
        ({"viva": {"secret": 1}}, "session.viva.secret"),
        ({"audio": {"input": {"transcription": {"modle": "x"}}}}, "session.audio.input.transcription.modle"),
        ({"audio": {"input": {"turn_detection": {"x": 1}}}}, "session.audio.input.turn_detection.x"),
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 8000}}}},
            "session.audio.input.format.rate",
        ),
        ({"audio": {"output": {"voice": {"name": "x"}}}}, "session.audio.output.voice.id"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "session.tools[0].name"),
        ({"tools": [{"type": "function", "name": "ab", "x": 1}]}, "session.tools[0].x"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "session.tools[0]"),
        ({"tools": [{"type": "function", "name": "f"}] * 129}, "session.tools"),
        ({"tool_choice": "sometimes"}, "session.tool_choice"),
        ({"tool_choice": {"type": "function"}}, "session.tool_choice.name"),
        ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "session.tool_choice"),
        ({"tracing": {"x": 1}}, "session.tracing.x"),
        ({"truncation": {"type": "retention_ratio"}}, "session.truncation.retention_ratio"),
        ({"prompt": {"id": "pmpt_1"}}, "session.prompt"),
        ({"max_output_tokens": 2.5}, "session.max_output_tokens"),
        ({"instructions": "x" * 40_000}, "session.instructions"),
        ({"viva": []}, "session.viva"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_of_the_update_is_taken(
    client: Client, session: Json, param: str
) -> None:
    before = client.session.call
    error = client.refused("session.update", session={"speed": None} if session is None else session)
    assert error["param"] == param
    assert client.session.call == before
    assert not client.wire.viva
    assert not client.wire.updated
