"""The conversation as a whole: exact times, because its clock is the microphone's."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from pipeline import events as ev
from pipeline.errors import CallError, ProviderError
from pipeline.settings import Settings
from tests.session.call import Call, Ears, Mind, Sound, Voice, speech
from tests.sounds import click, quieter
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"


def length_ms(text: str) -> int:
    return 1000 * len(spoken(text)) // 16_000


def test_a_question_is_answered_when_patience_is_over() -> None:
    call = Call(Ears([[QUESTION]]), Mind(["A small fast store."]), Voice(), speech(500, QUESTION)).run(5000)
    end = 500 + length_ms(QUESTION)
    assert call.texts() == [("user", QUESTION), ("assistant", "A small fast store.")]
    assert 200 <= call.first_sound_ms() - end <= 240 + 60
    kinds = [type(seen.event).__name__ for seen in call.events]
    expected = ["SpeechStarted", "SpeechStopped", "Committed", "ItemAdded", "ItemDone", "Transcribed"]
    expected += ["ReplyCreated", "ReplyItemAdded", "AudioStarted", "ReplyDone", "AudioStopped"]
    assert [kind for kind in kinds if kind in expected] == expected


def test_the_reply_is_prepared_while_the_pause_is_judged() -> None:
    mind, voice = Mind(["A small fast store."], first_ms=60), Voice(delay_ms=60)
    call = Call(Ears([[QUESTION]]), mind, voice, speech(500, QUESTION)).run(5000)
    assert call.first_sound_ms() - (500 + length_ms(QUESTION)) <= 240 + 60
    assert call.one(ev.TurnMeasured).event.figures["prepared"] is True


def test_a_turn_explains_itself_in_an_event_in_the_log_and_with_its_item(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="pipeline.session"):
        call = Call(Ears([[QUESTION]]), Mind([LONG]), Voice(), speech(500, QUESTION)).run(12_000)
    figures = call.one(ev.TurnMeasured).event.figures
    assert figures["judged"] == "question"
    assert figures["patience_ms"] == pytest.approx(240, abs=20)
    moments = ["paused", "final", "first_token", "first_phrase", "first_audio", "released", "first_sample"]
    times = [figures[f"{moment}_ms"] for moment in moments]
    assert times == sorted(times)
    assert call.session.items[0].figures == figures
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("turn ")]
    assert json.loads(line.removeprefix("turn "))["patience_ms"] == figures["patience_ms"]
    assert "cache" not in line, "nobody's words are in the log"


def test_without_speculation_the_model_is_asked_only_when_the_turn_is_over() -> None:
    settings = Settings.model_validate({"turns": {"speculate": False}})
    mind = Mind(["A small fast store."], first_ms=300)
    call = Call(Ears([[QUESTION]]), mind, Voice(), speech(500, QUESTION), settings=settings).run(5000)
    assert call.first_sound_ms() - (500 + length_ms(QUESTION)) >= 540
    assert len(mind.asked) == 1
    assert call.one(ev.TurnMeasured).event.figures["prepared"] is False


def test_someone_who_hesitates_after_because_is_not_cut_off() -> None:
    first, second = "i would use a cache because", "the database is slow"
    gap = 1200
    ears = Ears([[first, f"{first} {second}"]])
    second_at = 500 + length_ms(first) + gap
    call = Call(ears, Mind(["Good."]), Voice(), speech(500, first), speech(second_at, second)).run(9000)
    assert call.texts() == [("user", f"{first} {second}"), ("assistant", "Good.")]
    assert call.first_sound_ms() > second_at + length_ms(second) + 240
    reasons = [seen.event.why for seen in call.of(ev.FloorChanged) if seen.event.phase == "paused"]
    assert "hanging" in reasons


def test_what_was_prepared_is_thrown_away_when_speech_goes_on() -> None:
    first, second = "i would put it in memory", "and in redis too"
    ears = Ears([[first, f"{first} {second}"]])
    mind = Mind(["Good choice."])
    second_at = 500 + length_ms(first) + 400
    call = Call(ears, mind, Voice(), speech(500, first), speech(second_at, second)).run(9000)
    assert mind.asked[0][-1].text == first
    assert {messages[-1].text for messages in mind.asked[1:]} == {f"{first} {second}"}
    assert mind.open_streams == 0
    assert call.texts() == [("user", f"{first} {second}"), ("assistant", "Good choice.")]
    assert call.one(ev.TurnMeasured).event.figures["wasted_tokens"] > 0


def test_once_known_how_long_it_takes_a_reply_is_prepared_no_earlier() -> None:
    statement = "i would put it in memory"
    second_at = 12_000
    mind = Mind(["Good choice.", "I see."], first_ms=300)
    sounds = speech(500, statement), speech(second_at, statement)
    call = Call(Ears([[statement], [statement]]), mind, Voice(), *sounds, mode="interview")
    asked: list[tuple[int, int]] = []
    for at_ms in range(0, 20_000, 20):
        call.at(at_ms, lambda session, at_ms=at_ms: asked.append((at_ms, len(mind.asked))))
    call.run(20_000)
    first, second = (next(at for at, count in asked if count == number) for number in (1, 2))
    length = length_ms(statement)
    assert first - (500 + length) <= 200
    assert 1_000 <= second - (second_at + length) <= 1_300
    waits = [call.first_sound_ms(after_ms=at + length) - (at + length) for at in (500, second_at)]
    assert abs(waits[0] - waits[1]) <= 20


def test_going_on_as_the_reply_begins_withdraws_it_without_a_trace() -> None:
    first, second = QUESTION, "i mean in a browser"
    ears = Ears([[first], [second]])
    end = 500 + length_ms(first)
    call = Call(ears, Mind([LONG]), Voice(), speech(500, first), speech(end + 400, second)).run(14_000)
    assert call.texts()[0] == ("user", f"{first} {second}")
    assert [role for role, _ in call.texts()] == ["user", "assistant"]
    assert len(call.of(ev.ItemDeleted)) == 2
    assert call.audible(end + 400 + 250, end + 400 + length_ms(second)) < -80


def test_speaking_over_the_reply_stops_it_within_300_ms() -> None:
    interruption = "wait i have another question about that"
    at = 4000
    ears = Ears([[QUESTION], [interruption]])
    mind = Mind([LONG, "Of course."])
    call = Call(ears, mind, Voice(), speech(500, QUESTION), speech(at, interruption)).run(12_000)
    assert call.audible(at - 100, at) > -30
    assert call.last_sound_ms(before_ms=at + length_ms(interruption)) - at <= 300
    heard = call.texts()[1][1]
    assert heard
    assert LONG.startswith(heard)
    assert heard != LONG
    said_words = (at - call.first_sound_ms()) // 200
    assert abs(len(heard.split()) - said_words) <= 2
    assert mind.asked[-1][-1].text == f"[INTERRUPTED] {interruption}"
    assert mind.open_streams == 0
    done = call.of(ev.ReplyDone)[0].event
    assert (done.status, done.reason) == ("cancelled", "turn_detected")


@pytest.mark.parametrize("word", ["yeah", "okay", "right"])
def test_a_backchannel_leaves_the_reply_whole(word: str) -> None:
    at = 4000
    ears = Ears([[QUESTION], [word]])
    call = Call(ears, Mind([LONG]), Voice(), speech(500, QUESTION), speech(at, word)).run(16_000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
    assert call.first_sound_ms(after_ms=at + length_ms(word)) - (at + length_ms(word)) <= 300
    assert len(call.of(ev.SpeechStarted)) == 1


def test_a_laugh_leaves_the_reply_whole_however_hearty() -> None:
    at, laugh = 4000, "ha ha ha ha ha"
    assert 800 <= length_ms(laugh) <= 1400
    ears = Ears([[QUESTION], [""]], delay_ms=60)
    call = Call(ears, Mind([LONG]), Voice(), speech(500, QUESTION), speech(at, laugh)).run(16_000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
    assert call.first_sound_ms(after_ms=at + length_ms(laugh)) - (at + length_ms(laugh)) <= 300


def test_what_is_said_after_the_words_were_asked_for_is_not_lost() -> None:
    at, said = 4000, "well i do not think that this is right at all"
    ears = Ears([[QUESTION], ["well", said]], delay_ms=60)
    sounds = speech(500, QUESTION), speech(at, said)
    call = Call(ears, Mind([LONG, "Why?"]), Voice(), *sounds)
    call.at(at + length_ms(said) - 200, lambda session: session.commit()).run(12_000)
    assert [text for role, text in call.texts() if role == "user"] == [QUESTION, said]


def test_a_click_during_a_reply_neither_cuts_nor_repeats_it() -> None:
    call = Call(Ears([[QUESTION]]), Mind([LONG]), Voice(), speech(500, QUESTION), Sound(4000, click())).run(
        12_000
    )
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]


def test_quiet_speech_is_heard() -> None:
    sound = Sound(500, quieter(spoken(QUESTION), 20))
    call = Call(Ears([[QUESTION]]), Mind(["Hm."]), Voice(), sound).run(4000)
    assert call.texts()[0] == ("user", QUESTION)


def test_the_greeting_comes_first_and_once() -> None:
    call = Call(Ears([]), Mind(["Hello, and welcome."]), Voice(), greet=True)
    call.at(100, lambda session: session.greet()).at(200, lambda session: session.greet()).run(3000)
    assert call.texts() == [("assistant", "Hello, and welcome.")]
    assert [message.role for message in call.mind.asked[0]] == ["system"]


def test_typing_works_as_well_as_speaking() -> None:
    def type_it(session: object) -> None:
        session.say("what is a cache")
        session.reply()

    call = Call(Ears([]), Mind(["A small fast store."]), Voice()).at(100, type_it).run(3000)
    assert call.texts() == [("user", "what is a cache"), ("assistant", "A small fast store.")]


def test_asking_twice_at_once_is_refused_with_a_reason() -> None:
    refused = []

    def ask(session: object) -> None:
        try:
            session.reply()
        except CallError as error:
            refused.append(error.code)

    Call(Ears([]), Mind(["Yes."]), Voice()).at(100, ask).at(150, ask).run(2000)
    assert refused == ["conversation_already_has_active_response"]


def test_i_am_done_ends_the_turn_without_a_wait() -> None:
    call = Call(Ears([[QUESTION]]), Mind(["Sure."]), Voice(), speech(500, QUESTION), mode="interview")
    end = 500 + length_ms(QUESTION)
    call.at(end + 150, lambda session: session.commit()).run(4000)
    assert call.first_sound_ms() <= end + 150 + 60


def test_the_interview_waits_longer_than_the_chat() -> None:
    call = Call(Ears([[QUESTION]]), Mind(["Sure."]), Voice(), speech(500, QUESTION), mode="interview")
    call.run(6000)
    assert 960 <= call.first_sound_ms() - (500 + length_ms(QUESTION)) <= 1060


def test_a_failed_mind_costs_a_turn_never_the_call() -> None:
    second = "can you say that again"
    mind = Mind([ProviderError("llm", "fake", "no connection", "unreachable"), "Here I am."])
    ears = Ears([[QUESTION], [second]])
    call = Call(ears, mind, Voice(), speech(500, QUESTION), speech(8000, second)).run(12_000)
    trouble = call.of(ev.Trouble)[0].event
    assert (trouble.stage, trouble.code) == ("llm", "unreachable")
    assert call.of(ev.ReplyDone)[0].event.status == "failed"
    assert call.texts()[1][1].lower().startswith(("sorry", "i'm sorry"))
    assert call.texts()[-1] == ("assistant", "Here I am.")


def test_a_failed_recogniser_is_said_and_the_call_goes_on() -> None:
    ears = Ears([[QUESTION]], error=ProviderError("stt", "fake", "crashed", "crashed"))
    call = Call(ears, Mind(["Yes."]), Voice(), speech(500, QUESTION)).run(6000)
    assert call.one(ev.TranscriptionFailed)
    assert call.of(ev.Trouble)[0].event.stage == "stt"
    assert call.first_sound_ms() > 0


def test_a_voice_that_dies_leaves_the_rest_as_a_caption() -> None:
    mind = Mind(["The first sentence is here. The second one is never spoken."])
    call = Call(Ears([[QUESTION]]), mind, Voice(fails_after=1), speech(500, QUESTION)).run(6000)
    assert call.texts()[1][1] == "The first sentence is here. The second one is never spoken."
    assert call.of(ev.Trouble)[0].event.stage == "tts"


def test_a_recogniser_that_never_answers_does_not_hang_the_turn() -> None:
    ears = Ears([[QUESTION]], delay_ms=60_000)
    call = Call(ears, Mind(["Yes."]), Voice(), speech(500, QUESTION)).run(20_000)
    assert (
        "catch" in call.texts()[-1][1]
        or "missed" in call.texts()[-1][1]
        or "once more" in call.texts()[-1][1]
    )


def test_a_mind_that_keeps_one_waiting_gets_a_filler_then_an_apology() -> None:
    call = Call(Ears([[QUESTION]]), Mind(["Late."], first_ms=60_000), Voice(), speech(500, QUESTION)).run(
        30_000
    )
    phrases = [seen.at_ms for seen in call.of(ev.PhraseStarted)]
    assert len(phrases) == 2
    assert 6000 <= phrases[0] - (500 + length_ms(QUESTION)) <= 6500
    assert 20_000 <= phrases[1] - (500 + length_ms(QUESTION)) <= 20_500
    assert call.of(ev.Trouble)[0].event.code == "timeout"
    assert call.session.items[-1].status == "completed"


def test_nothing_of_a_call_is_left_when_it_ends() -> None:
    ears = Ears([[QUESTION]])
    call = Call(ears, Mind([LONG], token_ms=500), Voice(), speech(500, QUESTION)).run(3000)
    assert call.mind.open_streams == 0
    assert ears.closed == 1


def test_captions_pass_with_their_words() -> None:
    call = Call(Ears([]), Mind(["One two three."]), Voice()).at(100, lambda s: s.reply()).run(3000)
    heard = call.of(ev.Heard)
    assert "".join(seen.event.text for seen in heard) == "One two three."
    gaps = [b.at_ms - a.at_ms for a, b in pairwise(heard)]
    assert gaps == [200, 200]


def test_words_of_a_voice_without_marks_are_spread_over_its_sound() -> None:
    call = Call(Ears([]), Mind(["One two three four five six."]), Voice(marks=False))
    call.at(100, lambda s: s.reply()).run(4000)
    heard = call.of(ev.Heard)
    assert len(heard) == 6
    assert 800 <= heard[-1].at_ms - heard[0].at_ms <= 1100


def test_twenty_minutes_of_talk_keep_time_and_do_not_grow() -> None:
    turns, every = 60, 6000
    sounds = [speech(500 + every * turn, QUESTION) for turn in range(turns)]
    call = Call(Ears([[QUESTION] for _ in range(turns)]), Mind(["Yes."]), Voice(), *sounds).run(every * turns)
    answers = [seen.at_ms for seen in call.of(ev.AudioStarted)]
    assert len(answers) == turns
    late = {at - every * turn for turn, at in enumerate(answers)}
    assert max(late) - min(late) <= 20
    assert len(call.tasks) == 2, "the driver's own task and the session's: every turn's have ended"


def test_silence_is_met_with_two_nudges_and_no_more() -> None:
    call = Call(Ears([]), Mind(["Hello."]), Voice(), greet=True, mode="interview")
    call.at(100, lambda session: session.greet()).run(200_000)
    said = [seen.at_ms for seen in call.of(ev.ReplyCreated)]
    assert len(said) == 3
    assert 20_000 <= said[1] <= 21_500
    assert 80_000 <= said[2] <= 84_000


def test_a_nudge_does_not_make_the_mind_forget() -> None:
    mind = Mind(["Hello.", "Good.", "Good."], note={"asked": "q1"})
    call = Call(Ears([[QUESTION]]), mind, Voice(), speech(30_000, QUESTION), greet=True, mode="interview")
    call.at(100, lambda session: session.greet()).run(36_000)
    last = [message for message in mind.asked[-1] if message.role == "assistant"][-1]
    assert last.note == {"asked": "q1"}


def test_give_me_a_moment_is_understood_when_spoken() -> None:
    wait, answer = "give me a moment", "i would use a cache"
    back_at = 10_000
    ears = Ears([[wait, f"{wait} {answer}"]])
    call = Call(ears, Mind(["Good."]), Voice(), speech(500, wait), speech(back_at, answer)).run(16_000)
    assert call.texts() == [("user", f"{wait} {answer}"), ("assistant", "Good.")]
    assert call.first_sound_ms() > back_at


def test_who_pauses_long_inside_three_answers_gets_more_time() -> None:
    first, second = "i worked there because", "it was near"
    sounds, finals = [], []
    for turn in range(3):
        at = 500 + turn * 12_000
        sounds += [speech(at, first), speech(at + length_ms(first) + 1500, second)]
        finals.append([first, f"{first} {second}"])
    sounds.append(speech(40_000, QUESTION))
    call = Call(Ears([*finals, [QUESTION]]), Mind(["Yes."]), Voice(), *sounds).run(46_000)
    wait_ms = call.first_sound_ms(after_ms=40_000) - (40_000 + length_ms(QUESTION))
    assert 1700 <= wait_ms <= 2000


def test_a_long_answer_in_an_interview_is_met_with_a_quiet_mhm_that_is_nobodys_turn() -> None:
    part = "i moved the service and then i changed the database and the cache and the queue because"
    step = length_ms(part) + 900
    sounds = [speech(500 + step * n, part) for n in range(4)]
    call = Call(Ears([[part]]), Mind(["Good."]), Voice(), *sounds, mode="interview").run(500 + 4 * step + 500)
    assert 1 <= call.voice.spoken.count("Mm-hm.") <= 3
    assert len(call.of(ev.SpeechStarted)) == 1
    assert not call.of(ev.ReplyCreated)
    assert not [item for item in call.session.items if item.role == "assistant"]


def test_the_chat_partner_does_not_murmur_by_default() -> None:
    part = "i moved the service and then i changed the database and the cache and the queue because"
    step = length_ms(part) + 900
    sounds = [speech(500 + step * n, part) for n in range(4)]
    call = Call(Ears([[part]]), Mind(["Good."]), Voice(), *sounds).run(500 + 4 * step + 500)
    assert "Mm-hm." not in call.voice.spoken


def test_words_still_on_their_way_when_speech_goes_on_are_not_lost() -> None:
    first, second = QUESTION, "i mean in a browser"
    end = 500 + length_ms(first)
    ears = Ears([[first], [second]], delay_ms=1_200)
    call = Call(ears, Mind(["I see."]), Voice(), speech(500, first), speech(end + 900, second)).run(9_000)
    assert call.texts() == [("user", f"{first} {second}"), ("assistant", "I see.")]


def test_an_item_the_client_deletes_while_its_words_are_awaited_ends_nothing() -> None:
    ears = Ears([[QUESTION]], delay_ms=1_500)
    call = Call(ears, Mind(["I see."]), Voice(), speech(500, QUESTION))
    call.at(500 + length_ms(QUESTION) + 900, lambda session: session.delete(session.items[0].id))
    call.run(6_000)
    assert call.texts() == [("assistant", "I see.")]
    assert not call.of(ev.Transcribed)


def test_asked_to_speak_more_slowly_the_voice_does() -> None:
    call = Call(Ears([["slow down please"]]), Mind(["Sure."]), Voice(), speech(500, "slow down please")).run(
        5_000
    )
    assert call.session.call.speed == 0.85
    assert call.voice.styles[-1].rate < 0.9


def test_the_patience_shown_does_not_jump_when_the_words_come_at_once() -> None:
    text = "i put it in the memory of"
    ears = Ears([[text]])
    call = Call(ears, Mind(["Sure."]), Voice(), speech(500, text), mode="interview").run(6_000)
    pauses = [seen.event for seen in call.of(ev.FloorChanged) if seen.event.phase == "paused"]
    assert [(pause.patience_ms, pause.why) for pause in pauses] == [(3000, "hanging")]


def test_with_a_slow_recogniser_the_pause_is_shown_by_what_is_known() -> None:
    ears = Ears([[QUESTION]], delay_ms=500)
    call = Call(ears, Mind(["Sure."]), Voice(), speech(500, QUESTION), mode="interview").run(6_000)
    pauses = [seen for seen in call.of(ev.FloorChanged) if seen.event.phase == "paused"]
    assert [pause.event.why for pause in pauses] == ["neutral", "question"]
    assert pauses[0].at_ms - (500 + length_ms(QUESTION)) <= 200


@pytest.mark.parametrize(
    ("heard", "better", "confidence"),
    [("pop pop", "pop pop", 0.02), ("i", "i", 1.0), ("bride", "right", 0.9), ("ha", "", 0.0)],
)
def test_words_that_a_first_look_heard_in_a_laugh_do_not_kill_a_reply(
    heard: str, better: str, confidence: float
) -> None:
    at = 4000
    ears = Ears([[QUESTION], [heard]], full_pass=True, second_look={heard: (better, confidence)})
    call = Call(ears, Mind([LONG]), Voice(), speech(500, QUESTION), speech(at, "right right", "slt"))
    call.run(16_000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]


def test_a_short_word_that_the_second_look_is_sure_of_ends_a_reply() -> None:
    ears = Ears([[QUESTION], ["what about databases"]], full_pass=True)
    over = speech(4000, "what about databases")
    call = Call(ears, Mind([LONG, "Well."]), Voice(), speech(500, QUESTION), over).run(12_000)
    assert call.texts()[-2:] == [("user", "what about databases"), ("assistant", "Well.")]


def test_laughter_longer_than_a_word_waits_for_the_better_look() -> None:
    at, sound = 4000, "right right right"
    assert 900 < length_ms(sound) < 1300
    ears = Ears(
        [[QUESTION], ["pop pop pop"]], full_pass=True, second_look={"pop pop pop": ("pop pop pop", 0.02)}
    )
    ears.second_look_ms = 300
    call = Call(ears, Mind([LONG]), Voice(), speech(500, QUESTION), speech(at, sound)).run(16_000)
    assert call.texts() == [("user", QUESTION), ("assistant", LONG)]
