"""Whatever is said, asked for and broken, in whatever order: what must hold of every call."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import events as ev
from pipeline.audio import VOICE_RATE
from pipeline.settings import Settings, ToolSettings
from pipeline.toolbox import Toolbox
from tests import sounds as made
from tests.session.call import Call, Sound
from tests.session.wild import Way, WildEars, WildMind, WildVoice
from tests.session.wire import Client
from tests.wire_order import Json

QUIET_MS = 60_000  # after the last event of a timeline
# The fake voice is a tone of 440 Hz with a peak of 8000: no two samples of it are further apart than this,
# and a fade of 20 ms adds 8000 / 480.
STEEPEST = 2 * np.pi * 440 / VOICE_RATE * 8000 + 8000 / 480 + 2
SAID = ("what is a cache", "wait i have another question about that", "yeah", "i would use it because")
TOOLBOX = Toolbox(ToolSettings(functions=("tests.tools:look_up",), timeout_s=3.0))
SETTINGS = Settings.model_validate({"turns": {"nudges": 0}})


def typed(text: str) -> Json:
    content = [{"type": "input_text", "text": text}]
    return {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": content},
    }


def detection(value: Any) -> Json:
    return {"type": "session.update", "session": {"audio": {"input": {"turn_detection": value}}}}


def updated(**session: Any) -> Json:
    return {"type": "session.update", "session": session}


def created(**response: Any) -> Json:
    return {"type": "response.create", "response": response}


TOOLS = [{"type": "function", "name": "weather", "parameters": {}}]
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
BESIDE = {"conversation": "none", "metadata": {"c": "d"}}
SOUND = {"type": "input_audio", "audio": base64.b64encode(bytes(2 * 24_000)).decode()}

COMMANDS: list[Json] = [
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {"type": "response.cancel"},
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "instructions": "Be brief."}},
    created(output_modalities=["text"], max_output_tokens=3),
    created(input=[typed("hello")["item"]], tools=TOOLS, tool_choice="required"),
    created(**BESIDE),
    created(**BESIDE, output_modalities=["text"], input=[]),
    typed("tell me more"),
    {"type": "conversation.item.create", "item": OUTPUT},
    {"type": "conversation.item.create", "item": {"role": "user", "content": [SOUND]}},
    updated(tools=TOOLS, output_modalities=["text"]),
    updated(output_modalities=["audio"], max_output_tokens=5),
    {"type": "conversation.item.delete", "item_id": "LAST"},
    {"type": "conversation.item.delete", "item_id": "FIRST"},
    {"type": "conversation.item.truncate", "item_id": "LAST", "content_index": 0, "audio_end_ms": 300},
    {"type": "conversation.item.retrieve", "item_id": "LAST"},
    {"type": "viva.think"},
    {"type": "viva.repeat"},
    {"type": "session.update", "session": {"viva": {"mode": "interview"}}},
    {"type": "session.update", "session": {"viva": {"mode": "chat", "language": "de", "persona": "nobody"}}},
    detection(None),
    detection({"type": "semantic_vad"}),
    detection({"type": "semantic_vad", "interrupt_response": False}),
    detection({"type": "semantic_vad", "create_response": False}),
    detection({"type": "server_vad", "silence_duration_ms": 400}),
]


def check(call: Call, client: Client) -> None:
    client.check()
    session = call.session
    assert [item.id for item in session.items] == client.order.items
    floor = call.of(ev.FloorChanged)
    phases = [event["phase"] for event in client.events if event["type"] == "viva.floor"]
    assert not phases or phases[-1] == "listening", phases[-8:]
    assert not floor or floor[-1].event.phase == "listening"
    assert len(call.tasks) == 2, call.tasks  # the driver's and the session's own
    for provider in (call.ears, call.mind, call.voice):
        assert provider.open_streams == 0
    assert np.abs(call.out).max(initial=0) <= 8000
    assert np.abs(np.diff(call.out.astype(np.int32))).max(initial=0) <= STEEPEST
    heard: dict[str, str] = {}
    for event in client.events:
        if event["type"] in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            heard[event["item_id"]] = heard.get(event["item_id"], "") + event["delta"]
    for item in session.items:
        if item.role == "assistant":
            assert item.text is not None
            assert heard.get(item.id, "").split()[: len(item.text.split())] == item.text.split()


def run(call: Call, client: Client, length_ms: int) -> None:
    call.actions.insert(0, (0, client.connect))
    call.run(length_ms)
    check(call, client)


# ---------------------------------------------------------------- every command in every phase

QUESTION = "what is a cache"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"


def _end_ms(at_ms: int, text: str) -> int:
    return at_ms + 1000 * len(made.speech(text)) // 16_000


PHASES: dict[str, tuple[int, Json]] = {  # name -> when, and what of the providers is slow
    "listening": (200, {}),
    "hearing": (800, {}),
    "paused": (_end_ms(500, QUESTION) + 160, {}),
    "awaiting words": (_end_ms(500, QUESTION) + 900, {"ears_ms": 1500}),
    "thinking": (_end_ms(500, QUESTION) + 600, {"mind_ms": 1500}),
    "speaking": (3500, {}),
    "doubting": (4200, {}),
    "held": (4340, {}),
    "over": (9000, {}),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: json.dumps(command)[9:60])
def test_every_command_in_every_phase_leaves_a_call_that_listens(phase: str, command: Json) -> None:
    at_ms, slow = PHASES[phase]
    ears = WildEars([Way(QUESTION, slow.get("ears_ms", 0)), Way("yeah")])
    mind = WildMind([Way(LONG, slow.get("mind_ms", 0))])
    sounds = [Sound(500, made.speech(QUESTION)), Sound(4000, made.speech("okay"))]
    client = Client()
    call = Call(ears, mind, WildVoice([Way()]), *sounds, settings=SETTINGS, toolbox=TOOLBOX)
    call.at(at_ms, lambda session: client.send(session, command))
    call.at(9500, lambda session: client.send(session, detection({"type": "semantic_vad"})))
    slow_one = command["type"] == "viva.think" or BESIDE["metadata"] in command.get("response", {}).values()
    run(call, client, 26_000 if slow_one else 14_000)


@pytest.mark.parametrize("function", ["weather", "look_up"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: json.dumps(command)[9:60])
def test_every_command_while_a_function_is_carried_out_leaves_a_call_that_listens(
    function: str, command: Json
) -> None:
    ears = WildEars([Way(QUESTION), Way("yeah")])
    mind = WildMind([Way("let me see that", 2000, function), Way("Well.")])
    client = Client()
    call = Call(ears, mind, WildVoice([Way()]), Sound(500, made.speech(QUESTION)), settings=SETTINGS)
    call.toolbox = TOOLBOX
    call.at(10, lambda session: client.send(session, updated(tools=TOOLS)))
    call.at(_end_ms(500, QUESTION) + 3000, lambda session: client.send(session, command))
    call.at(8500, lambda session: client.send(session, detection({"type": "semantic_vad"})))
    call.at(9000, lambda session: client.send(session, created()))
    run(call, client, 26_000 if command["type"] == "viva.think" else 16_000)


# ---------------------------------------------------------------- anything

delays_ms = st.sampled_from([0, 30, 300, 1500])
ends = st.sampled_from(["", "", "", "", "error", "bug", "hang", "empty"])


def ways(*texts: str) -> st.SearchStrategy[list[Way]]:
    calls = st.sampled_from(["", "", "weather", "look_up"])
    way = st.builds(Way, st.sampled_from(texts), delays_ms, calls, ends, st.integers(0, 4))
    return st.lists(way, min_size=1, max_size=4)


@dataclass(frozen=True)
class Said:
    text: str


@dataclass(frozen=True)
class Noise:
    length_ms: int


happenings = st.one_of(
    st.sampled_from(SAID).map(Said),
    st.sampled_from(SAID).map(Said),
    st.sampled_from([20, 300, 1500]).map(Noise),
    st.sampled_from(COMMANDS),
)


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    ears=st.builds(WildEars, ways(*SAID), full_pass=st.booleans()),
    mind=st.builds(WildMind, ways(LONG, "Yes. And why?", "**", "😀", "Hm"), wants_full=st.booleans()),
    voice=st.builds(WildVoice, ways("")),
    timeline=st.lists(st.tuples(st.sampled_from([40, 240, 700, 2500]), happenings), min_size=1, max_size=9),
    mode=st.sampled_from(["chat", "interview"]),
    greet=st.booleans(),
)
def test_whatever_happens_every_call_comes_to_rest_and_tells_the_truth(
    ears: WildEars,
    mind: WildMind,
    voice: WildVoice,
    timeline: list[tuple[int, Any]],
    mode: str,
    greet: bool,
) -> None:
    client = Client()
    at_ms, sounds, commands = 0, [], []
    for gap_ms, happening in timeline:
        at_ms += gap_ms
        if isinstance(happening, Said):
            sounds.append(Sound(at_ms, made.speech(happening.text)))
        elif isinstance(happening, Noise):
            sounds.append(Sound(at_ms, made.noise(happening.length_ms)))
        else:
            commands.append((at_ms, happening))
    call = Call(ears, mind, voice, *sounds, settings=SETTINGS, toolbox=TOOLBOX, mode=mode, greet=greet)
    commands.append((at_ms + 2000, detection({"type": "semantic_vad"})))
    for when_ms, command in commands:
        call.at(when_ms, lambda session, command=command: client.send(session, command))
    run(call, client, at_ms + QUIET_MS)
