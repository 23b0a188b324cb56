"""What people complain about most in voice agents, one test each. The details are in the files around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from bench import noises
from pipeline import events as ev
from pipeline.audio import AudioChunk
from pipeline.providers import Pause, Transcript, Word
from tests.room import Room
from tests.session.agent_voice import FliteVoice
from tests.session.call import Call, Ears, Mind, Sound, Voice, speech
from tests.sounds import speech as spoken

QUESTION = "what is a cache"
REPLY = "A cache keeps what was asked before so that it need not be fetched again and again by everyone."
BEGUN = "i would put a cache in front of it because"
REST = "the database is slow"


def length_ms(text: str) -> int:
    return 1000 * len(spoken(text)) // 16_000


@pytest.mark.parametrize("pause_ms", [400, 900, 1500])
@pytest.mark.parametrize("mode", ["chat", "interview"])
def test_the_agent_does_not_talk_over_a_speaker_who_hesitates(mode: str, pause_ms: int) -> None:
    rest_at = 500 + length_ms(BEGUN) + pause_ms
    ears = Ears([[BEGUN, f"{BEGUN} {REST}"]])
    call = Call(ears, Mind(["I see."]), Voice(), speech(500, BEGUN), speech(rest_at, REST), mode=mode)
    call.run(rest_at + 8_000)
    assert call.first_sound_ms() > rest_at + length_ms(REST)
    assert call.texts() == [("user", f"{BEGUN} {REST}"), ("assistant", "I see.")]


@pytest.mark.parametrize("seed", range(4))
def test_a_cough_does_not_kill_a_reply(seed: int) -> None:
    cough = Sound(4_000, noises.make("cough", seed, -22))
    call = Call(Ears([[QUESTION], [""]]), Mind([REPLY]), Voice(), speech(500, QUESTION), cough).run(14_000)
    assert call.texts() == [("user", QUESTION), ("assistant", REPLY)]
    assert call.one(ev.ReplyDone).event.status == "completed"
    assert not call.of(ev.AudioCleared, ev.ItemTruncated)


def test_a_laugh_is_over_and_the_reply_goes_on_though_a_slow_recogniser_has_yet_to_say_what_it_was() -> None:
    laugh = noises.make("laugh", 2, -22)
    ends = 4_000 + len(laugh) // 16
    ears = Ears([[QUESTION], ["up up up"]], full_pass=True, second_look={"up up up": ("", 0.0)})
    ears.second_look_ms = 700
    call = Call(ears, Mind([REPLY]), Voice(), speech(500, QUESTION), Sound(4_000, laugh)).run(14_000)
    assert call.audible(ends - 100, ends) < -60, "it was held"
    assert call.audible(ends + 300, ends + 600) > -20
    assert call.texts() == [("user", QUESTION), ("assistant", REPLY)]


class Hasty(Ears):
    """Takes the beginning of what is said for "but", until it has heard more."""

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        yield Transcript("partial", "but", sure=0, words=(Word("but", 0, 0, 1.0),))
        async for transcript in super().transcribe(audio, language=language, hints=hints):
            yield transcript


def test_a_guess_of_the_recogniser_that_it_takes_back_does_not_kill_a_reply() -> None:
    ears = Hasty([[QUESTION], ["uh huh"]])
    call = Call(ears, Mind([REPLY]), Voice(), speech(500, QUESTION), speech(4_000, "uh huh")).run(14_000)
    assert call.texts() == [("user", QUESTION), ("assistant", REPLY)]


def test_an_echo_does_not_make_the_agent_interrupt_itself() -> None:
    ears = Ears([[QUESTION] for _ in range(9)])  # whatever is taken for somebody has words that interrupt
    call = Call(ears, Mind([REPLY, "I see."]), FliteVoice(), room=Room(-12, 120))
    call.at(300, lambda session: session.reply()).run(12_000)
    assert call.texts() == [("assistant", REPLY)]
    assert not call.of(ev.SpeechStarted, ev.AudioCleared, ev.ItemTruncated)


@pytest.mark.parametrize("words", ["", "i would put a cache in front of it because", QUESTION])
def test_every_turn_ends(words: str) -> None:
    """Nothing understood, left hanging, or complete: each has its answer, or its "I didn't catch that"."""
    call = Call(Ears([[words]]), Mind([REPLY]), Voice(), speech(500, QUESTION)).run(16_000)
    ended = 500 + length_ms(QUESTION)
    assert call.first_sound_ms(ended) - ended <= 8_500
    assert call.of(ev.FloorChanged)[-1].event.phase == "listening"


def test_the_history_holds_no_word_that_nobody_heard() -> None:
    over_at = 500 + length_ms(QUESTION) + 2_000
    sounds = speech(500, QUESTION), speech(over_at, "no that is not what i meant")
    mind = Mind([REPLY, "Sorry."])
    call = Call(Ears([[QUESTION], ["no that is not what i meant"]]), mind, Voice(), *sounds).run(14_000)
    cut = call.one(ev.ItemTruncated).event
    heard = call.session.items[1].text
    assert heard == cut.text
    assert REPLY.startswith(heard.strip())
    assert 0 < len(heard) < len(REPLY) - 20
    told = [message.text for message in mind.asked[-1] if message.role == "assistant"]
    assert told == [heard], "and the model is told no more than that"


@pytest.mark.parametrize(
    ("sound", "before_ms", "words"),
    [
        (noises.make("murmur", 3, -22), 160, "Mm-hmm."),  # it outlasts the reply
        (spoken("all right"), 800, "Mm-hmm."),  # only its words come too late
        (spoken("all right"), 800, "All right."),
    ],
    ids=["murmur at the end", "slow murmur", "slow words"],
)
def test_a_listener_whose_words_come_when_the_reply_is_over_has_said_nothing(
    sound: np.ndarray, before_ms: int, words: str
) -> None:
    ears = Ears([[QUESTION], [words]], delay_ms=900)
    call = Call(ears, Mind([REPLY, "Go on."]), Voice(), *over(sound, before_ms)).run(14_000)
    assert call.texts() == [("user", QUESTION), ("assistant", REPLY)]
    assert len(call.of(ev.SpeechStarted)) == 2, "the reply was over"


@pytest.mark.parametrize(
    ("said", "before_ms", "words"),
    [
        ("all right", 60, "All right."),  # may be the answer
        (QUESTION, 160, "Hm, I would say Java."),
    ],
)
def test_an_answer_that_begins_over_the_end_of_a_reply_is_one(said: str, before_ms: int, words: str) -> None:
    ears = Ears([[QUESTION], [words]], delay_ms=900)
    call = Call(ears, Mind([REPLY, "I see."]), Voice(), *over(spoken(said), before_ms)).run(14_000)
    assert call.texts()[2:] == [("user", words), ("assistant", "I see.")]


def over(sound: np.ndarray, before_ms: int) -> tuple[Sound, Sound]:
    """The question, and a sound that begins so long before the end of the reply to it."""
    question = speech(500, QUESTION)
    alone = Call(Ears([[QUESTION]], delay_ms=900), Mind([REPLY]), Voice(), question).run(9_000)
    return question, Sound(alone.one(ev.AudioStopped).at_ms - before_ms, sound)
