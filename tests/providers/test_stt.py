"""The recognisers' contract, for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.choice import plugin
from pipeline.providers import Pause, Recognizer
from tests.providers.ears import Piece, heard, kinds, listened, sentence, settings_for
from tests.vendors.openai_server import OpenAIServer

NAMES = ("pocketsphinx", "faster_whisper", "openai")


@pytest.fixture(params=NAMES)
async def ears(
    request: pytest.FixtureRequest, vendor: OpenAIServer, tmp_path: Path
) -> AsyncIterator[Recognizer]:
    settings = settings_for(vendor, tmp_path)
    module = plugin("stt", request.param)
    assert module.missing(settings) is None
    recognizer: Recognizer = module.create(settings)
    await recognizer.start()
    yield recognizer
    await recognizer.close()


async def test_each_pause_brings_the_whole_utterance_so_far(ears: Recognizer) -> None:
    transcripts = await heard(ears, [*sentence(), Pause(), *sentence("and it was fast"), Pause()])
    finals = [transcript for transcript in transcripts if transcript.kind == "final"]
    assert len(finals) == 2
    assert all(transcript.text for transcript in finals)
    assert len(finals[1].words) >= len(finals[0].words)
    assert transcripts[-1].kind == ("full" if ears.full_pass else "final")


async def test_nothing_new_is_owed_without_sound_after_a_pause(ears: Recognizer) -> None:
    transcripts = await heard(ears, [*sentence(), Pause()])
    assert kinds(transcripts, "partial") == (["final", "full"] if ears.full_pass else ["final"])


async def test_the_end_is_answered_like_a_pause(ears: Recognizer) -> None:
    transcripts = await heard(ears, sentence())
    assert kinds(transcripts, "partial") == (["final", "full"] if ears.full_pass else ["final"])
    assert transcripts[-1].text


async def test_an_utterance_without_sound_ends(ears: Recognizer) -> None:
    assert await heard(ears, []) == []


async def test_every_pause_of_a_row_is_answered(ears: Recognizer) -> None:
    transcripts = await heard(ears, [*sentence(), Pause(), Pause(), Pause()])
    assert kinds(transcripts, "partial", "full") == ["final"] * 3


async def test_what_it_says_is_well_formed(ears: Recognizer) -> None:
    for transcript in await heard(ears, [*sentence(), Pause(), *sentence(), Pause()]):
        assert 0 <= transcript.sure <= len(transcript.text)
        assert all(
            0 <= word.start_ms <= word.end_ms and 0 <= word.confidence <= 1 for word in transcript.words
        )
        assert all(a.start_ms <= b.start_ms for a, b in pairwise(transcript.words))
        if transcript.words:
            assert transcript.text.split() == [word.text for word in transcript.words]


async def test_closing_half_way_ends_everything_and_the_next_utterance_works(ears: Recognizer) -> None:
    more = asyncio.Event()

    async def endless() -> AsyncIterator[Piece]:
        for piece in sentence():
            yield piece
        yield Pause()
        await more.wait()

    async with aclosing(ears.transcribe(endless(), language="en")) as stream:  # type: ignore[type-var]
        async for transcript in stream:
            if transcript.kind == "final":
                break
    assert (await heard(ears, sentence()))[-1].text


async def test_several_speak_at_once(ears: Recognizer) -> None:
    alone = (await heard(ears, sentence()))[-1]
    together = await asyncio.gather(*(heard(ears, sentence()) for _ in range(4)))
    assert [transcripts[-1] for transcripts in together] == [alone] * 4


async def test_an_error_of_the_microphone_is_not_swallowed(ears: Recognizer) -> None:
    async def broken() -> AsyncIterator[Piece]:
        yield sentence()[0]
        raise RuntimeError("the microphone broke")

    with pytest.raises(RuntimeError, match="the microphone broke"):
        await listened(ears, broken())
