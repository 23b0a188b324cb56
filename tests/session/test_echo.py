"""A laptop without echo cancellation: the agent's own voice, real speech, comes back into the microphone."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import events as ev
from tests import sounds
from tests.room import Room
from tests.session.agent_voice import FliteVoice
from tests.session.call import Call, Ears, Mind, Sound

REPLY = (
    "Thank you for coming in today. I would like to start with a simple question. "
    "Tell me about a project that you are proud of and what your own part in it was."
)
WORDS = "no wait i have a question about the salary and the hours"


def call(*said: Sound, room: Room | None) -> Call:
    """The agent speaks from 300 ms on; whatever the gate takes for somebody has words that interrupt."""
    ears = Ears([[WORDS] for _ in range(9)])
    made = Call(ears, Mind([REPLY, "I see."]), FliteVoice(), *said, room=room)
    return made.at(300, lambda session: session.reply())


def silent_after_ms(made: Call, at_ms: int) -> int:
    """From the voice's first sample to the reply's last sound."""
    cut = made.of(ev.ItemTruncated)[0].at_ms
    assert cut >= at_ms, "interrupted before anybody spoke"
    return made.last_sound_ms(before_ms=cut + 40) - at_ms


ROOMS = {
    "a clean room": {},
    "a loudspeaker that clips": {"clip": 0.2},
    "a clock 200 ppm off": {"drift_ppm": 200},
    "a noisy room": {"noise_db": -50},
    "packets lost": {"lost": 0.01},
    "a loudspeaker driven 6 dB too hard": {"clip": 0.1},
    "a loudspeaker driven 15 dB too hard": {"clip": 0.03},
}


@pytest.mark.parametrize("delay_ms", [20, 120, 300, 480])
@pytest.mark.parametrize(
    ("gain_db", "room"), list(zip([-6, -12, -20, -30, -12, -6, -12], ROOMS, strict=True))
)
def test_the_agent_does_not_interrupt_itself(gain_db: int, delay_ms: int, room: str) -> None:
    heard = call(room=Room(gain_db, delay_ms, **ROOMS[room])).run(12_000)
    assert heard.texts() == [("assistant", REPLY)], "heard whole, and nobody's turn follows"
    assert not heard.of(ev.ItemTruncated, ev.SpeechStarted, ev.AudioCleared)


@pytest.mark.parametrize("voice", ["rms", "awb", "kal"])
@pytest.mark.parametrize("at_ms", [2600, 4300])
def test_a_voice_over_a_faint_echo_silences_the_reply(voice: str, at_ms: int) -> None:
    said = Sound(at_ms, sounds.speech(WORDS, voice))
    heard = call(said, room=Room(-20, 160)).run(at_ms + 3000)
    assert silent_after_ms(heard, at_ms) <= 400


@pytest.mark.parametrize("voice", ["rms", "awb", "kal"])
@pytest.mark.parametrize("at_ms", [2600, 4300])
def test_a_voice_no_louder_than_the_echo_silences_the_reply(voice: str, at_ms: int) -> None:
    said = Sound(at_ms, sounds.at_level(sounds.speech(WORDS, voice) / 32768, -26))
    heard = call(said, room=Room(-6, 160)).run(at_ms + 3000)
    assert silent_after_ms(heard, at_ms) <= 400


@pytest.mark.parametrize("voice", ["rms", "awb", "kal"])
@pytest.mark.parametrize("at_ms", [2600, 4300])
def test_a_voice_over_an_overdriven_loudspeaker_silences_the_reply(voice: str, at_ms: int) -> None:
    said = Sound(at_ms, sounds.at_level(sounds.speech(WORDS, voice) / 32768, -26))
    heard = call(said, room=Room(-6, 160, clip=0.06)).run(at_ms + 3000)
    assert silent_after_ms(heard, at_ms) <= 560


@pytest.mark.parametrize(("words", "interrupts"), [("a simple question", False), ("a simple answer", True)])
@pytest.mark.parametrize("echoes", [True, False])
def test_words_that_the_reply_has_just_said_are_its_own_where_it_comes_back(
    words: str, interrupts: bool, echoes: bool
) -> None:
    said = Sound(4300, sounds.speech("hold on", "awb"))
    ears = Ears([[words] for _ in range(9)])
    made = Call(ears, Mind([REPLY, "I see."]), FliteVoice(), said, room=Room(-20, 160) if echoes else None)
    heard = made.at(300, lambda session: session.reply()).run(8000)
    assert ears.told, "the recogniser was asked"
    assert bool(heard.of(ev.ItemTruncated)) == (interrupts or not echoes)


@pytest.mark.parametrize("at_ms", [1500, 2600, 4300])
def test_without_an_echo_the_guard_changes_nothing(at_ms: int) -> None:
    said = Sound(at_ms, sounds.speech(WORDS, "awb"))
    guarded = call(said, room=None).run(at_ms + 3000)
    assert silent_after_ms(guarded, at_ms) <= 330
    plain = call(said, room=None)
    plain.settings = plain.settings.model_copy(
        update={"turns": plain.settings.turns.model_copy(update={"echo_guard": False})}
    )
    assert np.array_equal(plain.run(at_ms + 3000).out, guarded.out)


def test_without_the_guard_the_agent_does_interrupt_itself() -> None:
    made = call(room=Room(-12, 120))
    made.settings = made.settings.model_copy(
        update={"turns": made.settings.turns.model_copy(update={"echo_guard": False})}
    )
    assert made.run(6000).of(ev.ItemTruncated)
