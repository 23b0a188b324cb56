"""An utterance that grows: no word lost or doubled where it is cut, and little left to do at a pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.providers import Pause, Transcript
from pipeline.stt import growing
from pipeline.stt.growing import Heard, Pace, Part
from tests import virtual
from tests.providers.spoken import Listener, Spoken, microphone, sentences, sound, timeline


def heard(
    listener: Listener,
    pauses_ms: Sequence[int] = (),
    hiss_db: float = -75.0,
    after_ms: int = 400,
    pace: Pace | None = None,
) -> list[Transcript]:
    """All that comes of that speech, spoken in (virtual) real time."""

    async def listen() -> list[Transcript]:
        audio = microphone(sound(listener.words, hiss_db, after_ms), pauses_ms)
        return [each async for each in growing.transcribe(listener, audio, "en", pace)]

    return virtual.run(listen())


def finals(transcripts: list[Transcript]) -> list[Transcript]:
    return [each for each in transcripts if each.kind == "final"]


def text(words: Sequence[Spoken]) -> str:
    return " ".join(word.text for word in words)


def decoded_s(listener: Listener, *, owed: bool) -> list[float]:
    return [len(part.samples) / MIC_RATE for part in listener.parts if part.owed is owed]


@pytest.mark.parametrize("timed", [True, False], ids=["word times", "no word times"])
@pytest.mark.parametrize("seconds", [5, 15, 45])
def test_at_a_pause_only_the_tail_is_owed(seconds: int, timed: bool) -> None:
    listener = Listener(sentences(seconds), timed=timed)
    (final,) = finals(heard(listener))
    assert final.text == text(listener.words)
    assert max(decoded_s(listener, owed=True)) < 8
    assert sum(decoded_s(listener, owed=False)) < (8 if timed else 1.1) * seconds


def test_without_any_pause_it_is_cut_between_agreed_words() -> None:
    listener = Listener(timeline([250] * 160, [20] * 160))
    (final,) = finals(heard(listener))
    assert final.text == text(listener.words)
    assert max(decoded_s(listener, owed=True)) < 12


words_and_gaps = st.lists(
    st.tuples(
        st.integers(100, 700), st.one_of(st.integers(0, 80), st.integers(180, 320), st.integers(0, 1500))
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(
    spoken=words_and_gaps,
    said=st.sampled_from([(), ("no",), ("no", "no", "yes")]),
    timed=st.booleans(),
    takes_s=st.sampled_from([0.01, 0.3, 1.7]),
    hiss_db=st.sampled_from([-90.0, -55.0]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_no_word_is_lost_or_doubled_at_a_seam(spoken, said, timed, takes_s, hiss_db, seed, data) -> None:
    words = timeline([length for length, _ in spoken], [gap for _, gap in spoken], words=said)
    rests = [
        (before.end, after.start) for before, after in pairwise(words) if after.start - before.end >= 100
    ]
    asked = data.draw(st.lists(st.sampled_from(rests), unique=True)) if rests else []
    # A pause is asked for after 100 ms of silence, as the floor does.
    pauses = [end + 100 for end, _ in asked]
    listener = Listener(words, timed=timed, jitter_ms=40, takes_s=takes_s, seed=seed)
    transcripts = heard(listener, pauses, hiss_db)
    assert finals(transcripts)[-1].text == text(words)
    assert len(finals(transcripts)) == len(pauses) + 1
    if timed:
        assert [word.text for word in finals(transcripts)[-1].words] == [word.text for word in words]


@settings(max_examples=30, deadline=None)
@given(spoken=words_and_gaps, seed=st.integers(0, 1000))
def test_what_is_settled_never_changes(spoken, seed) -> None:
    words = timeline([length for length, _ in spoken], [gap for _, gap in spoken])
    listener = Listener(words, seed=seed, jitter_ms=40)
    heard(listener)
    for before, after in pairwise(listener.parts):
        assert after.before.startswith(before.before)


@pytest.mark.parametrize("timed", [True, False], ids=["word times", "no word times"])
def test_an_answer_is_taken_back_when_the_pause_was_short(timed: bool) -> None:
    words = timeline([300] * 4, [100, 20, 160, 20])
    listener = Listener(words, timed=timed)
    first, second = finals(heard(listener, [words[1].end + 100]))
    assert (first.text, second.text) == (text(words[:2]), text(words))
    assert listener.parts[-1].before == "", "it is decoded as one"


def test_what_two_decodings_agree_on_is_sure() -> None:
    listener = Listener(timeline([250] * 16, [20] * 16))
    partials = [each for each in heard(listener) if each.kind == "partial"]
    sure = [each.text[: each.sure] for each in partials]
    assert sure[0] == ""
    assert sure[-1]
    assert all(text(listener.words).startswith(each) for each in sure), "what one misheard is not among it"
    assert any(each.text not in text(listener.words) for each in partials)


def test_silence_is_not_decoded_again_while_somebody_thinks() -> None:
    listener = Listener(timeline([300, 300, 300], [100, 40, 40]))

    async def listen() -> None:
        audio = microphone(sound(listener.words, after_ms=15_000), [1300])
        async for _ in growing.transcribe(listener, audio, "en"):
            pass

    virtual.run(listen())
    assert len(listener.parts) <= 3, "the words, and the end"


def test_an_answer_stands_after_a_rest() -> None:
    words = timeline([300] * 4, [100, 20, 1500, 20])
    listener = Listener(words)
    first, second = finals(heard(listener, [words[1].end + 100]))
    assert (first.text, second.text) == (text(words[:2]), text(words))
    assert listener.parts[-1].before.strip() == text(words[:2]), "and is not decoded again"
    assert [word.text for word in second.words] == [word.text for word in words]


def test_what_was_only_decoded_ahead_does_not_stand_after_a_rest() -> None:
    listener = Listener(timeline([220, 220, 220, 220, 300], [20, 20, 20, 20, 1500]))
    transcripts = heard(listener)
    assert "x" in transcripts[0].text, "misheard when the last of them had just been said"
    assert finals(transcripts)[0].text == text(listener.words)


def test_a_second_pause_without_sound_costs_no_decoding() -> None:
    listener = Listener(timeline([300, 300], [100, 40]))
    end_ms = listener.words[-1].end + 400
    first, second = finals(heard(listener, [end_ms, end_ms]))
    assert first == second
    assert len(decoded_s(listener, owed=True)) == 1


def test_where_others_keep_the_model_busy_less_is_decoded_ahead_from_the_first_word_on() -> None:
    pace = Pace()
    heard(Listener(sentences(3), takes_s=2.5), pace=pace)
    listener = Listener(sentences(6))
    heard(listener, pace=pace)
    assert [part.owed for part in listener.parts] == [True]
    listener = Listener(sentences(6))
    heard(listener, pace=pace)
    assert len(listener.parts) > 3, "the last decoding was fast again"


@pytest.mark.parametrize("takes_s", [0.1, 2.0], ids=["answered", "not yet answered"])
def test_the_silence_in_which_a_turn_ends_costs_no_decoding(takes_s: float) -> None:
    listener = Listener(timeline([300] * 6, [50] * 6), takes_s=takes_s)
    end_ms = listener.words[-1].end
    first, last = finals(heard(listener, [end_ms + 100], after_ms=900))
    assert first == last
    assert first.text == text(listener.words)
    assert len(decoded_s(listener, owed=True)) == 1


def test_a_word_behind_the_last_pause_is_heard_though_nobody_asks() -> None:
    listener = Listener(timeline([300] * 6, [50] * 5 + [400]))
    first, last = finals(heard(listener, [listener.words[-2].end + 100]))
    assert last.text == text(listener.words) != first.text


def test_a_decoding_in_the_background_gives_way_to_a_pause() -> None:
    listener = Listener(timeline([250] * 8, [20] * 8), takes_s=5.0)
    assert finals(heard(listener))[0].text == text(listener.words)
    assert listener.cancelled == 1


def test_what_is_closed_while_a_decoding_gives_way_ends_with_it() -> None:
    words = timeline([250] * 8, [20] * 8)

    async def closed_within_s() -> float:
        gives_way, over = asyncio.Event(), asyncio.Event()

        class Reluctant(Listener):
            async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
                try:
                    return await super().decode(part, said)
                finally:
                    gives_way.set()
                    await asyncio.sleep(1.0)

        async def audio() -> AsyncIterator[AudioChunk | Pause]:
            async for piece in microphone(sound(words)):
                yield piece
            yield Pause()
            await over.wait()  # they may go on

        async def listen() -> None:
            async with aclosing(growing.transcribe(Reluctant(words, takes_s=60.0), audio(), "en")) as stream:
                async for _ in stream:
                    pass

        listening = asyncio.create_task(listen())
        await gives_way.wait()
        began_s = asyncio.get_running_loop().time()
        listening.cancel()
        await asyncio.wait({listening}, timeout=30)
        over.set()
        return asyncio.get_running_loop().time() - began_s

    assert virtual.run(closed_within_s()) < 2


def test_the_background_failing_costs_the_partials_alone() -> None:
    listener = Listener(sentences(8), failing=lambda part: not part.owed)
    transcripts = heard(listener)
    assert [each.kind for each in transcripts] == ["final"]
    assert transcripts[0].text == text(listener.words)
    assert len(decoded_s(listener, owed=False)) == 1


def test_what_is_owed_failing_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the model failed"):
        heard(Listener(sentences(2), failing=lambda part: part.owed))


def test_what_was_said_before_is_handed_on_with_the_tail() -> None:
    listener = Listener(sentences(15))
    heard(listener)
    last = listener.parts[-1]
    assert text(listener.words).startswith(last.before.strip())
    assert last.before
