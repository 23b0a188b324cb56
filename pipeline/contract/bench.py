"""One plug-in set up to be examined: its provider, the stand-in of its vendor, a piece of work for it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import SecretStr

from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk
from pipeline.contract.vendor import Vendor
from pipeline.errors import ProviderError, Stage
from pipeline.providers import Message, Pause, Piece, ReplyOptions, Speech, Transcript, VoiceStyle
from pipeline.settings import Settings

LANGUAGE = "en"  # what everybody knows
PHRASE = "The bridge over the river was painted green last summer."
TALK = (Message("system", "You are kind and brief."), Message("user", "I like bridges."))
OPTIONS = ReplyOptions(LANGUAGE, "chat")
STYLE = VoiceStyle()
SECRET = re.compile("key|token|secret|password", re.IGNORECASE)  # in the name of a plug-in's setting

Sound = AudioChunk | Pause


class Broken(Exception):
    """What a provider did that its Protocol forbids, in words."""


class NotApplicable(Exception):
    """Why a check says nothing about this plug-in."""


def expect(kept: object, what: str) -> None:
    """Raises Broken unless `kept`."""
    if not kept:
        raise Broken(what)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined.

    Args:
        module: has `missing` and `create`, see `pipeline.providers`.
        settings: with which it runs; with a vendor, the stand-in's own are taken.
        vendor: makes a stand-in. None: nothing is checked that needs one.
    """

    stage: Stage
    module: Any
    settings: Settings
    vendor: Callable[[], Vendor] | None = None
    name: str = ""  # by which the configuration knows it; "": by none yet


class Bench:
    """A provider that was just created.

    Args:
        speech: what a recogniser is to hear, int16 (n,) at MIC_RATE.
    """

    def __init__(
        self, subject: Subject, settings: Settings, vendor: Vendor | None, speech: np.ndarray
    ) -> None:
        self.subject = subject
        self.provider = subject.module.create(settings)
        self._settings = settings
        self._vendor = vendor
        self._speech = speech
        self._twice: list[Transcript] = []

    @property
    def vendor(self) -> Vendor:
        """The stand-in. Raises NotApplicable where there is none."""
        if self._vendor is None:
            raise NotApplicable("it has no vendor here")
        return self._vendor

    def again(self, *, timeout_s: float | None = None, settings: Settings | None = None) -> Bench:
        """A second provider on the same bench, with other settings. Whoever makes it closes it."""
        settings = settings or self._settings
        if timeout_s is not None:
            settings = hasty(settings, self.subject.stage, self.provider.name, timeout_s)
        return Bench(self.subject, settings, self._vendor, self._speech)

    @property
    def secrets(self) -> list[str]:
        """What may be in no message and no log line."""
        return secrets(self._settings, self.provider.name)

    # ------------------------------------------------------------------ one piece of its work

    def work(self, *, line_open: bool = False) -> AsyncIterator[Any]:
        """A sentence, a reply or a phrase. `line_open`: after its sentence a person may go on speaking."""
        match self.subject.stage:
            case "stt":
                return self.heard(self.microphone(line_open=line_open))
            case "llm":
                return self.reply(TALK)
            case "tts":
                return self.spoken(PHRASE)

    async def done(self) -> list[Any]:
        """All of a piece of work."""
        return await all_of(self.work())

    async def failure(self) -> ProviderError:
        """What a piece of work, or the start before it, fails with."""
        try:
            await self.provider.start()
            came = await all_of(self.work(line_open=True))
        except ProviderError as error:
            stage, name = self.subject.stage, self.provider.name
            expect(error.stage == stage, f"its ProviderError is of {error.stage}, not of {stage}")
            expect(error.provider == name, f"its ProviderError names {error.provider}, not {name}")
            expect("\n" not in error.message, "the message of its ProviderError has several lines")
            expect(not any(key in str(error) for key in self.secrets), "its ProviderError shows a key")
            return error
        except Exception as error:
            raise Broken(f"it raised {type(error).__name__}, not ProviderError: {error}") from error
        raise Broken(f"it did not fail, and gave {len(came)} piece(s)")

    # ------------------------------------------------------------------ ears

    def sentence(self) -> list[Sound]:
        """The speech as the gate hands it on: 20 ms at a time."""
        return [
            AudioChunk(self._speech[at : at + MIC_CHUNK], MIC_RATE, at)
            for at in range(0, len(self._speech) - MIC_CHUNK + 1, MIC_CHUNK)
        ]

    def microphone(self, *, line_open: bool = False) -> AsyncIterator[Sound]:
        sound = self.sentence(), [Pause()]
        return endless(*sound) if line_open else microphone(*sound)

    def heard(self, audio: AsyncIterator[Sound], language: str = LANGUAGE) -> AsyncIterator[Transcript]:
        stream: AsyncIterator[Transcript] = self.provider.transcribe(audio, language=language)
        return stream

    async def transcripts(self, *pieces: Iterable[Sound]) -> list[Transcript]:
        return await all_of(self.heard(microphone(*pieces)))

    async def twice(self) -> list[Transcript]:
        """The sentence, a Pause, the sentence again, a Pause: heard once for all who look at it."""
        if not self._twice:
            self._twice = await self.transcripts(self.sentence(), [Pause()], self.sentence(), [Pause()])
        return self._twice

    # ------------------------------------------------------------------ mind and voice

    def reply(self, messages: Sequence[Message], options: ReplyOptions = OPTIONS) -> AsyncIterator[Piece]:
        stream: AsyncIterator[Piece] = self.provider.reply(messages, options)
        return stream

    def spoken(self, text: str, language: str = LANGUAGE, style: VoiceStyle = STYLE) -> AsyncIterator[Speech]:
        stream: AsyncIterator[Speech] = self.provider.speak(text, language=language, style=style)
        return stream


def hasty(settings: Settings, stage: Stage, name: str, timeout_s: float) -> Settings:
    """With another `timeout_s` in the plug-in's own table."""
    section = getattr(settings, stage)
    own = getattr(section, name, None)
    if own is not None:
        section = section.model_copy(update={name: own.model_copy(update={"timeout_s": timeout_s})})
        return settings.model_copy(update={stage: section})
    table = {**settings.plugins.get(name, {}), "timeout_s": timeout_s}
    return settings.model_copy(update={"plugins": {**settings.plugins, name: table}})


def secrets(settings: Settings, name: str) -> list[str]:
    """Every key of the product's own, and what looks like one in the plug-in's table."""
    known = [one.get_secret_value() for _, one in settings.secrets if isinstance(one, SecretStr)]
    table = settings.plugins.get(name, {})
    return known + [str(value) for key, value in table.items() if value and SECRET.search(key)]


async def all_of(stream: AsyncIterator[Any]) -> list[Any]:
    """Everything of a stream, which is closed whatever happens."""
    async with aclosing(stream):  # type: ignore[type-var]
        return [item async for item in stream]


async def first_of(stream: AsyncIterator[Any]) -> Any:
    """What comes first. Raises Broken where nothing does."""
    async for item in stream:
        return item
    raise Broken("nothing came of it")


async def microphone(*pieces: Iterable[Sound]) -> AsyncIterator[Sound]:
    """All of it at once, then the end of the utterance."""
    for some in pieces:
        for piece in some:
            yield piece


async def endless(*pieces: Iterable[Sound]) -> AsyncIterator[Sound]:
    """All of it at once, then nothing: the person may go on, until nobody listens any more."""
    for some in pieces:
        for piece in some:
            yield piece
    await asyncio.Event().wait()
