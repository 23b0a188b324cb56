"""`response.create` in all its forms: overridden, beside the conversation, in writing, cut off, counted."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from pipeline import events as ev
from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from pipeline.errors import ProviderError
from pipeline.providers import CutShort, Token
from tests import sounds
from tests.realtime_client import typed, types
from tests.session.call import Ears, Mind, Voice, speech
from tests.session.wire import Json, Wired
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
END = 500 + 1000 * len(spoken(QUESTION)) // 16_000
ASIDE = {"conversation": "none", "output_modalities": ["text"], "metadata": {"topic": "mood"}}


def line(*replies: Any, ears: Ears | None = None, sounds: tuple[Any, ...] = (), **call: Any) -> Wired:
    return Wired(ears or Ears([]), Mind(list(replies)), Voice(), *sounds, **call)


def talk(*replies: Any, **call: Any) -> Wired:
    return line(*replies, ears=Ears([[QUESTION]]), sounds=(speech(500, QUESTION),), **call)


def texts(response: Json) -> list[str]:
    parts = [part for item in response["output"] for part in item["content"]]
    return [part["text"] if part["type"] == "output_text" else part["transcript"] for part in parts]


# ---------------------------------------------------------------- overrides


def test_what_a_response_is_given_counts_for_it_alone() -> None:
    call = line("Yes.", "No.")
    given = {"instructions": "Be a pirate.", "max_output_tokens": 77, "output_modalities": ["text"]}
    call.send(100, "response.create", response=given).send(3000, "response.create").run(6000)
    first, second = (event["response"] for event in call.wire.of("response.done"))
    assert (first["output_modalities"], second["output_modalities"]) == (["text"], ["audio"])
    assert (first["max_output_tokens"], second["max_output_tokens"]) == (77, "inf")
    assert call.mind.asked[0][0].text == "Be a pirate."
    assert call.mind.options[0].max_tokens == 77
    assert call.mind.asked[1][0].text != "Be a pirate."
    assert call.voice.spoken == ["No."]


def test_a_voice_for_one_response() -> None:
    call = line("Yes.", "No.")
    call.send(100, "response.create", response={"audio": {"output": {"voice": "cedar"}}})
    call.send(3000, "response.create").run(6000)
    assert [style.voice for style in call.voice.styles] == ["cedar", ""]
    assert call.wire.of("response.created")[0]["response"]["audio"]["output"]["voice"] == "cedar"


def test_input_takes_the_place_of_the_history_and_may_refer_to_it() -> None:
    call = line("Yes.")
    call.send(100, "conversation.item.create", **typed("one"))
    call.send(110, "conversation.item.create", **typed("two"))

    def ask(session: Any) -> None:
        given = [{"type": "item_reference", "id": session.items[0].id}, typed("three")["item"]]
        call.wire.send(session, {"type": "response.create", "response": {"input": given}})

    call.at(200, ask).run(3000)
    assert [message.text for message in call.mind.asked[0][1:]] == ["one", "three"]
    assert [text for _, text in call.texts()] == ["one", "two", "Yes."]


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        ({"input": [{"type": "item_reference", "id": "gone"}]}, "item_not_found", "item_id"),
        ({"input": [{"type": "item_reference"}]}, "missing_required_parameter", "response.input[0].id"),
        ({"input": [{"type": "message", "role": "user"}]}, "missing_required_parameter", None),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "unsupported_parameter", "response.tools[0]"),
        ({"prompt": {"id": "pmpt_1"}}, "unsupported_parameter", "response.prompt"),
        ({"colour": 1}, "unknown_parameter", "response.colour"),
        ({"max_output_tokens": True}, "invalid_type", "response.max_output_tokens"),
    ],
)
def test_a_response_that_cannot_be_made_is_refused(given: Json, code: str, param: str | None) -> None:
    call = line("Yes.").send(100, "response.create", response=given, event_id="mine").run(500)
    (error,) = call.wire.errors
    assert error["code"] == code
    assert error["param"] == param or param is None
    assert error["event_id"] == "mine"
    assert not call.wire.of("response.created")


def test_a_second_response_of_the_conversation_is_refused_and_the_first_goes_on() -> None:
    call = line("Yes.").send(100, "response.create").send(200, "response.create", event_id="mine").run(3000)
    (error,) = call.wire.errors
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "mine")
    assert call.wire.one("response.done")["response"]["status"] == "completed"


def test_an_answer_that_waits_for_words_can_be_cancelled() -> None:
    slow = Ears([[QUESTION]], delay_ms=2000)
    call = line("A store.", ears=slow, sounds=(speech(500, QUESTION),))
    call.send(END + 1200, "response.cancel").run(END + 6000)
    assert not call.wire.errors
    done = call.wire.one("response.done")["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert call.texts() == [("user", QUESTION)], "the words are kept when they come"
    assert call.one(ev.Transcribed).at_ms > call.one(ev.ReplyDone).at_ms


def test_a_response_asked_for_in_mid_speech_can_be_cancelled() -> None:
    call = talk("A store.", "Later.", turn_detection={"create_response": False})
    call.ears.delay_ms = 1000
    call.send(END + 100, "response.create", response={"metadata": {"n": "1"}})
    call.send(END + 400, "response.cancel").send(END + 3000, "response.create").run(END + 6000)
    first, second = (event["response"] for event in call.wire.of("response.done"))
    assert (first["status"], first["metadata"]) == ("cancelled", {"n": "1"})
    assert second["status"] == "completed"
    assert call.texts() == [("user", QUESTION), ("assistant", "A store.")]


# ---------------------------------------------------------------- in writing


def test_text_is_streamed_token_by_token_as_the_mind_writes_it() -> None:
    written = ["**Yes", ", ", "in", " Mark", "down**\n", "- one"]
    call = line([Token(piece) for piece in written], text_only=True)
    call.mind.token_ms = 200
    call.send(100, "response.create").run(4000)
    deltas = [event["delta"] for event in call.wire.of("response.output_text.delta")]
    assert deltas == written
    heard = [seen.at_ms for seen in call.of(ev.Heard)]
    assert heard == [pytest.approx(100 + 200 * n, abs=25) for n in range(len(written))]
    assert call.wire.one("response.output_text.done")["text"] == "".join(written)
    assert not call.voice.spoken
    assert not call.wire.of("output_audio_buffer.started")


def test_text_that_is_cancelled_keeps_what_was_sent() -> None:
    call = line(LONG, text_only=True)
    call.mind.token_ms = 200
    call.send(100, "response.create").send(1000, "response.cancel").run(3000)
    done = call.wire.one("response.done")["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
    assert texts(done) == ["a cache keeps what was "]
    assert not call.wire.of("conversation.item.truncated")


# ---------------------------------------------------------------- cut off


@pytest.mark.parametrize("text_only", [True, False])
def test_a_mind_that_counts_nothing_is_cut_at_the_bound(text_only: bool) -> None:
    call = line(LONG, text_only=text_only)
    call.send(100, "response.create", response={"max_output_tokens": 4}).run(4000)
    done = call.wire.one("response.done")["response"]
    assert (done["status"], done["status_details"]) == (
        "incomplete",
        {"type": "incomplete", "reason": "max_output_tokens"},
    )
    assert [text.strip() for text in texts(done)] == ["a cache keeps what"]
    assert done["output"][0]["status"] == "incomplete"
    assert call.mind.open_streams == 0


def test_a_reply_of_just_that_length_is_whole() -> None:
    call = line("one two three four", text_only=True)
    call.send(100, "response.create", response={"max_output_tokens": 4}).run(4000)
    assert call.wire.one("response.done")["response"]["status"] == "completed"


def test_a_vendor_that_cuts_is_believed() -> None:
    call = line([Token("Well, "), CutShort("content_filter")]).send(100, "response.create").run(3000)
    details = call.wire.one("response.done")["response"]["status_details"]
    assert details == {"type": "incomplete", "reason": "content_filter"}


# ---------------------------------------------------------------- beside the conversation


def test_a_text_beside_the_conversation_leaves_no_trace_and_does_not_wait_for_the_floor() -> None:
    call = talk(LONG, LONG)
    call.send(END + 1500, "response.create", response={**ASIDE, "instructions": "How are they?"}).run(12_000)
    created = call.wire.of("response.created")
    assert [event["response"]["conversation_id"] is None for event in created] == [False, True]
    done = [event["response"] for event in call.wire.of("response.done")]
    aside = next(response for response in done if response["metadata"])
    assert aside["metadata"] == {"topic": "mood"}
    assert [text.strip() for text in texts(aside)] == [LONG]
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
    shown = {event["item"]["id"] for event in call.wire.of("conversation.item.added")}
    assert aside["output"][0]["id"] not in shown
    assert call.mind.asked[-1][0].text == "How are they?"
    assert done[0] == aside, "it is done while the other is spoken"
    assert call.audible(END + 1600, END + 3000) > -30


def test_a_voice_beside_the_conversation_is_heard_and_is_no_turn() -> None:
    call = line("One two three.")
    call.send(100, "response.create", response={"conversation": "none"}).run(4000)
    kinds = types(call.wire.events)
    assert kinds.index("output_audio_buffer.started") < kinds.index("response.done")
    assert kinds[-1] == "output_audio_buffer.stopped"
    assert call.audible(200, 600) > -30
    assert call.texts() == []
    assert {seen.event.phase for seen in call.of(ev.FloorChanged)} == {"listening"}


def test_the_conversation_goes_before_what_is_said_beside_it() -> None:
    call = talk("A small store.", LONG)
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Hm."}]}
    call.send(END - 600, "response.create", response={"conversation": "none", "input": [said]}).run(14_000)
    answer, aside = (event["response"] for event in call.wire.of("response.done"))
    assert (answer["conversation_id"] is None, aside["conversation_id"] is None) == (False, True)
    assert (texts(answer), texts(aside)) == (["A small store."], [LONG])
    assert call.texts() == [("user", QUESTION), ("assistant", "A small store.")]
    started = call.of(ev.AudioStarted)
    assert started[1].at_ms - END <= 300, "nobody waits for what is said beside the conversation"


def test_speaking_does_not_end_what_is_said_beside_the_conversation() -> None:
    call = talk("Yes.", LONG)
    call.mind.replies = [LONG, "Yes."]
    call.send(100, "response.create", response={"conversation": "none"}).run(14_000)
    assert {event["response"]["status"] for event in call.wire.of("response.done")} == {"completed"}


def test_nobody_is_nudged_while_they_listen_to_something() -> None:
    call = line("Hello.", " ".join([LONG] * 5))
    call.send(100, "response.create").send(2000, "response.create", response={"conversation": "none"})
    call.run(26_000)
    assert [role for role, _ in call.texts()] == ["assistant"]


def test_it_is_cancelled_by_its_id_and_by_silence() -> None:
    call = line(LONG, LONG)

    def cancel(session: Any) -> None:
        response_id = call.wire.one("response.created")["response"]["id"]
        call.wire.send(session, {"type": "response.cancel", "response_id": response_id})

    call.send(100, "response.create", response={"conversation": "none"}).at(1500, cancel)
    call.send(2000, "response.create", response={"conversation": "none"})
    call.send(3500, "output_audio_buffer.clear").run(5000)
    first, second = (event["response"] for event in call.wire.of("response.done"))
    assert first["status"] == second["status"] == "cancelled"
    assert call.audible(1600, 1990) < -80
    assert call.audible(3600, 5000) < -80


def test_response_cancel_without_an_id_means_the_conversations() -> None:
    call = line(LONG).send(100, "response.create", response=ASIDE)
    call.mind.token_ms = 200
    call.send(300, "response.cancel").run(6000)
    assert [error["code"] for error in call.wire.errors] == ["response_cancel_not_active"]
    assert call.wire.one("response.done")["response"]["status"] == "completed"


def test_there_is_a_bound_to_what_happens_at_once() -> None:
    call = line(LONG)
    call.mind.token_ms = 100
    for index in range(10):
        call.send(100 + index, "response.create", response=ASIDE)
    call.run(8000)
    assert [error["code"] for error in call.wire.errors] == ["rate_limit_exceeded"] * 2
    assert len(call.wire.of("response.done")) == 8


def test_one_that_fails_says_so_and_costs_nothing_else() -> None:
    error = ProviderError("llm", "fake", "no connection", "unreachable")
    call = line(error).send(100, "response.create", response=ASIDE).run(3000)
    assert call.wire.one("response.done")["response"]["status"] == "failed"


# ---------------------------------------------------------------- usage


def test_the_tokens_of_a_response_are_the_minds_count() -> None:
    call = line("Yes indeed.").send(100, "response.create").run(3000)
    usage = call.wire.one("response.done")["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (10, 2, 12)
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 0}


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_mind_that_does_not_count_or_is_not_heard_out_is_estimated(cancelled: bool) -> None:
    call = line(LONG)
    call.mind.counts = cancelled
    call.mind.token_ms = 200 if cancelled else 0
    call.send(100, "conversation.item.create", **typed("word " * 400)).send(110, "response.create")
    if cancelled:
        call.send(1000, "response.cancel")
    call.run(9000)
    usage = call.wire.one("response.done")["response"]["usage"]
    assert 500 < usage["input_tokens"] < 1500
    assert usage["output_tokens"] == pytest.approx(5 if cancelled else len(LONG) / 4, abs=3)


# ---------------------------------------------------------------- recordings


def recording(text: str = QUESTION) -> Json:
    """As `conversation.item.create` has it: PCM at 24 kHz."""
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    samples = np.concatenate([resampler.push(sounds.speech(text)), resampler.flush()])
    audio = base64.b64encode(samples.astype("<i2").tobytes()).decode()
    return {"item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}}


def test_a_recording_is_transcribed_and_answered_with_its_words() -> None:
    call = line("A store.", ears=Ears([[QUESTION]], delay_ms=800))
    call.send(100, "conversation.item.create", **recording()).send(110, "response.create").run(5000)
    added, done = call.wire.of("conversation.item.added")[0], call.wire.of("conversation.item.done")[0]
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert done["item"]["id"] == added["item"]["id"]
    words = call.wire.one("conversation.item.input_audio_transcription.completed")
    assert (words["item_id"], words["transcript"]) == (added["item"]["id"], QUESTION)
    assert words["usage"]["seconds"] == pytest.approx((END - 500) / 1000, abs=0.05)
    assert call.texts() == [("user", QUESTION), ("assistant", "A store.")]
    assert call.mind.asked[-1][-1].text == QUESTION
    assert call.one(ev.ReplyCreated).at_ms >= 900


def test_a_recording_without_words_stays_where_the_client_put_it() -> None:
    call = line("Pardon?", ears=Ears([[""]]))
    call.send(100, "conversation.item.create", **recording()).send(110, "response.create").run(4000)
    assert call.texts() == [("user", ""), ("assistant", "Pardon?")]


def test_two_recordings_are_both_waited_for() -> None:
    call = line("Both.", ears=Ears([["one"], ["two"]], delay_ms=500))
    call.send(100, "conversation.item.create", **recording())
    call.send(300, "conversation.item.create", **recording()).send(310, "response.create").run(5000)
    assert [message.text for message in call.mind.asked[-1][1:]] == ["one", "two"]


def test_a_response_beside_the_conversation_waits_for_the_words_too() -> None:
    call = line("Both.", ears=Ears([[QUESTION]], delay_ms=500))
    call.send(100, "conversation.item.create", **recording())
    call.send(110, "response.create", response=ASIDE).run(5000)
    assert call.mind.asked[-1][-1].text == QUESTION


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"role": "user", "content": [{"type": "input_audio", "audio": "%%%"}]}, "invalid_value"),
        ({"role": "user", "content": [{"type": "input_audio", "audio": ""}]}, "invalid_value"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, "missing_required_parameter"),
        ({"role": "assistant", "content": [{"type": "input_audio", "audio": "AAAA"}]}, "invalid_value"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}, "unsupported_parameter"),
        ({"type": "mcp_approval_response", "approve": True}, "unsupported_parameter"),
        ({"type": "item_reference", "id": "x"}, "invalid_value"),
        ({"type": "function_call", "call_id": "x", "name": "f"}, "missing_required_parameter"),
    ],
)
def test_an_item_that_cannot_be_made_is_refused(item: Json, code: str) -> None:
    call = line().send(100, "conversation.item.create", item=item).run(400)
    assert [error["code"] for error in call.wire.errors] == [code]
    assert call.texts() == []


def test_a_recording_that_is_too_long_is_refused() -> None:
    call = line()
    call.settings = call.settings.model_validate({"turns": {"longest_utterance_s": 5}})
    audio = base64.b64encode(bytes(2 * 24_000 * 6)).decode()
    item = {"role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    call.send(100, "conversation.item.create", item=item).run(400)
    (error,) = call.wire.errors
    assert "5 s at most" in error["message"]


def test_words_that_were_spoken_elsewhere_are_taken_as_spoken() -> None:
    content = [{"type": "input_audio", "transcript": "hello"}]
    call = line().send(100, "conversation.item.create", item={"role": "user", "content": content}).run(400)
    assert call.wire.one("conversation.item.added")["item"]["content"] == content


# ---------------------------------------------------------------- truncation


def test_a_reply_that_is_over_is_cut_to_the_words_that_were_heard() -> None:
    call = line(LONG).send(100, "response.create")

    def cut(at_ms: int) -> Any:
        def send(session: Any) -> None:
            item = session.items[-1].id
            what = {"item_id": item, "content_index": 0, "audio_end_ms": at_ms}
            call.wire.send(session, {"type": "conversation.item.truncate", **what})

        return send

    call.at(6000, cut(1000)).at(6100, cut(3000)).run(7000)
    assert call.texts() == [("assistant", "a cache keeps what was")]
    truncated = call.wire.one("conversation.item.truncated")
    assert truncated["audio_end_ms"] == 1000
    (error,) = call.wire.errors
    assert error["message"] == "Audio content of 1000ms is already shorter than 3000ms"


def test_a_client_that_stopped_later_than_the_server_keeps_what_the_server_counted() -> None:
    call = line(LONG).send(100, "response.create").send(1000, "response.cancel")

    def cut(session: Any) -> None:
        what = {"item_id": session.items[-1].id, "content_index": 0, "audio_end_ms": 5000}
        call.wire.send(session, {"type": "conversation.item.truncate", **what})

    call.at(1200, cut).run(2000)
    first, again = call.wire.of("conversation.item.truncated")
    assert again["audio_end_ms"] == first["audio_end_ms"]
    assert not call.wire.errors
