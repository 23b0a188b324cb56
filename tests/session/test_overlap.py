"""Speech over a reply that may not be interrupted: a turn of its own, which is answered behind the reply."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import events as ev
from pipeline.session import Session
from tests.realtime_client import types
from tests.session.call import Call, Ears, Mind, Sound, Voice, speech
from tests.session.test_absence import Line, greeted
from tests.session.wire import Wired
from tests.sounds import noise
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
SECOND = "and why do we need it"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
KEPT = {"turn_detection": {"interrupt_response": False}}
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
REPLY_MS = 200 * len(LONG.split())


def call_of(ears: Ears, *sounds: Sound, replies: tuple[str, ...] = (LONG, "For speed."), **more: Any) -> Call:
    return Call(ears, Mind(list(replies)), Voice(), speech(500, QUESTION), *sounds, **{**KEPT, **more})


def reply_ends(call: Call) -> int:
    return call.of(ev.AudioStopped)[0].at_ms


def test_what_is_said_over_such_a_reply_is_answered_behind_it() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND)).run(12_000)
    assert call.texts() == [
        ("user", QUESTION),
        ("assistant", LONG),
        ("user", SECOND),
        ("assistant", "For speed."),
    ]
    assert [message.text for message in call.mind.asked[-1][1:]] == [QUESTION, LONG, SECOND]
    assert call.audible(2500, 4500) > -20, "the reply was not even ducked"
    second = call.of(ev.ReplyCreated)[1]
    assert 0 <= second.at_ms - reply_ends(call) <= 40
    committed = call.of(ev.Committed)[1]
    assert 3000 < committed.at_ms < reply_ends(call), "as soon as patience is over, and not when the reply is"
    assert call.of(ev.ReplyDone)[0].event.status == "completed"


def test_on_the_wire_the_turn_lies_inside_the_reply() -> None:
    line = Wired(
        Ears([[QUESTION], [SECOND]]),
        Mind([LONG, "For speed."]),
        Voice(),
        speech(500, QUESTION),
        speech(2500, SECOND),
        **KEPT,
    ).run(12_000)
    kinds = [kind for kind in types(line.wire.events) if not kind.endswith(".delta")]
    inside = kinds[kinds.index("response.created") + 1 : kinds.index("response.done")]
    heard = [kind for kind in inside if kind.startswith("input_audio_buffer") or "transcription" in kind]
    assert heard == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert kinds.count("response.done") == 2
    assert "output_audio_buffer.cleared" not in kinds
    assert "conversation.item.truncated" not in kinds


@pytest.mark.parametrize(
    ("words", "sound"),
    [("mhm", spoken("mhm")), ("", noise(250, -20.0, 3)), ("yeah", spoken("yeah"))],
    ids=["mhm", "noise", "yeah"],
)
def test_what_asks_for_nothing_is_no_turn(words: str, sound: Any) -> None:
    call = call_of(Ears([[QUESTION], [words]]), Sound(2500, sound)).run(9000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
    assert len(call.of(ev.SpeechStarted)) == 1
    assert call.audible(2500, 4500) > -20


def test_who_goes_on_just_after_the_reply_began_does_not_withdraw_it() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(END + 400, SECOND)).run(12_000)
    assert call.texts()[1:3] == [("assistant", LONG), ("user", SECOND)]
    assert not call.of(ev.ItemDeleted)


def test_two_turns_over_one_reply_are_answered_together() -> None:
    ears, longer = Ears([[QUESTION], [SECOND], ["where is it kept"]]), f"{LONG} {LONG}"
    sounds = speech(2000, SECOND), speech(5000, "where is it kept")
    call = call_of(ears, *sounds, replies=(longer, "For speed.")).run(14_000)
    assert [text for role, text in call.texts() if role == "user"] == [QUESTION, SECOND, "where is it kept"]
    assert len(call.of(ev.ReplyCreated)) == 2
    assert [message.text for message in call.mind.asked[-1][2:]] == [longer, SECOND, "where is it kept"]


def test_where_the_client_asks_for_answers_it_is_a_turn_all_the_same() -> None:
    kept = {"turn_detection": {"interrupt_response": False, "create_response": False}}
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND), **kept)
    call.at(END + 900, Session.reply).run(12_000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG), ("user", SECOND)]
    assert len(call.of(ev.ReplyCreated)) == 1


def test_who_still_speaks_when_the_reply_ends_has_the_floor() -> None:
    ends = END + 240 + REPLY_MS
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(ends - 900, SECOND)).run(12_000)
    assert call.texts()[2:] == [("user", SECOND), ("assistant", "For speed.")]
    stopped = call.of(ev.SpeechStopped)[1].event.at_ms
    assert call.of(ev.ReplyCreated)[1].at_ms > max(stopped, reply_ends(call))
    assert len(call.of(ev.SpeechStarted)) == 2


def test_words_that_are_slow_to_come_are_waited_for_when_the_reply_is_over() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]], delay_ms=2500), speech(4500, SECOND)).run(16_000)
    assert call.texts()[2:] == [("user", SECOND), ("assistant", "For speed.")]
    assert call.of(ev.Transcribed)[1].at_ms > reply_ends(call)


def test_what_the_client_forgets_of_it_is_not_answered() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND))
    call.at(3600, Session.clear_input).run(9000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
    assert len(call.of(ev.InputCleared)) == 1
    assert call.audible(2500, 5000) > -20


def test_who_commits_it_does_not_stop_the_reply() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND))
    call.at(3500, Session.commit).run(12_000)
    assert call.texts()[2:] == [("user", SECOND), ("assistant", "For speed.")]
    assert call.of(ev.Committed)[1].at_ms == 3500
    assert call.audible(2500, 5000) > -20


def test_a_reply_that_is_cancelled_leaves_the_turn_beside_it_standing() -> None:
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND))
    call.at(3400, Session.cancel).run(9000)
    assert call.texts()[2:] == [("user", SECOND), ("assistant", "For speed.")]


def test_nobody_is_nudged_who_speaks_over_a_reply() -> None:
    detection = {"turn_detection": {"interrupt_response": False, "idle_ms": 5000}}
    call = call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND), **detection).run(8000)
    assert not call.of(ev.TimedOut)


def test_what_was_said_over_a_reply_is_owed_an_answer_when_the_line_was_lost() -> None:
    call = greeted(call_of(Ears([[QUESTION], [SECOND]]), speech(2500, SECOND), away_ms=(4800, 9000)))
    Line(call)
    call.run(14_000)
    assert ("user", SECOND) in call.texts()
    assert call.texts()[-1] == ("assistant", "We were cut off for a moment. For speed.")
    assert not [seen for seen in call.of(ev.ReplyCreated) if 4800 <= seen.at_ms < 9000]
