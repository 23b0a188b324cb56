"""Samples in, samples out; marks told when their sample has been read."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio import VOICE_CHUNK, VOICE_RATE
from pipeline.playout import AHEAD, EDGE, FADE, PhraseMark, Playout, ShapeMark, WordMark


def tone(length: int, level: int = 8000) -> np.ndarray:
    return (level * np.sin(np.arange(length) * 2 * np.pi * 440 / VOICE_RATE)).astype(np.int16)


def filled(seconds: float = 2, *, finished: bool = True) -> Playout:
    playout = Playout()
    playout.write(tone(int(seconds * VOICE_RATE)))
    for index, word in enumerate(("One", " two", " three", " four")):
        playout.mark(WordMark(index * VOICE_RATE // 2, word, 0))
    if finished:
        playout.finish()
    return playout


def steepest(samples: np.ndarray) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())


NATURAL = steepest(tone(VOICE_RATE))


def test_what_was_written_comes_out_unchanged_but_for_its_edges() -> None:
    playout = Playout()
    sound = tone(VOICE_CHUNK * 3)
    playout.write(sound[:700])
    playout.write(sound[700:])
    out = np.concatenate([playout.read(VOICE_CHUNK)[0] for _ in range(3)])
    assert np.array_equal(out[EDGE:-EDGE], sound[EDGE:-EDGE])
    assert out[0] == out[-1] == 0


def test_a_voice_that_comes_late_stops_and_goes_on_without_a_click() -> None:
    playout = Playout()
    sound = tone(VOICE_CHUNK * 3)
    pieces = []
    for part in (sound[:700], sound[700:1200], sound[1200:]):
        playout.write(part)
        while (piece := playout.read(VOICE_CHUNK)[0]) is not None:
            pieces.append(piece)
        pieces.append(np.zeros(VOICE_CHUNK, np.int16))
    assert steepest(np.concatenate(pieces)) <= NATURAL + np.abs(sound).max() / EDGE + 1


def test_a_hold_that_is_over_before_it_silenced_anything_repeats_nothing() -> None:
    playout = filled()
    heard = [playout.read(VOICE_CHUNK)[0]]
    playout.hold()
    playout.resume()
    heard += [playout.read(VOICE_CHUNK)[0] for _ in range(3)]
    assert playout.position == 4 * VOICE_CHUNK
    assert steepest(np.concatenate(heard)) <= NATURAL + 20


def test_an_empty_playout_is_silent_and_not_drained_before_it_is_finished() -> None:
    playout = Playout()
    assert playout.read(VOICE_CHUNK)[0] is None
    assert not playout.drained
    playout.finish()
    assert playout.drained


def test_a_last_piece_is_filled_up_with_silence() -> None:
    playout = Playout()
    playout.write(tone(100))
    playout.finish()
    samples, _, _ = playout.read(VOICE_CHUNK)
    assert len(samples) == VOICE_CHUNK
    assert not samples[100:].any()
    assert playout.drained


def test_marks_are_told_once_when_they_pass() -> None:
    playout = filled()
    playout.mark(PhraseMark(0, "One two three four"))
    told = []
    while not playout.drained:
        told += playout.read(VOICE_CHUNK)[1]
    assert [mark.text for mark in told] == ["One", "One two three four", " two", " three", " four"]


def test_heard_words_end_where_the_reading_ends() -> None:
    playout = filled()
    for _ in range(40):  # 800 ms: "two" began at 500
        playout.read(VOICE_CHUNK)
    assert playout.heard_text() == "One two"
    assert playout.heard_ms == 800


def test_a_word_of_which_little_was_heard_does_not_count() -> None:
    playout = filled()
    for _ in range(27):  # 540 ms
        playout.read(VOICE_CHUNK)
    assert playout.heard_text() == "One"


def test_ducking_fades_within_one_frame_and_never_clicks() -> None:
    playout = filled()
    before = playout.read(VOICE_CHUNK)[0]
    playout.duck(-18)
    pieces = [playout.read(VOICE_CHUNK)[0] for _ in range(3)]
    assert steepest(np.concatenate([before, *pieces])) <= 1.2 * NATURAL
    assert np.abs(pieces[1]).max() == pytest.approx(8000 * 10 ** (-18 / 20), rel=0.02)


def test_a_held_reply_goes_on_from_the_word_that_was_cut() -> None:
    playout = filled()
    for _ in range(30):
        playout.read(VOICE_CHUNK)
    playout.hold()
    faded = playout.read(VOICE_CHUNK)[0]
    assert abs(int(faded[-1])) < 50
    assert playout.read(VOICE_CHUNK)[0] is None
    playout.resume()
    assert playout.position == VOICE_RATE // 2, "at the beginning of the second word"
    samples = np.concatenate([playout.read(VOICE_CHUNK)[0] for _ in range(3)])
    assert steepest(samples) <= 1.2 * NATURAL
    assert np.abs(samples[FADE:]).max() > 7900


def test_words_are_not_told_twice_after_a_hold() -> None:
    playout = filled()
    told = []
    for index in range(140):
        told += playout.read(VOICE_CHUNK)[1]
        if index == 35:
            playout.hold()
        if index == 50:
            playout.resume()
    assert [mark.text for mark in told] == ["One", " two", " three", " four"]


def test_a_reply_held_before_its_first_sample_stays_silent() -> None:
    playout = filled()
    playout.hold()
    assert playout.read(VOICE_CHUNK)[0] is None
    playout.resume()
    assert playout.read(VOICE_CHUNK)[0] is not None
    assert playout.position == VOICE_CHUNK


def test_clearing_fades_the_next_20_ms_and_ends() -> None:
    playout = filled()
    before = playout.read(VOICE_CHUNK)[0]
    playout.clear()
    tail = playout.read(VOICE_CHUNK)[0]
    assert steepest(np.concatenate([before, tail])) <= 1.2 * NATURAL
    assert abs(int(tail[-1])) < 50
    assert playout.drained


def test_a_writer_is_told_to_wait_and_woken_by_reading() -> None:
    woken = []
    playout = Playout(on_room=lambda: woken.append(1))
    playout.write(tone(AHEAD + VOICE_CHUNK))
    assert not playout.room
    playout.read(VOICE_CHUNK)
    playout.read(VOICE_CHUNK)
    assert playout.room
    assert woken


def test_shapes_come_ahead_of_their_sound() -> None:
    playout = filled()
    playout.shape(ShapeMark(VOICE_RATE // 5, "AH", 1.0))  # 200 ms
    playout.shape(ShapeMark(VOICE_RATE, "OO", 1.0))
    assert [shape.shape for shape in playout.read(VOICE_CHUNK)[2]] == ["AH"]


def test_estimated_words_move_when_the_length_is_known() -> None:
    playout = filled(2, finished=False)
    playout.read(VOICE_CHUNK)
    playout.move_marks(0, 2 * VOICE_RATE, 0.5)
    playout.finish()
    told = [mark.text for _ in range(40) for mark in playout.read(VOICE_CHUNK)[1]]
    assert told == [" two", " three", " four"]
