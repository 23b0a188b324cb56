"""Local neural voices: Piper's, one file each, streamed sentence by sentence (`piper_worker`).

Words and mouth are marked from the lengths of the phonemes, which a voice tells if the package onnx is there
(part of the extra `piper`), else from an estimate of them.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import accumulate

import numpy as np

from pipeline import modes
from pipeline.errors import ProviderError
from pipeline.forking import FRAME
from pipeline.languages import UNSPACED
from pipeline.providers import Speech, Voice, VoicePhoneme, VoiceStyle, VoiceWord
from pipeline.settings import Settings
from pipeline.trunk import Trunk
from pipeline.tts.ipa import STOPS, begins_of_words, estimated, mnemonic_of
from pipeline.tts.onset import LOUD, Onset
from pipeline.tts.piper_voices import PiperVoiceFile, read

NAME = "piper"
PAUSE_MS = 220  # of silence after a sentence, at least; the voices themselves leave next to none
PIECE_MS = 200  # of sound in one piece: a sentence comes whole
STRETCHED = 0.65  # of a sentence's length goes with the scale of its phonemes; the rest is their rounding up
LEAST_SCALE = 0.2
LEVEL_DB = (
    -20.0
)  # dBFS of what is voiced in a sentence, as espeak-ng speaks; Piper makes each as loud as can be
PEAK_DB = -1.0  # dBFS, at most
FRAME_MS = 50  # in which what is voiced is looked for
VOICED_DB = -45.0  # dBFS, at least


def missing(settings: Settings) -> str | None:
    own = settings.tts.piper
    install = "pip install 'viva[piper]'" if find_spec("piper") is None else ""
    if not own.folder:
        folder = "set tts.piper.folder to a folder with voices (.onnx and .onnx.json)"
        return " and ".join(filter(None, [folder, install]))
    found = read(own.folder)
    if not found.voices:
        why = "; ".join(found.unfit) or "no file ends with .onnx"
        return f"tts.piper.folder = {own.folder!r} has no voice: {why}"
    if install:
        return install
    if not hasattr(socket, "send_fds"):
        return "needs a system on which processes hand over sockets (Linux, macOS)"
    return None


def create(settings: Settings) -> Voice:
    return Piper(settings)


class Piper:
    """See `pipeline.providers.Voice`. `VoiceStyle.voice`: see `piper_voices.Folder.choose`."""

    name = NAME
    unhurried = True

    def __init__(self, settings: Settings) -> None:
        self._own = settings.tts.piper
        self._folder = read(self._own.folder)
        names = [voice.name for voice in self._folder.voices]
        self.detail = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}, on this server"
        limits = str(self._own.threads), str(self._own.in_memory)
        self._trunk = Trunk("tts", NAME, "pipeline.tts.piper_worker", *limits)

    async def start(self) -> None:
        """Loads as many voices as are kept. Raises ProviderError for one that cannot be loaded."""
        await self._trunk.start()
        for voice in self._folder.voices[: self._own.in_memory]:
            async for _ in self._ask({"model": str(voice.path)}):
                pass

    async def close(self) -> None:
        await self._trunk.close()

    def knows(self, language: str) -> bool:
        return language in self._folder.languages()

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        if not self.knows(language):
            raise ProviderError("tts", NAME, f"has no voice for “{language}”", "unsupported_language")
        text = re.sub(r"[\0\s\[\]]", " ", text)  # what stands in [[ ]] would be taken for phonemes
        if not text.strip():
            return
        voice, speaker = self._folder.choose(language, modes.voice_of(style, NAME, self._own.voices))
        request = {"model": str(voice.path), "text": text, "scale": scale_of(style.rate), "speaker": speaker}
        phrase = _Phrase(text, voice, _word_starts(text, language))
        async for kind, payload in self._ask(request):
            if kind == b"P":
                phrase.plan(json.loads(payload))
            elif kind == b"A":
                phrase.align(json.loads(payload))
            else:
                for speech in phrase.push(np.frombuffer(payload, np.int16)):
                    yield speech
                await asyncio.sleep(0)  # others are heard between sentences that are all there already

    async def _ask(self, request: Mapping[str, object]) -> AsyncIterator[tuple[bytes, bytes]]:
        """The frames that answer it. Raises ProviderError."""
        reader, writer = await self._trunk.fork()
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            while True:
                try:
                    kind, length = FRAME.unpack(await reader.readexactly(FRAME.size))
                    payload = await reader.readexactly(length)
                except (asyncio.IncompleteReadError, ConnectionError) as error:
                    raise self._trunk.crashed("the voice crashed in mid-phrase") from error
                if kind == b"E":
                    if failure := json.loads(payload).get("error"):
                        raise ProviderError("tts", NAME, failure, "crashed")
                    return
                yield kind, payload
        finally:
            writer.close()


def scale_of(rate: float) -> float:
    """Of the lengths of phonemes, so that what is said takes 1 / `rate` of its time.

    A phoneme and the pause behind it are a few frames each, and each is rounded up to whole ones: of that
    part nothing gets longer or shorter."""
    return max(LEAST_SCALE, 1 + (1 / rate - 1) / STRETCHED)


def leveled(sound: np.ndarray, rate: int) -> np.ndarray:
    """A sentence as loud as the others: int16 (n,)."""
    frame = rate * FRAME_MS // 1000
    whole = sound[: len(sound) // frame * frame].astype(np.float32).reshape(-1, frame) / 32768
    power = np.einsum("ij,ij->i", whole, whole) / frame
    voiced = power[power > 10 ** (VOICED_DB / 10)]
    if not len(voiced):
        return sound
    peak = max(int(sound.max()), -int(sound.min())) / 32768
    gain = min(10 ** (LEVEL_DB / 20) / np.sqrt(voiced.mean()), 10 ** (PEAK_DB / 20) / peak)
    return np.rint(sound * np.float32(gain)).astype(np.int16)


def _word_starts(text: str, language: str) -> list[tuple[int, int]]:
    """Where each word of the text begins and ends; without spaces, each character is one."""
    pattern = r"\w" if language in UNSPACED else r"\S*\w\S*"
    return [match.span() for match in re.finditer(pattern, text)]


class _Phrase:
    """Sentences of phonemes and their sound, as pieces with marks."""

    def __init__(self, text: str, voice: PiperVoiceFile, words: Sequence[tuple[int, int]]) -> None:
        self._text = text
        self._rate = voice.rate
        self._words = words
        self._onset = Onset(voice.rate)
        self._sentences: list[list[str]] = []
        self._begins: list[int] = []  # of each word: the number of the phoneme, of all sentences
        self._spoken = 0  # phonemes of the sentences before
        self._came = 0  # samples of them
        self._lengths: list[int] | None = None

    def plan(self, sentences: list[list[str]]) -> None:
        self._sentences = sentences
        self._begins = begins_of_words(self._text, self._words, sentences)

    def align(self, lengths: list[int] | None) -> None:
        self._lengths = lengths

    def push(self, sound: np.ndarray) -> list[Speech]:
        """A whole sentence: int16 (n,) in, pieces out, the first of them with all its marks."""
        phonemes = self._sentences.pop(0)
        sound = leveled(sound, self._rate)
        lengths = self._lengths or estimated(phonemes, len(sound))
        ends = [self._came + end for end in accumulate(lengths)]
        starts = [self._came, *ends[:-1]][1:-1] or [
            self._came
        ]  # without the one that begins, the one that ends
        count = min(len(phonemes), len(starts))
        words = [
            VoiceWord(starts[begin - self._spoken], *self._words[number])
            for number, begin in enumerate(self._begins)
            if 0 <= begin - self._spoken < count
        ]
        shapes = [
            VoicePhoneme(starts[number], lengths[number + 1], mnemonic)
            for number, symbol in enumerate(phonemes[:count])
            if (mnemonic := mnemonic_of(symbol))
        ]
        self._spoken += len(phonemes)
        self._came += len(sound)
        if not self._sentences:
            sound = self._with_pause(sound)
        heard = self._onset.push(sound)
        cut, size = self._onset.cut, self._rate * PIECE_MS // 1000
        if not len(heard):
            return []
        first = Speech(
            heard[:size],
            self._rate,
            tuple(VoiceWord(max(0, word.at - cut), word.start, word.end) for word in words),
            tuple(VoicePhoneme(max(0, each.at - cut), each.length, each.mnemonic) for each in shapes),
        )
        return [first, *(Speech(heard[at : at + size], self._rate) for at in range(size, len(heard), size))]

    def _with_pause(self, sound: np.ndarray) -> np.ndarray:
        """With the silence that belongs between this sentence and the next phrase."""
        if self._text.rstrip("\"'”’») ")[-1:] not in STOPS:
            return sound
        pause = self._rate * PAUSE_MS // 1000
        loud = np.flatnonzero(np.abs(sound[-pause:].astype(np.int32)) > LOUD)
        quiet = min(pause, len(sound)) - (int(loud[-1]) + 1 if len(loud) else 0)
        return np.concatenate([sound, np.zeros(pause - quiet, np.int16)])
