"""faster-whisper, with a tiny model that says one sentence: loading, batches and cancelling are real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import faster_whisper
import numpy as np
import pytest

from pipeline.audio import MIC_RATE
from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer
from pipeline.settings import FasterWhisperSettings, Language, Settings, SttSettings
from pipeline.stt.faster_whisper import shared_out
from pipeline.stt.growing import Heard
from pipeline.stt.whisper import Row, Whisper
from tests.providers.ears import Piece, heard
from tests.providers.tiny_whisper import TINY, Size, make
from tests.sounds import chunks, noise

SENTENCE = "we moved it"
WORDS = [" we", " moved", " it"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whisper"), WORDS)


@pytest.fixture
async def ears(folder: Path) -> AsyncIterator[Recognizer]:
    own = FasterWhisperSettings(model=str(folder), threads=1, batch=4)
    made: Recognizer = plugin("stt", "faster_whisper").create(Settings(stt=SttSettings(faster_whisper=own)))
    await made.start()
    yield made
    await made.close()


def whisper(folder: Path, languages: Sequence[str] = ("en", "de", "ru")) -> Whisper:
    model = faster_whisper.WhisperModel(str(folder), device="cpu", cpu_threads=1, local_files_only=True)
    return Whisper(model, 1, languages)


def told(model: Whisper, *rows: Row) -> list[Heard]:
    """Where no look is too short."""
    found = [each for each in model.run(rows) if each is not None]
    assert len(found) == len(rows)
    return found


async def test_it_says_the_words_with_their_times(ears: Recognizer) -> None:
    final = (await heard(ears, [*chunks(noise(2000)), Pause()]))[-1]
    assert final.text == SENTENCE
    assert [word.text for word in final.words] == SENTENCE.split()
    assert 0 < final.words[0].end_ms <= final.words[1].end_ms <= final.words[2].end_ms <= 2000


async def test_it_decodes_while_someone_speaks_and_what_stays_is_sure(ears: Recognizer) -> None:
    taken = asyncio.Event()

    async def speaking() -> AsyncIterator[Piece]:
        for _ in range(3):
            taken.clear()
            for piece in chunks(noise(1100)):
                yield piece
            await taken.wait()

    partials = []
    async with aclosing(ears.transcribe(speaking(), language="en")) as stream:  # type: ignore[type-var]
        async for transcript in stream:
            partials.append(transcript)
            taken.set()
    assert [(each.kind, each.sure) for each in partials[:2]] == [("partial", 0), ("partial", len(SENTENCE))]


def test_a_batch_says_what_each_would_say_alone(folder: Path) -> None:
    model = whisper(folder)
    rows = [Row(noise(length, seed=length), "en") for length in (400, 1300, 2000, 3100)]
    assert model.run(rows) == [result for row in rows for result in model.run([row])]


def test_two_batches_at_once_disturb_each_other_nowhere(folder: Path) -> None:
    model = faster_whisper.WhisperModel(str(folder), device="cpu", cpu_threads=1, num_workers=2)
    shared = Whisper(model, 1, ["en"])
    batches = [[Row(noise(length, seed=seed), "en") for length in (700, 2900)] for seed in range(12)]
    with ThreadPoolExecutor(shared.workers) as threads:
        assert list(threads.map(shared.run, batches)) == [shared.run(batch) for batch in batches]


@pytest.mark.parametrize(
    ("processors", "threads", "workers"), [(1, 1, 1), (2, 1, 2), (4, 2, 2), (8, 4, 2), (16, 4, 4)]
)
def test_its_threads_use_all_processors(processors: int, threads: int, workers: int) -> None:
    assert shared_out(processors) == (threads, workers)


def test_what_is_set_is_kept_and_the_rest_shared_out() -> None:
    assert shared_out(16, threads=2) == (2, 8)
    assert shared_out(16, workers=1) == (4, 1)


async def test_on_a_processor_it_computes_in_int8_and_says_so(ears: Recognizer, folder: Path) -> None:
    assert ears.detail == f"{folder.name} in int8, on this server"


def test_a_recording_longer_than_its_window_is_decoded_in_pieces(folder: Path) -> None:
    sound = np.concatenate([noise(25_000), np.zeros(8000, np.int16), noise(20_000, seed=2)])
    (heard,) = told(whisper(folder), Row(sound, "en"))
    assert heard.text.split() == SENTENCE.split() * 2
    assert heard.words[3].end_ms - 400 >= 25_000, "in the quiet between them"


def loaded(folder: Path) -> Any:
    model = faster_whisper.WhisperModel(str(folder), device="cpu", cpu_threads=1, local_files_only=True)
    model.model = Asked(model.model)
    return model


TALK = [f" w{number}" for number in range(14)]  # enough for as many seconds


def test_it_looks_at_what_fits_the_recording(tmp_path: Path) -> None:
    model = loaded(make(tmp_path, TALK))
    ours = Whisper(model, 1, ["en"])
    for seconds in (1, 8, 9, 14, 40):
        row = ours.row(noise(1000 * seconds), "en", "", "", detect=False)
        (heard,) = told(ours, row)
        assert heard == ours.run([row.again])[0]
    frames = [frames for frames in model.model.frames if frames < 3000]
    assert frames == [1000, 1000, 1500, 2000], (
        "seconds of silence behind it, and the whole window for the last"
    )


def test_a_window_that_is_given_is_kept(folder: Path) -> None:
    model = loaded(folder)
    for seconds in (2, 9, 12, 40):
        ours = Whisper(model, 1, ["en"], window_s=10)
        ours.run([ours.row(noise(1000 * seconds), "en", "", "", detect=False)])
    assert model.model.frames == [1000, 1000, 2000, 3000, 3000]


def test_what_is_short_does_not_wait_for_what_is_long(folder: Path) -> None:
    ours = Whisper(loaded(folder), 1, ["en"])
    one, three, twelve = (
        ours.row(noise(1000 * seconds), "en", "", "", detect=False).goes_with for seconds in (1, 3, 12)
    )
    assert one == three != twelve


def test_where_a_short_look_leaves_doubts_it_looks_again(tmp_path: Path) -> None:
    model = loaded(make(tmp_path, [" la"] * 14))
    ours = Whisper(model, 1, ["en"])
    row = ours.row(noise(2000), "en", "", "", detect=False)
    assert ours.run([row]) == [None]
    (heard,) = told(ours, row.again)
    assert len(heard.words) < 14


@pytest.mark.parametrize(("seconds", "words"), [(3, SENTENCE.split()), (20, None)])
def test_a_few_words_are_not_all_of_a_long_recording(
    folder: Path, seconds: int, words: list[str] | None
) -> None:
    ours = Whisper(loaded(folder), 1, ["en"])
    row = ours.row(noise(1000 * seconds), "en", "", "", detect=False)
    (found,) = ours.run([row])
    assert (found and found.text.split()) == words
    assert told(ours, row.again)[0].text.split() == SENTENCE.split()


def test_the_second_look_is_without_the_prompt_which_may_have_misled_it(folder: Path) -> None:
    ours = Whisper(loaded(folder), 1, ["en"])
    row = ours.row(noise(20_000), "en", "a b", "y" * 300 + ".", detect=False)
    assert ours.run([row]) == [None]
    assert told(ours, row.again)[0].text.split() == SENTENCE.split()


def test_of_long_silence_nothing_is_expected(folder: Path) -> None:
    ours = Whisper(loaded(folder), 1, ["en"])
    sound = np.concatenate([noise(3000), np.zeros(20 * MIC_RATE, np.int16)])
    assert told(ours, ours.row(sound, "en", "", "", detect=False))


async def test_the_second_look_is_what_counts(tmp_path: Path) -> None:
    own = FasterWhisperSettings(model=str(make(tmp_path, [" la"] * 14)), threads=1, compute_type="float32")
    ears = plugin("stt", "faster_whisper").create(Settings(stt=SttSettings(faster_whisper=own)))
    await ears.start()
    final = (await heard(ears, [*chunks(noise(2000)), Pause()]))[-1]
    await ears.close()
    assert 1 <= len(final.words) < 14


def test_a_prompt_is_the_hints_and_the_newest_of_what_was_said(folder: Path) -> None:
    model, sound = whisper(folder), noise(1000)
    tokens = {
        len(model.row(sound, "en", "a b", "x" * said + ".", detect=False).prompt) for said in range(300)
    }
    assert tokens == {5, *range(16, 161, 16)}, "of few lengths, so that many go together"
    first, last = (
        model.row(sound, "en", "a b", before, detect=False) for before in ("y" * 300 + ".", "z" * 300 + ".")
    )
    assert first.prompt[:5] == last.prompt[:5]
    assert first.prompt[5:] != last.prompt[5:]
    assert told(model, last)[0].text.strip() == SENTENCE


def test_hints_end_in_a_full_stop(folder: Path) -> None:
    loaded_model = loaded(folder)
    ours = Whisper(loaded_model, 1, ["en"])
    for hints in ("Redis, Kafka", "Redis, " * 200):
        prompt = ours.row(noise(1000), "en", hints, "", detect=False).prompt
        assert loaded_model.hf_tokenizer.decode(list(prompt)).endswith(".")
        assert len(prompt) <= 80


def test_what_was_written_without_stops_is_no_example(folder: Path) -> None:
    ours = Whisper(loaded(folder), 1, ["en"])
    badly, well = "and so on " * 20, "And so on. " * 20
    prompts = [ours.row(noise(1000), "en", "", before, detect=False).prompt for before in (badly, well)]
    assert [bool(prompt) for prompt in prompts] == [False, True]
    assert ours.row(noise(1000), "en", "", "I see, so we went", detect=False).prompt


MANY = Size(TINY.width, TINY.layers, TINY.heads)  # languages


def test_the_language_expected_stands_where_the_model_is_not_sure_of_another(tmp_path: Path) -> None:
    model = whisper(make(tmp_path, WORDS, size=MANY))
    assert model.multilingual
    (heard,) = told(model, model.row(noise(40_000), "de", "", "", detect=True))
    assert (heard.language, heard.text.split()) == ("de", SENTENCE.split() * 2)


def test_what_is_spoken_decides_where_the_model_is_sure(tmp_path: Path) -> None:
    folder = make(tmp_path, WORDS, size=MANY, spoken="de")
    model = whisper(folder)
    rows = [model.row(noise(1500), language, "", "", detect=True) for language in ("en", "ru", "de")]
    assert [(heard.language, heard.text.strip()) for heard in told(model, *rows)] == [("de", SENTENCE)] * 3
    assert told(whisper(folder, ["en", "ru"]), rows[0])[0].language == "en", "German it may not be"


class Asked:
    """A model of CTranslate2's, and what it is asked."""

    def __init__(self, model: Any) -> None:
        self.prompts: list[list[int]] = []
        self.frames: list[int] = []  # of features, of each recording
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: Any, **more: Any) -> Any:
        self.frames += [features.shape[-1]] * features.shape[0]
        return self._model.encode(features, **more)

    def generate(self, features: Any, prompts: list[list[int]], **more: Any) -> Any:
        self.prompts += prompts
        return self._model.generate(features, prompts, **more)


