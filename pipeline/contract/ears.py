"""What a recogniser owes, see `pipeline.providers.Recognizer`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from itertools import pairwise

from pipeline.audio import CHUNK_MS
from pipeline.contract.bench import Bench, Sound, all_of, endless, expect, first_of, microphone
from pipeline.contract.checks import check
from pipeline.providers import Pause, Transcript

SLACK_MS = 500  # some vendors pad the sound, or round to frames
TOGETHER = 3


@check("stt")
async def a_pause_brings_what_was_said(bench: Bench) -> None:
    """One `final` with the words, and one `full` behind it if it has a full pass; then the iterator ends."""
    came = await bench.transcripts(bench.sentence(), [Pause()])
    _owed(bench, came, 1)
    expect(came[-1].text.strip(), "it heard nothing in a spoken sentence")
    kinds = [each.kind for each in came if each.kind != "partial"]
    expect(not bench.provider.full_pass or kinds == ["final", "full"], f"a pause brought {kinds}")


@check("stt")
async def the_end_is_answered_like_a_pause(bench: Bench) -> None:
    came = await bench.transcripts(bench.sentence())
    _owed(bench, came, 1)
    expect(came[-1].text.strip(), "it heard nothing in a spoken sentence")


@check("stt")
async def each_pause_brings_the_whole_utterance_so_far(bench: Bench) -> None:
    came = await bench.twice()
    _owed(bench, came, 2)
    first, second = (each for each in came if each.kind == "final")
    expect(len(second.text) >= len(first.text), f"the second final is shorter: {_texts(first, second)}")


@check("stt")
async def a_final_is_not_held_back_until_there_is_more_sound(bench: Bench) -> None:
    """Its answer to a Pause comes while the person is silent: nothing follows that could push it out."""
    async with asyncio.timeout(20):
        async with aclosing(bench.heard(endless(bench.sentence(), [Pause()]))) as stream:  # type: ignore[type-var]
            async for transcript in stream:
                if transcript.kind == "final":
                    return
    expect(False, "the iterator ended while the person might have gone on")


@check("stt")
async def several_pauses_in_a_row_are_all_answered(bench: Bench) -> None:
    _owed(bench, await bench.transcripts(bench.sentence(), [Pause(), Pause(), Pause()]), 3)


@check("stt")
async def an_utterance_without_sound_ends(bench: Bench) -> None:
    came = await bench.transcripts([])
    expect(not any(each.text for each in came), f"it heard {_texts(*came)} where there was no sound")


@check("stt")
async def words_have_times_in_order(bench: Bench) -> None:
    for each in await bench.twice():
        words = each.words
        expect(
            all(0 <= one.start_ms <= one.end_ms for one in words), f"a word ends before it starts: {words}"
        )
        expect(all(a.start_ms <= b.start_ms for a, b in pairwise(words)), f"words are out of order: {words}")
        expect(all(0 <= one.confidence <= 1 for one in words), f"a confidence is not in 0..1: {words}")
        spelled = "".join("".join(one.text for one in words).split())
        text = "".join(each.text.split())
        expect(not words or spelled == text, f"the words do not make up the text: {words} in {each.text!r}")


@check("stt")
async def words_lie_inside_the_sound(bench: Bench) -> None:
    length_ms = CHUNK_MS * 2 * len(bench.sentence())
    late = [word for each in await bench.twice() for word in each.words if word.end_ms > length_ms + SLACK_MS]
    expect(not late, f"words lie behind the end of the sound ({length_ms} ms): {late}")


@check("stt")
async def what_is_sure_is_not_taken_back(bench: Bench) -> None:
    """The first `sure` characters of a partial stand in all that follow, but for a second look."""
    sure = ""
    for each in await bench.twice():
        expect(0 <= each.sure <= len(each.text), f"{each.sure} characters of {each.text!r} are sure")
        if each.kind == "full":
            sure = ""
            continue
        expect(each.text.startswith(sure), f"{sure!r} was sure, and became {each.text!r}")
        sure = max(sure, each.text[: each.sure], key=len)


@check("stt")
async def a_listener_who_leaves_half_way_harms_nobody(bench: Bench) -> None:
    async with aclosing(bench.heard(endless(bench.sentence(), [Pause()]))) as stream:  # type: ignore[type-var]
        await first_of(stream)
    came = await bench.transcripts(bench.sentence(), [Pause()])
    expect(_last(came).strip(), "the next utterance was not heard")


@check("stt")
async def people_who_speak_at_once_are_not_mixed_up(bench: Bench) -> None:
    alone = _last(await bench.transcripts(bench.sentence(), [Pause()]))
    works = (bench.transcripts(bench.sentence(), [Pause()]) for _ in range(TOGETHER))
    for came in await asyncio.gather(*works):
        expect(_last(came) == alone, f"alone it heard {alone!r}, with others {_last(came)!r}")


@check("stt")
async def an_error_of_the_microphone_is_passed_on(bench: Bench) -> None:
    async def broken(pieces: Iterable[Sound]) -> AsyncIterator[Sound]:
        for piece in pieces:
            yield piece
        raise Unplugged

    try:
        await all_of(bench.heard(broken(bench.sentence())))
    except Unplugged:
        return
    expect(False, "the microphone's error was swallowed")


class Unplugged(Exception):
    """What a microphone raises here."""


@check("stt")
async def hints_are_taken(bench: Bench) -> None:
    hints = ("Kubernetes", "B-tree", "C++", "naïve Bayes")
    stream = bench.provider.transcribe(microphone(bench.sentence(), [Pause()]), language="en", hints=hints)
    _owed(bench, await all_of(stream), 1)


def _owed(bench: Bench, came: Sequence[Transcript], pauses: int) -> None:
    """One final for each pause; at most one full for each, and one behind the last."""
    kinds = [each.kind for each in came if each.kind != "partial"]
    expect(kinds.count("final") == pauses, f"{pauses} pause(s) brought {kinds.count('final')} final(s)")
    fulls = kinds.count("full")
    if bench.provider.full_pass:
        expect(1 <= fulls <= pauses and kinds[-1] == "full", f"{pauses} pause(s) brought {kinds}")
    else:
        expect(not fulls, "full_pass is False, and there is a `full`")
    expect(came[-1].kind != "partial", "a partial came when nothing was owed any more")


def _last(came: Sequence[Transcript]) -> str:
    return came[-1].text if came else ""


def _texts(*transcripts: Transcript) -> list[str]:
    return [each.text for each in transcripts]
