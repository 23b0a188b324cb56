"""Whisper on this server, through faster-whisper (CTranslate2): any of the 13 languages.

It takes whole recordings: while a person speaks, the utterance so far is decoded again whenever the model is
free, and once more at a Pause. What two decodings in a row agree on is taken as sure (local agreement:
Liu et al. 2020, https://arxiv.org/abs/2005.11185). The model has a thread of its own, because aiortc encodes
on the default executor; CTranslate2 releases the GIL while it computes.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Recognizer, Transcript, Word
from pipeline.settings import FasterWhisperSettings, Language, Settings

log = logging.getLogger(__name__)

NAME = "faster_whisper"
PARTIAL_EVERY = MIC_RATE  # samples that must be new before the utterance is decoded again
SHORTEST = MIC_RATE // 10  # samples; less is no word
CUT_AFTER = 15 * MIC_RATE  # samples; what was said before a pause is then not decoded again
NO_SPEECH = 0.6  # a segment that is likely silence and unlikely words is left out
UNLIKELY = -1.0  # mean log probability of its tokens
REPETITIVE = 2.4  # compression ratio (Whisper's own limit): the model is going round in circles
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


def create(settings: Settings) -> Recognizer:
    return FasterWhisper(settings.stt.faster_whisper)


def _is_folder(model: str) -> bool:
    return Path(model).expanduser().is_dir() or model.startswith((".", "~", os.sep))


class FasterWhisper:
    """See `pipeline.providers.Recognizer`."""

    name = NAME
    full_pass = False
    punctuates = True

    def __init__(self, own: FasterWhisperSettings) -> None:
        self._own = own
        self.beam_size = own.beam_size
        self.detail = f"{Path(own.model).name}, {own.compute_type}, on this server"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="faster-whisper")
        self._loading: asyncio.Future[Any] | None = None
        self._started = asyncio.Event()
        self._jobs = 0  # waiting or running; partials are made only while there is none

    async def start(self) -> None:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().run_in_executor(self._thread, self._load)
            self._started.set()
        await asyncio.shield(self._loading)

    async def close(self) -> None:
        # A decoding in progress ends by itself; nobody waits for it.
        self._thread.shutdown(wait=False, cancel_futures=True)

    def knows(self, language: str) -> bool:
        return language in get_args(Language)

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        await self._started.wait()
        assert self._loading is not None
        model = await asyncio.shield(self._loading)
        utterance = _Utterance(self, model, language, ", ".join(hints))
        feeder = asyncio.create_task(utterance.feed(audio), name="faster-whisper-feed")
        try:
            while (transcript := await utterance.next()) is not None:
                yield transcript
        finally:
            feeder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeder

    @property
    def idle(self) -> bool:
        return self._jobs == 0

    async def compute(self, work: Callable[[], list[Word]]) -> list[Word]:
        """Runs `work` on the model's thread, behind what waits there."""
        self._jobs += 1
        job = asyncio.get_running_loop().run_in_executor(self._thread, work)
        job.add_done_callback(self._finished)
        return await job

    def _finished(self, _: asyncio.Future[list[Word]]) -> None:
        self._jobs -= 1

    # ------------------------------------------------------------------ on the model's thread

    def _load(self) -> Any:
        import faster_whisper  # 1 s, so not at the server's start

        own = self._own
        path = own.model if _is_folder(own.model) else self._fetch(own.model)
        try:
            return faster_whisper.WhisperModel(
                str(Path(path).expanduser()),
                device=own.device,
                compute_type=own.compute_type,
                cpu_threads=own.threads,
                local_files_only=True,
            )
        except Exception as error:
            raise ProviderError("stt", NAME, f"{own.model} cannot be loaded: {error}") from error

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