def test_each_language_is_asked_for_by_its_own_token(tmp_path: Path) -> None:
    folder = make(tmp_path, WORDS, size=MANY)
    model = faster_whisper.WhisperModel(str(folder), device="cpu", cpu_threads=1, local_files_only=True)
    asked = model.model = Asked(model.model)
    ours = Whisper(model, 1, get_args(Language))
    for language in get_args(Language):
        asked.prompts.clear()
        (heard,) = told(ours, ours.row(noise(1000), language, "", "", detect=False))
        assert (heard.language, heard.text.strip()) == (language, SENTENCE)
        tokens = [model.hf_tokenizer.id_to_token(token) for token in asked.prompts[0]]
        assert tokens[:3] == ["<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>"]


@pytest.mark.parametrize(("detect", "language"), [(True, "de"), (False, "en")])
async def test_somebody_speaks_german_in_an_english_call(tmp_path: Path, detect: bool, language: str) -> None:
    folder = make(tmp_path, WORDS, size=MANY, spoken="de")
    own = FasterWhisperSettings(model=str(folder), threads=1, detect_language=detect)
    ears = plugin("stt", "faster_whisper").create(Settings(stt=SttSettings(faster_whisper=own)))
    await ears.start()
    brief = (await heard(ears, [*chunks(noise(600)), Pause()]))[-1]
    long = await heard(ears, [*chunks(noise(1500)), Pause(), *chunks(noise(300, seed=2)), Pause()])
    await ears.close()
    assert brief.language == "en", "too short to tell"
    assert {each.language for each in long} == {language}
    assert long[-1].text.startswith(SENTENCE)


