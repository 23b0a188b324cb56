"""The recognisers' contract, for all of them, and what each alone promises."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.audio import AudioChunk
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer, Transcript, plugin
from pipeline.settings import (
    FasterWhisperSettings,
    OpenAISttSettings,
    PocketsphinxSettings,
    Secrets,
    Settings,
    SttSettings,
)
from pipeline.stt.pocketsphinx import CUT_AFTER_S, Pocketsphinx
from tests.providers.tiny_whisper import make
from tests.sounds import chunks, noise, padded, silence, speech
from tests.vendors.openai_server import OpenAIServer

NAMES = ("pocketsphinx", "faster_whisper", "openai")
SAID = "we moved the database to a new server"
KEY = "sk-very-secret"

Piece = AudioChunk | Pause


@pytest.fixture
def settings(vendor: OpenAIServer, tmp_path: Path) -> Settings:
    whisper = make(tmp_path / "whisper", [" we", " moved", " it"])
    return Settings(
        stt=SttSettings(
            faster_whisper=FasterWhisperSettings(model=str(whisper), threads=1),
            openai=OpenAISttSettings(base_url=vendor.base_url),
        ),
        secrets=Secrets(openai_api_key=KEY),
    )


@pytest.fixture(params=NAMES)
async def ears(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Recognizer]:
    module = plugin("stt", request.param)
    assert module.missing(settings) is None
    recognizer: Recognizer = module.create(settings)
    await recognizer.start()
    yield recognizer
    await recognizer.close()


@pytest.fixture
async def sphinx() -> AsyncIterator[Pocketsphinx]:
    recognizer = Pocketsphinx()
    await recognizer.start()
    yield recognizer
    await recognizer.close()


def sentence(text: str = SAID) -> list[Piece]:
    return list(chunks(padded(speech(text), 300, 120)))


async def microphone(pieces: Iterable[Piece]) -> AsyncIterator[Piece]:
    for piece in pieces:
        yield piece


async def heard(ears: Recognizer, pieces: Iterable[Piece], language: str = "en") -> list[Transcript]:
    return await listened(ears, microphone(pieces), language)


async def listened(ears: Recognizer, audio: AsyncIterator[Piece], language: str = "en") -> list[Transcript]:
    async with aclosing(ears.transcribe(audio, language=language)) as stream:  # type: ignore[type-var]
        return [transcript async for transcript in stream]


def kinds(transcripts: list[Transcript], *but: str) -> list[str]:
    return [transcript.kind for transcript in transcripts if transcript.kind not in but]


# ------------------------------------------------------------------ all of them


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


# ------------------------------------------------------------------ pocketsphinx


async def test_sphinx_understands_a_sentence_while_it_is_spoken(sphinx: Pocketsphinx) -> None:
    transcripts = await heard(sphinx, [*sentence(), Pause()])
    assert transcripts[-1].text == SAID
    assert len([each for each in transcripts if each.kind == "partial"]) > 5
    first, last = transcripts[-1].words[0], transcripts[-1].words[-1]
    assert first.start_ms == pytest.approx(300, abs=60)
    length_ms = 300 + len(speech(SAID)) / 16
    assert last.end_ms == pytest.approx(length_ms, abs=60)


async def test_sphinx_pauses_inside_a_sentence_cost_no_words(sphinx: Pocketsphinx) -> None:
    pieces = sentence("in my last job i was responsible for the payment system of an online store")
    whole = (await heard(sphinx, pieces))[-1].text
    with_pauses = [
        each for n, piece in enumerate(pieces) for each in ([piece, Pause()] if n % 25 == 24 else [piece])
    ]
    assert (await heard(sphinx, with_pauses))[-1].text == whole


async def test_sphinx_cuts_a_long_utterance_at_a_pause_and_joins_it(sphinx: Pocketsphinx) -> None:
    pieces: list[Piece] = []
    while len(pieces) * 0.02 < CUT_AFTER_S:
        pieces += [*sentence(), Pause()]
    sentences = pieces.count(Pause())
    transcripts = await heard(sphinx, [*pieces, *sentence(), Pause()])
    assert transcripts[-1].kind == "full"
    assert transcripts[-1].text == " ".join([SAID] * (sentences + 1))
    assert transcripts[-1].words[-8].start_ms > CUT_AFTER_S * 1000


@pytest.mark.parametrize("sound", [silence(1500), noise(1500, -50)], ids=["silence", "hiss"])
async def test_sphinx_hears_no_words_in_silence(sphinx: Pocketsphinx, sound: np.ndarray) -> None:
    assert [each.text for each in await heard(sphinx, [*chunks(sound), Pause()])] == ["", ""]


async def test_sphinx_knows_english_only(sphinx: Pocketsphinx) -> None:
    with pytest.raises(ProviderError, match="knows English") as raised:
        await heard(sphinx, sentence(), language="de")
    assert raised.value.code == "unsupported_language"


async def test_sphinx_without_the_full_pass() -> None:
    settings = Settings(stt=SttSettings(pocketsphinx=PocketsphinxSettings(full_pass=False)))
    ears = plugin("stt", "pocketsphinx").create(settings)
    await ears.start()
    assert kinds(await heard(ears, [*sentence(), Pause()]), "partial") == ["final"]
    await ears.close()


async def test_sphinx_a_call_made_before_the_start_waits_for_it() -> None:
    ears = Pocketsphinx()
    early = asyncio.create_task(heard(ears, sentence()))
    await ears.start()
    assert (await early)[-1].text == SAID
    await ears.close()


async def test_sphinx_a_crash_costs_one_utterance(sphinx: Pocketsphinx) -> None:
    heard_something = asyncio.Event()

    async def shot() -> AsyncIterator[Piece]:
        for piece in sentence():
            yield piece
        await heard_something.wait()
        await asyncio.to_thread(kill_all, trunk().children(recursive=True))
        for piece in sentence():
            yield piece

    async def listening() -> None:
        async with aclosing(sphinx.transcribe(shot(), language="en")) as stream:  # type: ignore[type-var]
            async for _ in stream:
                heard_something.set()

    with pytest.raises(ProviderError) as raised:
        await listening()
    assert raised.value.code == "crashed"
    assert (await heard(sphinx, sentence()))[-1].text == SAID


async def test_sphinx_is_started_again_when_its_process_dies(sphinx: Pocketsphinx) -> None:
    await asyncio.to_thread(kill_all, [trunk()])
    assert (await heard(sphinx, sentence()))[-1].text == SAID


def trunk() -> psutil.Process:
    """The process that has the model."""
    (found,) = (
        each for each in psutil.Process().children() if "pipeline.stt.pocketsphinx_worker" in each.cmdline()
    )
    return found


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=5)


def test_sphinx_dies_with_its_server() -> None:
    program = (
        "import asyncio\n"
        "from pipeline.stt.pocketsphinx import Pocketsphinx\n"
        "async def main():\n"
        "    await Pocketsphinx().start()\n"
        "    print('up', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[2])
    server = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"up\n"
    children = psutil.Process(server.pid).children(recursive=True)
    assert children
    server.kill()
    server.wait(timeout=5)
    server.stdout.close()
    assert psutil.wait_procs(children, timeout=5)[1] == []


# ------------------------------------------------------------------ faster-whisper


async def test_whisper_says_the_words_with_their_times(settings: Settings) -> None:
    ears = plugin("stt", "faster_whisper").create(settings)
    await ears.start()
    final = (await heard(ears, [*chunks(noise(2000)), Pause()]))[-1]
    await ears.close()
    assert final.text == "we moved it"
    assert [word.text for word in final.words] == ["we", "moved", "it"]
    assert final.words[-1].end_ms <= 2000


async def test_whisper_decodes_while_someone_speaks_and_what_stays_is_sure(settings: Settings) -> None:
    ears = plugin("stt", "faster_whisper").create(settings)
    await ears.start()
    taken = asyncio.Event()

    async def speaking() -> AsyncIterator[Piece]:
        for _ in range(3):
            taken.clear()
            for piece in chunks(noise(1100)):
                yield piece
            await taken.wait()

    partials = []
    async with aclosing(ears.transcribe(speaking(), language="en")) as stream:
        async for transcript in stream:
            partials.append(transcript)
            taken.set()
    await ears.close()
    assert [(each.kind, each.sure) for each in partials[:2]] == [
        ("partial", 0),
        ("partial", len("we moved it")),
    ]


def test_whisper_says_what_it_lacks(tmp_path: Path) -> None:
    module = plugin("stt", "faster_whisper")

    def lacks(model: str) -> str | None:
        own = FasterWhisperSettings(model=model)
        answer: str | None = module.missing(Settings(stt=SttSettings(faster_whisper=own)))
        return answer

    assert "stt.faster_whisper.model" in (lacks("") or "")
    assert "no model.bin" in (lacks(str(tmp_path)) or "")
    assert lacks("small") is None


async def test_whisper_with_an_unknown_name_says_which_there_are(settings: Settings) -> None:
    own = FasterWhisperSettings(model="smal")
    ears = plugin("stt", "faster_whisper").create(Settings(stt=SttSettings(faster_whisper=own)))
    with pytest.raises(ProviderError, match="large-v3"):
        await ears.start()
    await ears.close()


# ------------------------------------------------------------------ OpenAI


@pytest.fixture
async def hosted(settings: Settings) -> AsyncIterator[Recognizer]:
    recognizer: Recognizer = plugin("stt", "openai").create(settings)
    yield recognizer
    await recognizer.close()


async def test_openai_gets_a_wav_and_gives_word_times(vendor: OpenAIServer, hosted: Recognizer) -> None:
    sound = speech(SAID)
    final = (await heard(hosted, [*chunks(sound), Pause()]))[-1]
    assert final.text == vendor.heard
    assert [(word.start_ms, word.end_ms) for word in final.words[:2]] == [(0, 300), (300, 600)]
    seen = await vendor.request("transcriptions")
    assert (seen.body["model"], seen.body["language"]) == ("whisper-1", "en")
    with wave.open(io.BytesIO(seen.file)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        sent = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert np.array_equal(sent[: len(sound)], sound)


async def test_openai_streams_the_models_that_can(vendor: OpenAIServer, settings: Settings) -> None:
    own = OpenAISttSettings(base_url=vendor.base_url, model="gpt-4o-mini-transcribe")
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    transcripts = await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert [each.text for each in transcripts] == [
        "i",
        "i worked",
        "i worked on",
        "i worked on a",
        *[vendor.heard] * 2,
    ]
    assert transcripts[-1].kind == "final"


async def test_openai_a_newer_pause_replaces_a_request(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.transcriptions.hang_after = 0

    async def two_pauses() -> AsyncIterator[Piece]:
        for piece in [*sentence(), Pause()]:
            yield piece
        await vendor.request("transcriptions")
        vendor.transcriptions.hang_after = None
        for piece in [*sentence(), Pause()]:
            yield piece

    transcripts = await listened(hosted, two_pauses())
    assert kinds(transcripts) == ["final", "final"]
    first = await vendor.request("transcriptions")
    await first.ended.wait()
    assert first.outcome == "closed_by_client"


async def test_openai_closing_half_way_closes_the_request(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.transcriptions.hang_after = 0
    reading = asyncio.create_task(heard(hosted, [*sentence(), Pause()]))
    seen = await vendor.request("transcriptions")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await seen.ended.wait()
    assert seen.outcome == "closed_by_client"


async def test_openai_too_little_sound_is_not_sent(vendor: OpenAIServer, hosted: Recognizer) -> None:
    assert [each.text for each in await heard(hosted, [*chunks(silence(60)), Pause()])] == [""]
    assert vendor.requests("transcriptions") == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "auth"),
        (403, "forbidden"),
        (404, "forbidden"),
        (429, "rate_limited"),
        (500, "bad_response"),
    ],
)
async def test_openai_errors_have_a_code_and_no_key(
    vendor: OpenAIServer, hosted: Recognizer, status: int, code: str
) -> None:
    vendor.transcriptions.status = status
    with pytest.raises(ProviderError) as raised:
        await heard(hosted, [*sentence(), Pause()])
    assert (raised.value.stage, raised.value.code) == ("stt", code)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("garbage", ["html", "json"])
@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
async def test_openai_garbage_is_a_bad_response(
    vendor: OpenAIServer, settings: Settings, garbage: str, model: str
) -> None:
    vendor.transcriptions.garbage = garbage  # type: ignore[assignment]
    own = OpenAISttSettings(base_url=vendor.base_url, model=model)
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "bad_response"


async def test_openai_a_cut_stream_is_unreachable(vendor: OpenAIServer, settings: Settings) -> None:
    vendor.transcriptions.cut_after = 2
    own = OpenAISttSettings(base_url=vendor.base_url, model="gpt-4o-transcribe")
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "unreachable"


async def test_openai_silence_of_the_server_is_a_timeout(vendor: OpenAIServer, settings: Settings) -> None:
    vendor.transcriptions.hang_after = 0
    own = OpenAISttSettings(base_url=vendor.base_url, timeout_s=0.2)
    ears = plugin("stt", "openai").create(settings.model_copy(update={"stt": SttSettings(openai=own)}))
    with pytest.raises(ProviderError) as raised:
        await heard(ears, [*sentence(), Pause()])
    await ears.close()
    assert raised.value.code == "timeout"


async def test_openai_start_names_what_there_is(vendor: OpenAIServer, hosted: Recognizer) -> None:
    vendor.model_names = ["gpt-4o-mini", "gpt-4o-transcribe"]
    with pytest.raises(ProviderError, match="has no model whisper-1") as raised:
        await hosted.start()
    assert raised.value.code == "forbidden"
    assert "there is gpt-4o-transcribe (stt.openai.model)" in raised.value.message


def test_openai_needs_a_key_or_a_server_of_ones_own() -> None:
    module = plugin("stt", "openai")
    assert "OPENAI_API_KEY" in module.missing(Settings())
    assert module.missing(Settings(secrets=Secrets(openai_api_key=KEY))) is None
    own = SttSettings(openai=OpenAISttSettings(base_url="http://127.0.0.1:9/v1"))
    assert module.missing(Settings(stt=own)) is None
