"""Whisper on this server, through faster-whisper (CTranslate2): any of the 13 languages.

It takes whole recordings: while a person speaks, what is open of the utterance (`growing`) is decoded again
and again, and once more at a Pause. One model serves all calls (`batching`). It has threads of its own,
because aiortc encodes on the default executor; CTranslate2 releases the GIL while it computes.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer, Transcript
from pipeline.settings import FasterWhisperSettings, Language, Settings
from pipeline.stt import growing
from pipeline.stt.batching import Batcher
from pipeline.stt.growing import Heard, Pace, Part

if TYPE_CHECKING:  # 1 s that a start without it does not need
    from pipeline.stt.whisper import Row, Whisper

log = logging.getLogger(__name__)

NAME = "faster_whisper"
MOST_THREADS = 4  # of one batch: they wait for each other at each of its steps
TELLING_S = 1.0  # of sound, from which its language can be told
WEIGHTS = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")


def missing(settings: Settings) -> str | None:
    """It needs weights, which it fetches only when they are named."""
    wanted = settings.stt.faster_whisper.model
    if not wanted:
        return 'set stt.faster_whisper.model to a folder or a name such as "small" (500 MB, fetched once)'
    if importlib.util.find_spec("faster_whisper") is None:
        return "pip install faster-whisper"
    if _is_folder(wanted) and not Path(wanted).expanduser().joinpath("model.bin").is_file():
        return f"there is no model.bin in {wanted}"
    return None


def to_know(settings: Settings, language: str) -> str | None:
    """A model for English has a twin for all languages."""
    wanted = settings.stt.faster_whisper.model
    if wanted.endswith(".en"):
        return f'set stt.faster_whisper.model = "{wanted.removesuffix(".en")}", which knows more than English'
    return missing(settings)


def create(settings: Settings) -> Recognizer:
    return FasterWhisper(settings.stt.faster_whisper)


def _is_folder(model: str) -> bool:
    return Path(model).expanduser().is_dir() or model.startswith((".", "~", os.sep))


def processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_out(processors: int, threads: int = 0, workers: int = 0) -> tuple[int, int]:
    """Threads of one batch, and batches at once, that together use all processors. Rather two batches than
    two threads, which wait for each other. 0: not set."""
    threads = threads or min(MOST_THREADS, max(1, processors // 2))
    return threads, workers or min(processors, max(2, processors // threads))


class FasterWhisper:
    """See `pipeline.providers.Recognizer`."""

    name = NAME
    full_pass = False
    punctuates = True

    def __init__(self, own: FasterWhisperSettings) -> None:
        self._own = own
        self.detail = f"{Path(own.model).name}, on this server"
        self._threads = ThreadPoolExecutor(own.workers or processors(), thread_name_prefix="faster-whisper")
        self._loading: asyncio.Future[Whisper] | None = None
        self._started = asyncio.Event()
        self._batcher: Batcher[Row, Heard | None] | None = None
        self._pace = Pace()

    async def start(self) -> None:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(self._threads, self._load)
            self._started.set()
        whisper = await asyncio.shield(self._loading)
        where = "this server's GPU" if whisper.device == "cuda" else "this server"
        self.detail = f"{Path(self._own.model).name} in {whisper.computes_in}, on {where}"

    async def close(self) -> None:
        # A decoding in progress ends by itself; nobody waits for it.
        self._threads.shutdown(wait=False, cancel_futures=True)

    def knows(self, language: str) -> bool:
        english_only = Path(self._own.model).name.endswith(".en")
        return language == "en" if english_only else language in get_args(Language)

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        if not self.knows(language):
            raise ProviderError(
                "stt", NAME, f"{self.detail} does not know “{language}”", "unsupported_language"
            )
        await self._started.wait()
        assert self._loading is not None
        whisper = await asyncio.shield(self._loading)
        if self._batcher is None:
            self._batcher = Batcher(self._threads, whisper.run, self._own.batch, whisper.workers)
        decoder = _Decoder(whisper, self._batcher, language, ", ".join(hints), self._own.detect_language)
        stream = growing.transcribe(decoder, audio, language, self._pace)
        async with contextlib.aclosing(stream) as transcripts:
            async for transcript in transcripts:
                yield transcript

    # ------------------------------------------------------------------ on a thread of the model's

    def _load(self) -> Whisper:
        import ctranslate2
        import faster_whisper

        from pipeline.stt.whisper import Whisper

        own = self._own
        on_cpu = own.device == "cpu" or not ctranslate2.get_cuda_device_count()
        kind = own.compute_type
        if kind == "default" and on_cpu:
            kind = "int8"  # a third faster than float32; tiny.en mistakes 3.7 % of words, not 3.2
        threads, workers = shared_out(processors(), own.threads, own.workers)
        path = own.model if _is_folder(own.model) else self._fetch(own.model)
        try:
            model = faster_whisper.WhisperModel(
                str(Path(path).expanduser()),
                device=own.device,
                compute_type=kind,
                cpu_threads=threads,
                num_workers=workers if on_cpu else own.workers or 1,
                local_files_only=True,
            )
        except Exception as error:
            raise ProviderError("stt", NAME, f"{own.model} cannot be loaded: {error}") from error
        return Whisper(model, own.beam_size, get_args(Language), own.window_s)

    @staticmethod
    def _fetch(name: str) -> str:
        """The folder of a model by name; fetched from huggingface.co, with a progress bar, if not here."""
        import huggingface_hub
        from faster_whisper import available_models, utils

        if "/" not in name and name not in available_models():
            known = ", ".join(available_models())
            raise ProviderError("stt", NAME, f"no model “{name}”: a folder, or one of {known}", "forbidden")
        repository = name if "/" in name else utils._MODELS[name]
        fetch = partial(huggingface_hub.snapshot_download, repository, allow_patterns=list(WEIGHTS))
        with contextlib.suppress(Exception):
            return fetch(local_files_only=True)
        log.info("fetching the weights of %s from huggingface.co, once", name)
        try:
            return fetch()
        except Exception as error:
            message = (
                f"the weights of “{name}” cannot be fetched from huggingface.co; "
                "set stt.faster_whisper.model to a folder that has them"
            )
            raise ProviderError("stt", NAME, message, "unreachable") from error


class _Decoder:
    """One utterance's way to the model. See `pipeline.stt.growing.Decoder`."""

    every_s = 1.0
    timed = True

    def __init__(
        self, whisper: Whisper, batcher: Batcher[Row, Heard | None], language: str, hints: str, detect: bool
    ) -> None:
        self._whisper = whisper
        self._batcher = batcher
        self._language = language
        self._hints = hints
        self._detect = detect and whisper.multilingual

    async def decode(self, part: Part, said: Callable[[str], None]) -> Heard:
        detect = self._detect and len(part.samples) >= TELLING_S * MIC_RATE
        try:
            row = self._whisper.row(part.samples, self._language, self._hints, part.before, detect=detect)
            heard = await self._batcher.do(row, row.goes_with, owed=part.owed)
            if heard is None:
                heard = await self._batcher.do(row.again, row.again.goes_with, owed=part.owed)
            assert heard is not None, "the whole window leaves no doubt"
        except Exception as error:
            raise ProviderError("stt", NAME, f"the model failed: {error}", "bad_response") from error
        if detect:
            self._language, self._detect = heard.language, False
        return heard