@pytest.mark.parametrize("words", [[" la"] * 14, [" so", " it"] * 7])
def test_it_does_not_go_round_in_circles(tmp_path: Path, words: list[str]) -> None:
    (heard,) = told(whisper(make(tmp_path, words)), Row(noise(2000), "en"))
    assert len(heard.words) < len(words)


def test_says_what_it_lacks(tmp_path: Path) -> None:
    module = plugin("stt", "faster_whisper")

    def lacks(model: str) -> str | None:
        own = FasterWhisperSettings(model=model)
        answer: str | None = module.missing(Settings(stt=SttSettings(faster_whisper=own)))
        return answer

    assert "stt.faster_whisper.model" in (lacks("") or "")
    assert "no model.bin" in (lacks(str(tmp_path)) or "")
    assert lacks("small") is None


def test_a_model_for_english_knows_no_other_language() -> None:
    small, english = (
        plugin("stt", "faster_whisper").FasterWhisper(FasterWhisperSettings(model=name))
        for name in ("small", "small.en")
    )
    assert (small.knows("de"), english.knows("de"), english.knows("en")) == (True, False, True)


async def test_with_an_unknown_name_says_which_there_are() -> None:
    own = FasterWhisperSettings(model="smal")
    ears = plugin("stt", "faster_whisper").create(Settings(stt=SttSettings(faster_whisper=own)))
    with pytest.raises(ProviderError, match="large-v3"):
        await ears.start()
    await ears.close()
