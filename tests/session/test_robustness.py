"""What nobody plans for: bugs in plug-ins, streams that hang, commands at awkward moments."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline import events as ev
from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk
from pipeline.errors import CallError
from pipeline.languages import say
from pipeline.providers import Message, Note, ReplyOptions, Token, Usage
from pipeline.session import END_WITHIN_S, Parts, Request, Session
from pipeline.settings import CallSettings, Settings
from tests import virtual
from tests.session.call import Call, Ears, Mind, Voice, silero, speech
from tests.session.wild import Way, WildEars, WildMind, WildVoice
from tests.sounds import silence
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
LONG = "a cache keeps what was asked before so that it need not be fetched again and again by everyone"
QUIET = Settings.model_validate({"turns": {"nudges": 0}})
MANUAL = {"turn_detection": {"kind": "none"}}
PIRATE = Request({"instructions": "Answer like a pirate."}, {"a": "b"})
ASKED_FOR_ONLY = {"turn_detection": {"create_response": False}}


def end_ms(text: str, at_ms: int = 500) -> int:
    return at_ms + 1000 * len(spoken(text)) // 16_000


END = end_ms(QUESTION)


# ---------------------------------------------------------------- plug-ins


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_a_bug_in_a_plug_in_costs_a_turn_never_the_call(stage: str) -> None:
    bug, well = Way(QUESTION, ends="bug"), Way(QUESTION)
    ears = WildEars([bug if stage == "stt" else well, well])
    mind = WildMind([bug if stage == "llm" else Way("Yes."), Way("Here I am."), Way("Here I am.")])
    mind.begun = stage == "stt"  # then the first turn does not come so far
    voice = WildVoice([bug if stage == "tts" else well, well, well, well])
    call = Call(ears, mind, voice, speech(500, QUESTION), speech(9000, QUESTION)).run(16_000)
    (trouble,) = [seen.event for seen in call.of(ev.Trouble)]
    assert (trouble.stage, trouble.code) == (stage, "crashed")
    assert "bug" not in trouble.message
    assert call.texts()[-1] == ("assistant", "Here I am.")
    assert call.audible(9000, 16_000) > -50


def test_a_voice_that_falls_silent_in_mid_sentence_leaves_the_rest_as_a_caption() -> None:
    voice = WildVoice([Way(ends="hang", after=3)])
    call = Call(Ears([[QUESTION]]), Mind([LONG]), voice, speech(500, QUESTION)).run(30_000)
    assert call.texts()[1] == ("assistant", LONG)
    assert call.one(ev.Trouble).event.stage == "tts"
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"
    assert voice.open_streams == 0


def test_a_mind_that_falls_silent_in_mid_reply_ends_it() -> None:
    mind = WildMind([Way(LONG, ends="hang", after=4)])
    call = Call(Ears([[QUESTION]]), mind, Voice(), speech(500, QUESTION), settings=QUIET).run(40_000)
    assert call.texts()[1] == ("assistant", "a cache keeps what")
    assert call.one(ev.ReplyDone).event.status == "failed"
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"
    assert mind.open_streams == 0


def test_a_recogniser_that_hangs_is_closed_and_leaves_nothing_behind() -> None:
    ears = WildEars([Way(ends="hang")])
    call = Call(ears, Mind(["Yes."]), Voice(), speech(500, QUESTION)).run(20_000)
    assert call.one(ev.TranscriptionFailed)
    assert call.one(ev.Trouble).event.code == "timeout"
    assert call.texts()[-1][1] in say("not_caught", "en")
    assert ears.open_streams == 0
    assert len(call.tasks) == 2


def test_whoever_speaks_a_language_that_nobody_here_understands_is_asked_to_type() -> None:
    ears = WildEars([Way(ends="deaf")])
    call = Call(ears, Mind(["Yes."]), Voice(), speech(500, QUESTION)).run(9_000)
    assert call.one(ev.Trouble).event.code == "unsupported_language"
    assert call.texts()[-1][1] in say("deaf", "en")
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"


@dataclass
class Stubborn(Mind):
    """Goes on for ever when it is closed."""

    async def reply(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncIterator[Token | Note | Usage]:
        yield Token("Well ")
        while not self.let_go:
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                self.asked.append([])

    let_go: bool = False


def test_a_stream_that_refuses_to_end_does_not_keep_the_call_alive() -> None:
    async def hang_up() -> float:
        mind = Stubborn(["-"])
        session = Session(Parts(Ears([]), mind, Voice(), silero()), Settings(), CallSettings(mode="chat"))
        life = asyncio.create_task(session.run())
        await asyncio.sleep(0.1)
        session.reply()
        await asyncio.sleep(0.5)
        life.cancel()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(life, return_exceptions=True)
        took = loop.time() - began
        mind.let_go = True
        await asyncio.sleep(3)
        return took

    assert virtual.run(hang_up()) == pytest.approx(END_WITHIN_S)


def test_a_listener_that_fails_costs_an_event_never_a_turn() -> None:
    def fail(event: ev.Event) -> None:
        raise RuntimeError("a bug in the translator")

    call = Call(Ears([[QUESTION]]), Mind(["Yes."]), Voice(), speech(500, QUESTION))
    call.at(100, lambda session: session.attach(fail)).run(6000)
    assert call.texts() == [("user", QUESTION), ("assistant", "Yes.")]


# ---------------------------------------------------------------- words


def test_words_that_come_when_the_person_already_speaks_again_are_kept() -> None:
    first, second = QUESTION, "i mean in a browser please"
    ears = Ears([[first], [second]], delay_ms=1500)
    call = Call(ears, Mind(["I see."]), Voice(), speech(500, first), speech(END + 500, second))
    call.at(END + 150, lambda session: session.commit()).run(12_000)
    assert call.texts() == [("user", first), ("user", second), ("assistant", "I see.")]
    assert [seen.event.text for seen in call.of(ev.Transcribed)] == [first, second]


def test_an_unheard_reply_leaves_no_note() -> None:
    mind = Mind([LONG, "Yes."], first_ms=0, note={"asked": "q1"})
    call = Call(Ears([[QUESTION], ["stop please now"]]), mind, Voice(delay_ms=5000), speech(500, QUESTION))
    call.at(END + 600, lambda session: session.clear_output())
    call.at(END + 700, lambda session: session.reply()).run(8000)
    assert not [message for message in mind.asked[-1] if message.role == "assistant"]


def test_the_id_of_what_is_being_said_cannot_be_taken() -> None:
    refused: list[str] = []

    def take(session: Session) -> None:
        item_id = call.one(ev.SpeechStarted).event.item_id
        with pytest.raises(CallError) as error:
            session.say("mine", item_id)
        refused.append(error.value.code)

    call = Call(Ears([[QUESTION]]), Mind(["Yes."]), Voice(), speech(500, QUESTION))
    call.at(900, take).run(6000)
    assert refused == ["item_id_taken"]
    assert call.texts() == [("user", QUESTION), ("assistant", "Yes.")]


# ---------------------------------------------------------------- who asks for a reply


def test_a_reply_asked_for_in_mid_speech_is_given_with_what_was_asked() -> None:
    mind = Mind(["Yes."])
    call = Call(Ears([[QUESTION]], delay_ms=200), mind, Voice(), speech(500, QUESTION), **ASKED_FOR_ONLY)
    call.at(END + 150, lambda session: session.reply(PIRATE)).run(6000)
    assert call.texts() == [("user", QUESTION), ("assistant", "Yes.")]
    assert call.one(ev.ReplyCreated).event.metadata == {"a": "b"}
    assert mind.asked[-1][0].text == "Answer like a pirate."


def test_without_being_asked_nothing_is_said_to_a_client_that_decides_itself() -> None:
    ears = Ears([[QUESTION], [""]])
    call = Call(
        ears, Mind(["Yes."]), Voice(), speech(500, QUESTION), speech(5000, QUESTION), **ASKED_FOR_ONLY
    )
    call.run(120_000)
    assert not call.of(ev.ReplyCreated)
    assert not call.mind.asked


def test_push_to_talk_commits_and_then_asks_as_clients_do() -> None:
    def talk(session: Session) -> None:
        session.commit()
        session.reply()

    call = Call(Ears([[QUESTION]], delay_ms=300), Mind(["Yes."]), Voice(), speech(500, QUESTION), **MANUAL)
    call.at(END + 3000, talk).run(9000)
    assert call.texts() == [("user", QUESTION), ("assistant", "Yes.")]
    assert len(call.of(ev.ReplyCreated)) == 1
    assert call.first_sound_ms() >= END + 2980


def test_push_to_talk_that_is_never_let_go_ends_with_the_longest_utterance() -> None:
    settings = Settings.model_validate({"turns": {"longest_utterance_s": 10}})
    call = Call(
        Ears([[QUESTION]]), Mind(["Yes."]), Voice(), speech(500, QUESTION), settings=settings, **MANUAL
    )
    call.run(14_000)
    assert call.one(ev.Committed).at_ms == pytest.approx(10_500, abs=200)
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"


def test_what_is_typed_while_somebody_only_makes_a_sound_is_answered() -> None:
    def type_it(session: Session) -> None:
        session.say("hello there")
        session.reply()

    call = Call(Ears([[""]], delay_ms=200), Mind(["Hello."]), Voice(), speech(500, "ah"))
    call.at(700, type_it).run(5000)
    assert call.texts() == [("user", "hello there"), ("assistant", "Hello.")]


def test_a_reply_is_not_prepared_for_a_conversation_that_has_changed() -> None:
    mind = Mind(["Ja."])
    call = Call(Ears([[QUESTION]]), mind, Voice(), speech(500, QUESTION), mode="interview")
    call.at(END + 300, lambda session: session.update({"language": "de"}))
    call.at(END + 400, lambda session: session.say("a note", role="system")).run(6000)
    assert "German" not in mind.asked[0][0].text
    assert [message.text for message in mind.asked[-1][1:]] == ["a note", QUESTION]
    assert len(call.of(ev.ReplyCreated)) == 1


# ---------------------------------------------------------------- awkward moments

OVER = speech(500, QUESTION), speech(4000, LONG)


def test_a_ducked_reply_is_loud_again_when_voices_may_no_longer_touch_it() -> None:
    call = Call(
        Ears([[QUESTION], ["yeah"]]), Mind([LONG]), Voice(), speech(500, QUESTION), speech(4000, LONG)
    )
    call.at(4140, lambda session: session.update(MANUAL)).run(9000)
    assert call.audible(4300, 5000) > -20


def test_clearing_what_nobody_was_told_of_is_acknowledged() -> None:
    call = Call(
        Ears([[QUESTION], ["yeah"]]), Mind([LONG]), Voice(), speech(500, QUESTION), speech(4000, LONG)
    )
    call.at(4200, lambda session: session.clear_input()).run(4400)
    assert call.one(ev.InputCleared)
    assert len(call.of(ev.SpeechStarted)) == 1


def test_a_repetition_that_is_broken_off_leaves_nothing_new() -> None:
    call = Call(Ears([]), Mind([LONG]), Voice()).at(100, lambda session: session.reply())
    call.at(6000, lambda session: session.repeat()).at(7000, lambda session: session.clear_output()).run(9000)
    assert call.texts() == [("assistant", LONG)]


def test_deleting_a_repetition_in_mid_word_is_no_error() -> None:
    call = Call(Ears([]), Mind([LONG]), Voice()).at(100, lambda session: session.reply())
    call.at(6000, lambda session: session.repeat())
    call.at(7000, lambda session: session.delete(session.items[-1].id)).run(9000)
    assert call.texts() == [("assistant", LONG)]
    assert call.audible(7100, 9000) < -80


def test_whoever_speaks_for_too_long_is_told_so_politely_and_not_over_nothing() -> None:
    settings = Settings.model_validate({"turns": {"longest_utterance_s": 10}})
    step = 1000 * len(spoken(LONG)) // 16_000 + 40
    sounds = [speech(500 + step * index, LONG) for index in range(4)]
    call = Call(Ears([[LONG], ["sorry"]]), Mind(["So why?"]), Voice(), *sounds, settings=settings)
    call.run(14_500)
    reply = next(item for item in call.session.items if item.role == "assistant")
    assert reply.text is not None
    assert reply.text.startswith(say("time_up", "en"))
    assert call.audible(10_700, 12_500) > -20


def test_time_to_think_is_not_broken_by_a_nudge() -> None:
    call = Call(Ears([]), Mind(["Hello."]), Voice(), greet=True, mode="interview")
    call.at(100, lambda session: session.greet()).at(15_000, lambda session: session.think()).run(54_000)
    assert len(call.of(ev.ReplyCreated)) == 1


def test_the_time_to_think_that_is_shown_is_the_time_there_is() -> None:
    call = Call(Ears([[QUESTION]], delay_ms=300), Mind(["Hm."]), Voice(), speech(500, QUESTION))
    call.at(END + 150, lambda session: session.think()).run(4000)
    shown = [seen.event for seen in call.of(ev.FloorChanged) if seen.event.why == "think"]
    assert {round(floor.patience_ms / 100) for floor in shown} == {202} or shown[-1].patience_ms > 20_000


# ---------------------------------------------------------------- for long


def test_forty_interruptions_in_a_row_are_forty_turns() -> None:
    every, first = 4000, "i want to ask about that"
    sounds = [speech(500 + every * index, first) for index in range(41)]
    call = Call(Ears([[first]] * 41), Mind([LONG]), Voice(), *sounds, patience=0.5)
    call.run(500 + every * 41)
    cancelled = [seen for seen in call.of(ev.ReplyDone) if seen.event.status == "cancelled"]
    assert len(cancelled) >= 39
    assert len([item for item in call.session.items if item.role == "user"]) >= 36  # some are withdrawn
    assert call.mind.open_streams <= 1
    assert len(call.tasks) <= 4


def test_turns_hold_no_more_memory_than_their_words() -> None:
    """After the first ten, twenty more grow the heap by their items, and by no sound (50 kB a second)."""
    sound = spoken(QUESTION)
    kept: list[int] = []

    async def talk() -> None:
        parts = Parts(Ears([]), Mind(["Yes indeed it is so."]), Voice(), silero())
        session = Session(parts, Settings(), CallSettings(mode="chat", greet=False))
        parts.ears.turns = _Endless()  # type: ignore[attr-defined]
        life = asyncio.create_task(session.run())
        await asyncio.sleep(0)
        at = 0
        for turn in range(30):
            for piece in (sound, silence(1500)):
                for start in range(0, len(piece) - MIC_CHUNK + 1, MIC_CHUNK):
                    await asyncio.sleep(0.02)
                    session.hear(AudioChunk(piece[start : start + MIC_CHUNK], MIC_RATE, at))
                    session.read(480)
                    at += MIC_CHUNK
            if turn in (9, 29):
                kept.append(tracemalloc.get_traced_memory()[0])
        assert len(session.items) >= 30
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)

    tracemalloc.start()
    try:
        virtual.run(talk())
    finally:
        tracemalloc.stop()
    assert kept[1] - kept[0] < 20 * 20_000


class _Endless(list[list[str]]):
    def __bool__(self) -> bool:
        return True

    def pop(self, index: Any = -1) -> list[str]:
        return [QUESTION]
