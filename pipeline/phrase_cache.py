"""Fixed phrases in a hosted voice, kept on disk: a question that is asked daily is paid for once.

One file a phrase, named by a hash of all that makes it sound as it does:

    {"rate", "pieces": [[samples, words, phonemes], ...], "sum": SHA-256 of the sound}\\n
    the sound, int16

Files are written whole or not at all, so that several servers may share a folder. One that is damaged is as
good as none. Those that were not used for the longest time go first when there are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pipeline.fixed_phrases import is_fixed
from pipeline.notices import Spent
from pipeline.openai_account import LOOPBACK
from pipeline.providers import Expecting, Speech, Voice, VoicePhoneme, VoiceStyle, VoiceWord
from pipeline.settings import Language, Settings, TtsCacheSettings

SUFFIX = ".phrase"
LONGEST_S = 60  # of a phrase that is kept
SPARE = 0.1  # of the bound is freed at once, so that not each new phrase looks through the folder

log = logging.getLogger(__name__)


def kept(voice: Voice, settings: Settings) -> Voice:
    """That voice, with its fixed phrases kept, if somebody charges for it and the settings want it."""
    charges: Spent | None = getattr(voice, "charges", None)
    if charges is None or charges.host in LOOPBACK or not settings.tts.cache.mib:
        return voice
    return Remembering(voice, settings, charges)


class Remembering:
    """See `pipeline.providers.Voice`: another voice, asked only for what is not on disk yet."""

    def __init__(self, voice: Voice, settings: Settings, charges: Spent) -> None:
        self.name = voice.name
        self.detail = voice.detail
        self.charges = charges
        self._voice = voice
        own = getattr(settings.tts, voice.name, None)
        options = own.model_dump(exclude={"timeout_s"}) if own else settings.plugins.get(voice.name)
        self._identity = [voice.name, voice.detail, options]
        self._phrases = PhraseFiles(settings.tts.cache)
        # Its own, so that no disk holds up a call. One: what is written is not written twice.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="viva-phrases")

    async def start(self) -> None:
        for language in get_args(Language):  # so that no phrase waits for the lists
            self._thread.submit(is_fixed, "?", language)
        await self._voice.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        await self._voice.close()

    def knows(self, language: str) -> bool:
        return self._voice.knows(language)

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        if isinstance(self._voice, Expecting):
            self._voice.expect(language=language, style=style)

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncGenerator[Speech, None]:
        loop = asyncio.get_running_loop()
        key = self._key(text, language, style)
        fixed, pieces = await loop.run_in_executor(self._thread, self._find, text, language, key)
        for piece in pieces:
            yield piece
        if pieces:
            return
        new: list[Speech] = []
        async with aclosing(self._voice.speak(text, language=language, style=style)) as stream:  # type: ignore[type-var]
            async for piece in stream:
                if fixed:
                    new.append(piece)
                yield piece
        if new:  # heard out
            self._thread.submit(self._phrases.put, key, new)

    def _find(self, text: str, language: str, key: str) -> tuple[bool, Sequence[Speech]]:
        fixed = is_fixed(text, language)
        return fixed, self._phrases.get(key) if fixed else ()

    def _key(self, text: str, language: str, style: VoiceStyle) -> str:
        sounds = [style.voice, style.persona, style.instructions, style.rate, style.pitch]
        whole = json.dumps([*self._identity, *sounds, language, text], default=str)
        return hashlib.sha256(whole.encode()).hexdigest()


class PhraseFiles:
    """The files. Blocking; nothing is raised: what cannot be read or written is not kept."""

    def __init__(self, settings: TtsCacheSettings) -> None:
        self._most = settings.mib * 1024 * 1024
        self._folder = Path(settings.folder) if settings.folder else _users_folder()
        self._size: int | None = None  # bytes of all files, as far as this process knows
        self._refused = False

    def get(self, key: str) -> Sequence[Speech]:
        """Empty: it is not there."""
        path = self._folder / (key + SUFFIX)
        try:
            total, _, rest = path.read_bytes().partition(b"\n")
        except OSError:
            return ()
        if hashlib.sha256(rest).hexdigest().encode() != total:
            return ()
        with contextlib.suppress(OSError):  # a folder that can only be read is as good
            os.utime(path)  # used just now
        head, _, sound = rest.partition(b"\n")
        told = json.loads(head)
        return _pieces(told["rate"], told["pieces"], np.frombuffer(sound, np.int16))

    def put(self, key: str, pieces: Sequence[Speech]) -> None:
        sound = np.concatenate([piece.samples for piece in pieces]).astype(np.int16).tobytes()
        rate = pieces[0].rate
        if len(sound) > 2 * rate * LONGEST_S or {piece.rate for piece in pieces} != {rate}:
            return
        told = {
            "rate": rate,
            "pieces": [[len(piece.samples), _plain(piece.words), _plain(piece.phonemes)] for piece in pieces],
        }
        rest = json.dumps(told).encode() + b"\n" + sound
        data = hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(self._folder / (key + SUFFIX), data)
            self._make_room(len(data))
        except OSError as error:
            if not self._refused:
                self._refused = True
                log.warning("phrases are not kept in %s: %s (tts.cache.folder)", self._folder, error.strerror)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _make_room(self, added: int) -> None:
        if self._size is not None:
            self._size += added
        if self._size is not None and self._size <= self._most:
            return
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another server makes room, too
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        self._size = sum(size for _, size, _ in files)
        bound = self._most if self._size <= self._most else round(self._most * (1 - SPARE))
        for _, size, path in sorted(files):
            if self._size <= bound:
                return
            path.unlink(missing_ok=True)
            self._size -= size


def _users_folder() -> Path:
    """XDG Base Directory Specification. Where there is no home, a folder that cannot be."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(caches, "viva", "voices")


def _plain(marks: Sequence[VoiceWord] | Sequence[VoicePhoneme]) -> list[list[int | str]]:
    return [
        [mark.at, mark.start, mark.end]
        if isinstance(mark, VoiceWord)
        else [mark.at, mark.length, mark.mnemonic]
        for mark in marks
    ]


def _pieces(rate: int, told: Sequence[Sequence[Any]], sound: np.ndarray) -> Sequence[Speech]:
    pieces: list[Speech] = []
    at = 0
    for samples, words, phonemes in told:
        marks = tuple(VoiceWord(*word) for word in words), tuple(VoicePhoneme(*each) for each in phonemes)
        pieces.append(Speech(sound[at : at + samples], rate, *marks))
        at += samples
    return pieces