class _Utterance:
    """The recording so far, and at most one decoding of it."""

    def __init__(self, whisper: FasterWhisper, model: Any, language: str, prompt: str) -> None:
        self._whisper = whisper
        self._model = model
        self._language = language
        self._prompt = prompt
        self._before: tuple[Word, ...] = ()  # of sound that is not decoded again
        self._before_samples = 0
        self._sound: list[np.ndarray] = []  # int16, after that
        self._samples = 0  # in `_sound`
        self._decoded = 0  # of those, when the last decoding began
        self._words: tuple[Word, ...] = ()  # of the last decoding
        self._owed = 0  # pauses without a final
        self._decoding: asyncio.Task[None] | None = None
        self._abandoned = threading.Event()  # tells the decoding that nobody wants it any more
        # Bounded by the model: one transcript a decoding.
        self._out: asyncio.Queue[Transcript | Exception | None] = asyncio.Queue()

    async def next(self) -> Transcript | None:
        """The next transcript; None: all that was owed has come. Raises what went wrong."""
        item = await self._out.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def feed(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        paused = new = False
        try:
            async for piece in audio:
                if isinstance(piece, AudioChunk):
                    if paused and self._owed == 0 and self._samples >= CUT_AFTER:
                        self._cut()
                    self._sound.append(piece.samples)
                    self._samples += len(piece.samples)
                    paused, new = False, True
                    if self._whisper.idle and self._samples - self._decoded >= PARTIAL_EVERY:
                        await self._decode("partial")
                else:
                    paused, new = True, False
                    await self._decode("final")
            if new:
                await self._decode("final")
            if self._decoding is not None:
                await self._decoding
            self._out.put_nowait(None)
        except Exception as error:  # the microphone's
            self._out.put_nowait(error)
        finally:
            await self._drop()

    def _cut(self) -> None:
        self._before += self._words
        self._before_samples += self._samples
        self._sound, self._words = [], ()
        self._samples = self._decoded = 0

    async def _decode(self, kind: Literal["partial", "final"]) -> None:
        if kind == "partial" and self._owed:
            return  # a final is being made; it says the same
        await self._drop()
        self._owed += kind == "final"
        self._decoded = self._samples
        self._abandoned = threading.Event()
        self._decoding = asyncio.create_task(self._answer(kind), name=f"faster-whisper-{kind}")

    async def _drop(self) -> None:
        if self._decoding is not None:
            self._abandoned.set()
            self._decoding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._decoding

    async def _answer(self, kind: Literal["partial", "final"]) -> None:
        try:
            words: tuple[Word, ...] = ()
            if self._samples >= SHORTEST:
                sound = np.concatenate(self._sound).astype(np.float32) / 32768
                words = tuple(await self._whisper.compute(partial(self._run, sound, self._abandoned)))
            agreed = 0
            while (
                agreed < min(len(words), len(self._words)) and words[agreed].text == self._words[agreed].text
            ):
                agreed += 1
            self._words = words
            everything = self._before + words
            transcript = Transcript(
                kind,
                _text(everything),
                sure=len(_text(everything[: len(self._before) + agreed])) if kind == "partial" else 0,
                words=tuple(
                    Word(each.text.strip(), each.start_ms, each.end_ms, each.confidence)
                    for each in everything
                ),
                language=self._language,
            )
            for _ in range(self._owed if kind == "final" else 1):
                self._out.put_nowait(transcript)
            if kind == "final":
                self._owed = 0
        except Exception as error:
            failed = ProviderError("stt", NAME, f"the model failed: {error}", "bad_response")
            failed.__cause__ = error
            self._out.put_nowait(failed)

    def _run(self, sound: np.ndarray, abandoned: threading.Event) -> list[Word]:
        """On the model's thread. Words keep the space in front of them, which not all languages have."""
        offset_ms = 1000 * self._before_samples // MIC_RATE
        words: list[Word] = []
        if abandoned.is_set():
            return words
        segments, _ = self._model.transcribe(
            sound,
            language=self._language,
            beam_size=self._whisper.beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=" ".join(filter(None, [self._prompt, _text(self._before)[-200:]])) or None,
            word_timestamps=True,
        )
        for segment in segments:
            if abandoned.is_set():
                break
            silent = segment.no_speech_prob > NO_SPEECH and segment.avg_logprob < UNLIKELY
            if silent or segment.compression_ratio > REPETITIVE:
                continue
            words += [
                Word(
                    word.word,
                    offset_ms + round(1000 * word.start),
                    offset_ms + round(1000 * word.end),
                    min(1.0, float(word.probability)),
                )
                for word in segment.words or ()
            ]
        return words


def _text(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words).strip()
