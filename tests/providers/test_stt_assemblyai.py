"""What is particular to AssemblyAI: how it is asked, sound in pieces that it takes, turns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.providers import Pause
from pipeline.settings import Language, Secrets, Settings
from tests.providers.ears import heard
from tests.providers.live_ears import SPEECH, asked, ears_at
from tests.providers.spoken import answered
from tests.sounds import chunks, noise
from tests.vendors.assemblyai_server import KEY, AssemblyAIServer


@pytest.fixture
async def vendor() -> AsyncIterator[AssemblyAIServer]:
    async with AssemblyAIServer() as server:
        yield server


async def test_words_come_while_they_are_spoken_and_the_final_has_stops(vendor: AssemblyAIServer) -> None:
    ears = ears_at(vendor)
    transcripts = await heard(ears, SPEECH)
    await ears.close()
    partials = [(each.text, each.sure) for each in transcripts if each.kind == "partial"]
    assert partials[0] == ("i", 0), "also the word that is being spoken"
    assert partials[-1] == ("i worked on a database", 0), "its capitals are still to come"
    final = transcripts[-1]
    assert (final.kind, final.text) == ("final", "I worked on a database.")
    assert [(word.text, word.start_ms) for word in final.words][-1] == ("database.", 1000)
    assert {word.confidence for word in final.words} == {0.97}


async def test_the_models_that_write_stops_by_themselves_are_understood(vendor: AssemblyAIServer) -> None:
    ears = ears_at(vendor, model="universal-3-5-pro")
    assert (await heard(ears, SPEECH, "nl"))[-1].text == "I worked on a database."
    await ears.close()
    query = vendor.connections[-1].query
    assert (query["language_codes"], query.get("format_turns")) == (['["nl"]'], None)


async def test_the_language_decides_the_model(vendor: AssemblyAIServer) -> None:
    assert (await asked(vendor, "en"))["speech_model"] == ["universal-streaming-english"]
    assert (await asked(vendor, "pt"))["speech_model"] == ["universal-streaming-multilingual"]


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("", "en es fr de pt it"),
        ("universal-streaming-english", "en"),
        ("universal-3-5-pro", "en es fr de zh hi ja pt ar it nl"),
        ("whisper-rt", " ".join(get_args(Language))),
    ],
)
async def test_it_says_which_languages_it_knows(vendor: AssemblyAIServer, model: str, known: str) -> None:
    ears = ears_at(vendor, model=model)
    assert {language for language in get_args(Language) if ears.knows(language)} == set(known.split())
    if model == "universal-streaming-english":
        with pytest.raises(ProviderError, match="universal-streaming-english does not know “de”"):
            await heard(ears, SPEECH, "de")


async def test_hints_are_looked_out_for(vendor: AssemblyAIServer) -> None:
    query = await asked(vendor, "en", ("Kafka", "B-tree", "x" * 51))
    assert json.loads(query["keyterms_prompt"][0]) == ["Kafka", "B-tree"], "not what is too long for it"
    assert "keyterms_prompt" not in await asked(vendor, "en")


@pytest.mark.parametrize("lengths_ms", [(20,), (500, 20, 40, 60), (40_000, 20)])
async def test_sound_comes_in_pieces_that_it_takes(
    vendor: AssemblyAIServer, lengths_ms: tuple[int, ...]
) -> None:
    """50 to 1000 ms, however little lies between two pauses, and however much comes at once."""
    ears = ears_at(vendor)
    sound = [piece for length in lengths_ms for piece in (*chunks(noise(length)), Pause())]
    finals = [each for each in await heard(ears, sound) if each.kind == "final"]
    await ears.close()
    assert len(finals) == len(lengths_ms)
    sent_s = sum(len(seen.sound) for seen in vendor.seen) / 2 / 16_000
    assert sum(lengths_ms) <= 1000 * sent_s <= sum(lengths_ms) + 50 * len(lengths_ms)


async def test_silence_that_is_made_up_at_pauses_shifts_no_word(vendor: AssemblyAIServer) -> None:
    vendor.heard = lambda pcm: [("so", 0.1, 0.2)]
    ears = ears_at(vendor)
    pieces = 10
    finals = await answered(ears, noise(220 * pieces), [220 * number for number in range(1, pieces)])
    await ears.close()
    assert [word.start_ms for word in finals[-1].words] == [220 * number + 100 for number in range(pieces)]
    assert all(len(seen.sound) > 2 * 16 * 220 for seen in vendor.seen), "220 ms are no whole pieces"


@pytest.mark.parametrize(("status", "code"), [(401, "auth"), (403, "forbidden"), (429, "rate_limited")])
async def test_what_it_refuses_once_the_socket_is_open_is_understood_too(
    vendor: AssemblyAIServer, status: int, code: str
) -> None:
    vendor.refuses_in_band = True
    vendor.work.status = status
    with pytest.raises(ProviderError) as raised:
        await ears_at(vendor).start()
    assert raised.value.code == code
    assert KEY not in str(raised.value)


async def test_what_it_does_not_take_is_told_in_its_words(vendor: AssemblyAIServer) -> None:
    with pytest.raises(ProviderError, match="hung up with 3006: Invalid speech_model"):
        await ears_at(vendor, model="universal-9").start()


async def test_it_is_told_when_a_line_is_not_needed_any_more(vendor: AssemblyAIServer) -> None:
    """It charges for the time that one is open."""
    ears = ears_at(vendor)
    await heard(ears, SPEECH)
    await ears.close()
    await vendor.connections[-1].closed.wait()
    assert vendor.connections[-1].controls == ["ForceEndpoint", "Terminate"]


def test_says_what_it_lacks() -> None:
    module = plugin("stt", "assemblyai")
    assert module.missing(Settings()) == "set ASSEMBLYAI_API_KEY"
    assert module.missing(Settings(secrets=Secrets(assemblyai_api_key=KEY))) is None
