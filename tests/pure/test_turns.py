"""The floor as a table: every phase with every event, and what must hold whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import commands, turns
from pipeline.settings import TurnSettings
from pipeline.turns import TABLE, Judged, Phase, Tick, Turns

EVENTS = turns.TurnEvent.__args__


def quiet(now_ms: int) -> Tick:
    return Tick(now_ms)


def voice(now_ms: int, *, since: int, silence: int = 0, voiced: int | None = None) -> Tick:
    spoken = now_ms - since - silence if voiced is None else voiced
    return Tick(now_ms, onset=silence == 0, open=True, started_ms=since, voiced_ms=spoken, silence_ms=silence)


def answering(floor: Turns, *, audible_at: int | None) -> None:
    """Brings a fresh floor to a reply to a turn that patience ended."""
    floor.handle(voice(100, since=0))
    floor.handle(voice(1000, since=0, silence=100))
    floor.handle(Judged(240, "complete"))
    assert floor.handle(voice(1140, since=0, silence=240)) == [commands.EndUtterance("patience", "complete")]
    if audible_at is not None:
        floor.handle(quiet(audible_at))
        floor.handle(turns.ReplyAudible())


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", EVENTS)
def test_every_pair_of_phase_and_event_is_in_the_table(phase: Phase, event: type) -> None:
    assert (phase, event) in TABLE


def test_speech_pause_and_patience_hand_the_floor_over() -> None:
    floor = Turns(TurnSettings())
    assert floor.handle(quiet(20)) == []
    assert floor.handle(voice(200, since=100)) == [commands.OpenUtterance(100, over_reply=False)]
    assert floor.phase is Phase.HEARING
    assert floor.handle(voice(1080, since=100, silence=80)) == []
    assert floor.handle(voice(1100, since=100, silence=100)) == [commands.Finalise()]
    floor.handle(Judged(700, "neutral"))
    assert floor.handle(voice(1680, since=100, silence=680)) == []
    assert floor.handle(voice(1700, since=100, silence=700)) == [commands.EndUtterance("patience", "neutral")]
    assert floor.phase is Phase.ANSWERING
    floor.handle(turns.ReplyEnded())
    assert floor.phase is Phase.LISTENING


def test_speech_after_a_short_pause_goes_on_with_the_turn() -> None:
    floor = Turns(TurnSettings())
    floor.handle(voice(200, since=100))
    floor.handle(voice(1100, since=100, silence=100))
    assert floor.handle(voice(1140, since=100, silence=0)) == [commands.GoOn()]
    assert floor.phase is Phase.HEARING


def test_i_am_done_ends_the_turn_at_once() -> None:
    floor = Turns(TurnSettings())
    floor.handle(voice(200, since=100))
    assert floor.handle(turns.Commit()) == [commands.EndUtterance("commit")]


def test_let_me_think_stops_patience() -> None:
    floor = Turns(TurnSettings(think_ms=20_000))
    floor.handle(voice(200, since=100))
    floor.handle(voice(1100, since=100, silence=100))
    floor.handle(Judged(240, "complete"))
    floor.handle(turns.Think())
    assert floor.handle(voice(3000, since=100, silence=2000)) == []
    assert floor.why == "think"
    assert floor.handle(voice(21_300, since=100, silence=20_300)) == [
        commands.EndUtterance("patience", "think")
    ]


def test_a_turn_of_three_minutes_is_ended() -> None:
    floor = Turns(TurnSettings())
    floor.handle(voice(200, since=0))
    assert floor.handle(voice(180_000, since=0)) == [commands.EndUtterance("longest")]


def test_going_on_just_after_a_reply_began_withdraws_it() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(1500, since=1420))
    assert floor.phase is Phase.DOUBTING
    assert floor.handle(voice(1540, since=1420)) == [commands.Withdraw()]
    assert floor.phase is Phase.HEARING


def test_speech_over_a_reply_ducks_holds_and_interrupts() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    assert floor.handle(Tick(5000, onset=True)) == [commands.Duck()]
    assert floor.handle(voice(5080, since=5000)) == [commands.OpenUtterance(5000, over_reply=True)]
    assert floor.handle(voice(5220, since=5000)) == []
    assert floor.handle(voice(5240, since=5000)) == [commands.Hold()]
    assert floor.handle(voice(5460, since=5000)) == []
    assert floor.handle(voice(5480, since=5000)) == [commands.Finalise()]
    assert floor.handle(voice(5680, since=5000)) == []
    assert floor.handle(voice(5700, since=5000)) == [commands.Interrupt()]
    assert floor.phase is Phase.HEARING


def test_laughter_that_holds_no_word_may_last_longer_than_speech() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert commands.Finalise() in floor.handle(voice(5480, since=5000))
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    assert floor.handle(voice(5700, since=5000)) == []
    # Asked again: it may be speech by now.
    assert floor.handle(voice(5960, since=5000)) == [commands.Finalise()]
    assert commands.Finalise() in floor.handle(voice(6100, since=5000, silence=100, voiced=1000))
    assert floor.handle(voice(6200, since=5000, silence=200, voiced=1000)) == [commands.Resume()]
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    assert floor.handle(voice(6220, since=5000, silence=220, voiced=1000)) == [commands.DropUtterance()]


def test_what_goes_on_for_long_interrupts_even_without_a_word() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    floor.handle(voice(5480, since=5000))
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    assert floor.handle(voice(6400, since=5000)) == [commands.Interrupt()]


def test_every_pause_of_what_is_said_over_a_reply_is_looked_at() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert commands.Finalise() in floor.handle(voice(5300, since=5000, silence=100, voiced=200))
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    floor.handle(voice(5340, since=5000, silence=0, voiced=240))
    assert commands.Finalise() in floor.handle(voice(5560, since=5000, silence=100, voiced=400))


def test_a_word_that_is_no_backchannel_interrupts_at_once() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert floor.handle(turns.WordsOverReply(interrupts=True, settled=False)) == [commands.Interrupt()]


def test_a_noise_that_is_never_confirmed_only_ducks() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    assert floor.handle(Tick(5000, onset=True)) == [commands.Duck()]
    assert floor.handle(Tick(5020, onset=False)) == [commands.Resume()]
    assert floor.phase is Phase.ANSWERING


def test_a_backchannel_leaves_the_reply_standing() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    floor.handle(voice(5320, since=5000, silence=0))
    assert commands.Finalise() in floor.handle(voice(5420, since=5000, silence=100, voiced=320))
    assert floor.handle(voice(5520, since=5000, silence=200, voiced=320)) == [
        commands.DropUtterance(),
        commands.Resume(),
    ]
    assert floor.phase is Phase.ANSWERING


def pausing_over(floor: Turns) -> None:
    """600 ms of voice over a reply, then 200 of silence: the recogniser has said nothing yet."""
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert commands.Hold() in floor.handle(voice(5240, since=5000))
    floor.handle(voice(5700, since=5000, silence=100, voiced=600))
    assert floor.handle(voice(5800, since=5000, silence=200, voiced=600)) == [commands.Resume()]
    assert floor.phase is Phase.DOUBTING


def test_a_reply_goes_on_before_it_is_known_what_was_said_over_it() -> None:
    floor = Turns(TurnSettings())
    pausing_over(floor)
    assert floor.handle(voice(5820, since=5000, silence=220, voiced=600)) == []
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    assert floor.handle(voice(5840, since=5000, silence=240, voiced=600)) == [commands.DropUtterance()]
    assert floor.phase is Phase.ANSWERING


def test_words_that_come_late_interrupt_a_reply_that_went_on() -> None:
    floor = Turns(TurnSettings())
    pausing_over(floor)
    assert floor.handle(turns.WordsOverReply(interrupts=True, settled=True)) == [commands.Interrupt()]


def test_words_that_never_come_are_not_waited_for() -> None:
    floor = Turns(TurnSettings())
    pausing_over(floor)
    assert floor.handle(voice(6580, since=5000, silence=980, voiced=600)) == []
    assert floor.handle(voice(6600, since=5000, silence=1000, voiced=600)) == [commands.DropUtterance()]


def test_what_is_said_after_a_reply_went_on_counts_for_itself() -> None:
    floor = Turns(TurnSettings())
    pausing_over(floor)
    assert floor.handle(voice(5860, since=5000, silence=0, voiced=620)) == [commands.Duck()]
    assert floor.handle(voice(6080, since=5000, silence=0, voiced=820)) == []
    assert floor.handle(voice(6100, since=5000, silence=0, voiced=840)) == [commands.Hold()]
    assert floor.handle(voice(6340, since=5000, silence=0, voiced=1080)) == [commands.Finalise()]
    assert floor.handle(voice(6560, since=5000, silence=0, voiced=1300)) == [commands.Interrupt()]


def overlapping() -> Turns:
    """Somebody takes a turn beside a reply that may not be interrupted."""
    floor = Turns(TurnSettings())
    floor.interruptible = False
    answering(floor, audible_at=1200)
    assert floor.handle(Tick(5000, onset=True)) == [], "it is not ducked"
    assert floor.handle(voice(5080, since=5000)) == [commands.OpenUtterance(5000, over_reply=True)]
    assert floor.handle(voice(5240, since=5000)) == []
    assert floor.handle(turns.WordsOverReply(interrupts=True, settled=True)) == [commands.BecomeTurn()]
    assert (floor.phase, floor.overlaps, floor.audible) == (Phase.HEARING, True, True)
    return floor


def test_a_turn_beside_a_reply_ends_with_patience_and_leaves_the_reply_on_air() -> None:
    floor = overlapping()
    assert floor.handle(voice(5400, since=5000, silence=100)) == [commands.Finalise()]
    assert floor.handle(voice(5440, since=5000)) == [commands.GoOn()]
    assert floor.handle(voice(5600, since=5000, silence=100)) == [commands.Finalise()]
    floor.handle(Judged(240, "complete"))
    ended = commands.EndUtterance("patience", "complete", overlaps=True)
    assert floor.handle(voice(5740, since=5000, silence=240)) == [ended]
    assert (floor.phase, floor.overlaps, floor.audible) == (Phase.ANSWERING, False, True)
    floor.handle(turns.ReplyEnded())
    assert floor.phase is Phase.LISTENING


def test_a_turn_beside_a_reply_that_ends_first_is_a_turn_like_any_other() -> None:
    floor = overlapping()
    floor.handle(turns.ReplyEnded())
    assert (floor.phase, floor.overlaps) == (Phase.HEARING, False)
    floor.handle(voice(5600, since=5000, silence=100))
    floor.handle(Judged(240, "complete"))
    ended = [commands.EndUtterance("patience", "complete")]
    assert floor.handle(voice(5740, since=5000, silence=240)) == ended


def test_a_cough_beside_a_reply_that_may_not_be_interrupted_is_no_turn() -> None:
    floor = Turns(TurnSettings())
    floor.interruptible = False
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert floor.handle(voice(5400, since=5000, silence=100)) == [commands.Finalise()]
    assert floor.handle(voice(5600, since=5000, silence=300)) == [], "there is no hurry: its words are coming"
    floor.handle(turns.WordsOverReply(interrupts=False, settled=True))
    assert floor.handle(voice(5620, since=5000, silence=320)) == [commands.DropUtterance()]
    assert floor.phase is Phase.ANSWERING


def test_a_reply_that_drains_under_a_voice_leaves_the_floor_to_it() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=1200)
    floor.handle(voice(5080, since=5000))
    assert floor.handle(turns.ReplyEnded()) == [commands.BecomeTurn()]
    assert floor.phase is Phase.HEARING


def test_nobody_is_talked_over_before_a_reply_is_audible() -> None:
    floor = Turns(TurnSettings())
    answering(floor, audible_at=None)
    given = floor.handle(voice(1400, since=1340))
    assert given == [commands.OpenUtterance(1340, over_reply=True), commands.Hold()]
    assert floor.handle(voice(1460, since=1340)) == [commands.Withdraw()]


def test_push_to_talk_waits_for_the_client() -> None:
    floor = Turns(TurnSettings())
    floor.manual = True
    floor.handle(voice(200, since=100))
    floor.handle(voice(1100, since=100, silence=100))
    floor.handle(Judged(240, "complete"))
    assert floor.handle(voice(9000, since=100, silence=8000)) == []
    assert floor.handle(turns.Commit()) == [commands.EndUtterance("commit", "complete")]


random_events = st.lists(
    st.one_of(
        st.builds(
            lambda o, op, v, s: ("tick", o, op, v, s),
            st.booleans(),
            st.booleans(),
            st.integers(0, 2000),
            st.integers(0, 5000),
        ),
        st.sampled_from(
            [
                Judged(240, "complete"),
                Judged(1800, "hanging"),
                turns.Commit(),
                turns.ClearInput(),
                turns.Think(),
                turns.ReplyAsked(),
                turns.ReplyAudible(),
                turns.ReplyEnded(),
                turns.WordsOverReply(True, True),
                turns.WordsOverReply(False, True),
            ]
        ),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(random_events, st.booleans())
def test_from_anywhere_silence_and_the_end_of_replies_lead_back_to_listening(
    events: list, interruptible: bool
) -> None:
    floor = Turns(TurnSettings())
    floor.interruptible = interruptible
    now = 0
    utterance = False
    for event in events:
        if isinstance(event, tuple):
            now += 20
            _, onset, open_, voiced, silence = event
            event = Tick(now, onset, open_, max(0, now - voiced - silence), voiced, silence)
        for command in floor.handle(event):
            if isinstance(command, commands.OpenUtterance):
                assert not utterance, "an utterance was opened inside another"
                utterance = True
            elif isinstance(command, commands.EndUtterance | commands.DropUtterance):
                assert utterance, "an utterance ended that never was"
                utterance = False
    silence = 0
    for _ in range(200_000 // 20):
        now += 20
        silence += 20
        floor.handle(Tick(now, open=utterance, voiced_ms=300, silence_ms=silence))
        utterance = floor.phase in (Phase.HEARING, Phase.PAUSED, Phase.DOUBTING)
        if floor.phase is Phase.PAUSED and floor.patience_ms is None:
            floor.handle(Judged(700, "neutral"))
        if floor.phase is Phase.ANSWERING:
            floor.handle(turns.ReplyEnded())
        if floor.phase is Phase.LISTENING:
            break
    assert floor.phase is Phase.LISTENING
