"""Who ends a turn: the client by pushing to talk, a fixed silence, nobody at all."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import events as ev
from tests.realtime_client import types
from tests.session.call import Ears, Mind, Sound, Voice, speech
from tests.session.wire import Wired
from tests.sounds import quieter
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
PUSH = {"turn_detection": {"kind": "none"}}


def push(*sounds: Sound, ears: Ears | None = None, replies: tuple[Any, ...] = ("A store.",)) -> Wired:
    return Wired(ears or Ears([[QUESTION]]), Mind(list(replies)), Voice(), *sounds, **PUSH)


def test_push_to_talk_waits_for_the_client_to_commit_and_to_ask() -> None:
    line = push(speech(500, QUESTION))
    line.send(END + 4000, "input_audio_buffer.commit").send(END + 6000, "response.create").run(END + 9000)
    kinds = [kind for kind in types(line.wire.events) if not kind.endswith(".delta")]
    assert kinds[3:9] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
    ]
    assert line.one(ev.ReplyCreated).at_ms == END + 6000
    assert line.texts() == [("user", QUESTION), ("assistant", "A store.")]


def test_whoever_speaks_too_softly_for_the_gate_is_heard_when_the_client_commits() -> None:
    line = push(Sound(500, quieter(spoken(QUESTION), 46)))
    line.send(END + 100, "input_audio_buffer.commit").send(END + 110, "response.create").run(END + 3000)
    assert line.texts() == [("user", QUESTION), ("assistant", "A store.")]
    seconds = line.wire.one("conversation.item.input_audio_transcription.completed")["usage"]["seconds"]
    assert seconds == pytest.approx(END / 1000, abs=0.2)


def test_what_is_said_while_a_reply_is_spoken_is_in_the_buffer_and_touches_nothing() -> None:
    line = push(speech(1500, QUESTION), replies=(LONG, "A store."))
    line.send(100, "response.create").send(1400, "input_audio_buffer.clear")
    line.send(3000, "input_audio_buffer.commit").run(8000)
    assert line.wire.one("response.done")["response"]["status"] == "completed"
    assert line.texts() == [("assistant", LONG), ("user", QUESTION)]


def test_clearing_drops_what_was_said() -> None:
    line = push(speech(500, QUESTION))
    line.send(END + 500, "input_audio_buffer.clear").send(END + 540, "input_audio_buffer.commit")
    line.run(END + 2000)
    assert len(line.wire.of("input_audio_buffer.cleared")) == 1
    (error,) = line.wire.errors
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert error["message"] == (
        "Error committing input audio buffer: buffer too small. "
        "Expected at least 100ms of audio, but buffer only has 40.00ms of audio."
    )
    assert line.texts() == []


def test_with_a_detector_nothing_can_be_committed_that_was_not_said() -> None:
    line = Wired(Ears([]), Mind(["Hi."]), Voice())
    line.send(3000, "input_audio_buffer.commit").run(4000)
    assert "buffer only has 0.00ms" in line.wire.errors[0]["message"]


def test_letting_go_in_the_middle_of_a_word_is_no_trouble_for_who_listens() -> None:
    detector = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
    line = push(speech(500, QUESTION)).send(900, "session.update", session=detector)
    line.run(END + 4000)
    assert line.texts() == [("user", QUESTION), ("assistant", "A store.")]


def test_a_silence_that_is_too_long_for_the_client_is_answered() -> None:
    line = Wired(Ears([]), Mind(["Hello.", "Still there?", "Hm?", "Well?"]), Voice())
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    line.send(10, "session.update", session={"audio": {"input": {"turn_detection": detection}}})
    line.send(100, "response.create").run(40_000)
    first, second = line.wire.of("input_audio_buffer.timeout_triggered")
    assert first["audio_end_ms"] - first["audio_start_ms"] == 5000
    assert first["item_id"] == line.wire.of("input_audio_buffer.committed")[0]["item_id"]
    assert second["audio_start_ms"] > first["audio_end_ms"]
    assert len(line.wire.of("response.done")) == 3, "as often as nudges: somebody has gone"
    assert line.texts()[2] == ("assistant", "Still there?")
    settings = line.wire.of("session.updated")[-1]["session"]["audio"]["input"]["turn_detection"]
    assert settings["idle_timeout_ms"] == 5000


def test_what_is_set_of_the_detection_is_merged() -> None:
    line = Wired(Ears([]), Mind(["Hi."]), Voice())
    for at_ms, detection in (
        (100, {"type": "server_vad", "silence_duration_ms": 900, "create_response": False}),
        (120, {"interrupt_response": False}),
        (140, {"type": "semantic_vad", "eagerness": "low"}),
    ):
        line.send(at_ms, "session.update", session={"audio": {"input": {"turn_detection": detection}}})
    line.run(300)
    server, merged, semantic = (
        event["session"]["audio"]["input"]["turn_detection"] for event in line.wire.of("session.updated")[1:]
    )
    assert (merged["type"], merged["silence_duration_ms"]) == ("server_vad", 900)
    assert (server["interrupt_response"], merged["interrupt_response"]) == (True, False)
    assert semantic == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": False,
        "interrupt_response": False,
    }
