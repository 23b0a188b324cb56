"""The embedded voice: espeak-ng, streamed, with every word and phoneme marked (`espeak_worker`)."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np

from pipeline.errors import ProviderError
from pipeline.forking import FRAME
from pipeline.providers import Speech, Voice, VoicePhoneme, VoiceStyle, VoiceWord
from pipeline.settings import Settings
from pipeline.trunk import Trunk
from pipeline.tts.japanese import Reading, read

NAME = "espeak"
RATE = 22_050  # Hz, of all of espeak-ng's own voices
ONSET = 104  # of 32768: -50 dBFS; what is below at the start or the end is silence
LEAD_IN = RATE * 5 // 1000  # samples kept before the onset, so that it is not cut off

VOICES: Mapping[str, str] = {
    "en": "en-us", "es": "es", "fr": "fr", "de": "de", "zh": "cmn", "hi": "hi", "ja": "ja", "ko": "ko",
    "pt": "pt-br", "ar": "ar", "ru": "ru", "it": "it", "nl": "nl",
}  # fmt: skip

# Silence after a phrase by its last character, in ms: about what espeak-ng itself leaves between clauses.
PAUSES_MS: Mapping[str, int] = {
    **dict.fromkeys(".!?…。！？।؟", 260),
    **dict.fromkeys(",;:–—，；：、،؛", 130),
}
JOIN_MS = 40  # after anything else


def missing(settings: Settings) -> str | None:
    """It comes with everything it needs, but cannot fork on Windows."""
    return None if hasattr(os, "fork") else "needs a system with fork (Linux, macOS)"


def create(settings: Settings) -> Voice:
    return Espeak(settings.tts.espeak.words_per_minute)


class Espeak:
    """See `pipeline.providers.Voice`. `VoiceStyle.voice`: a variant, "+f3", or a whole name, "en-us+m3".

    A name that espeak-ng does not know (a client may ask for "alloy") gives the language's own voice."""

    name = NAME
    detail = "espeak-ng, on this server"

    def __init__(self, words_per_minute: int = 165) -> None:
        self._words_per_minute = words_per_minute
        self._trunk = Trunk("tts", NAME, "pipeline.tts.espeak_worker")

    async def start(self) -> None:
        await self._trunk.start()

    async def close(self) -> None:
        await self._trunk.close()

    def knows(self, language: str) -> bool:
        return language in VOICES

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        if not self.knows(language):
            raise ProviderError("tts", NAME, f"has no voice for “{language}”", "unsupported_language")
        text = text.replace("\0", " ")
        reading: Reading | None = None
        if language == "ja":
            reading = await asyncio.to_thread(read, text)
            text = reading.kana
        elif language == "ar":
            text = pausal(text)
        phrase = _Phrase(text, reading)
        reader, writer = await self._trunk.fork()
        try:
            request = {
                "text": text,
                "voices": [voice_name(language, style.voice), VOICES[language]],  # the first that there is
                "rate": round(min(450, max(80, self._words_per_minute * style.rate))),
                "pitch": pitch_parameter(style.pitch),
            }
            writer.write(json.dumps(request).encode() + b"\n")
            while True:
                kind, payload = await self._frame(reader)
                if kind == b"M":
                    phrase.mark(json.loads(payload))
                elif kind == b"S":
                    if (speech := phrase.push(np.frombuffer(payload, np.int16))) is not None:
                        yield speech
                else:
                    if error := json.loads(payload).get("error"):
                        raise ProviderError("tts", NAME, error, "bad_response")
                    if (speech := phrase.end()) is not None:
                        yield speech
                    return
        finally:
            writer.close()

    async def _frame(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        try:
            kind, length = FRAME.unpack(await reader.readexactly(FRAME.size))
            return kind, await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise self._trunk.crashed("the voice crashed in mid-phrase") from error


def voice_name(language: str, wanted: str) -> str:
    """espeak-ng's name: "" and a variant ("+f3") are added to the language's own voice."""
    return VOICES[language] + wanted if wanted.startswith("+") else wanted or VOICES[language]


_VOWEL_THEN_DOUBLED = re.compile("([\u064b-\u0650])\u0651")
_FEMININE = re.compile("\u064e\u0629(?![\u064b-\u0652])")


def pausal(text: str) -> str:
    """Arabic as espeak-ng reads it right, character for character: the mark of a doubled consonant before the
    vowel's (Unicode's own order is the other), and the feminine ending as it sounds before a pause."""
    return _FEMININE.sub("\u064e\u0647", _VOWEL_THEN_DOUBLED.sub("\u0651\\1", text))


def pitch_parameter(times: float) -> int:
    """espeakPITCH for a pitch `times` the voice's own: 50 is its own, each 50 more or less an octave."""
    return round(min(99, max(0, 50 + 50 * math.log2(max(times, 0.01)))))


class _Phrase:
    """Sound and marks as they come from the library; pieces as the pipeline wants them.

    Sound is let go up to the last phoneme whose length is known, and never silence that may turn out to be
    the end of the phrase. As synthesis is hundreds of times faster than speech, that costs a few ms at most.
    """

    def __init__(self, text: str, reading: Reading | None = None) -> None:
        self._text = text
        self._reading = reading  # of the text that the words are to be marked in, where it is another
        self._held = np.zeros(0, np.int16)
        self._released = 0  # samples let go or cut off before `_held`
        self._lead = -1  # samples cut off at the start; -1: nothing heard yet
        self._words: list[VoiceWord] = []
        self._phonemes: list[VoicePhoneme] = []
        self._open: tuple[int, str] | None = None  # the phoneme whose length is not known
        self._word_end = 0  # characters: repeats ("23" is two words) are told once
        self._group: tuple[int, int, int] | None = (
            None  # of words spoken as one: where, and its place in the text
        )

    def mark(self, marks: list[list[Any]]) -> None:
        for at, kind, *what in marks:
            if kind == "word":
                start, end = what[0], min(what[0] + what[1], len(self._text))
                self._spread(at)
                if self._reading is None:
                    self._word(at, start, end)
                elif start < end:
                    self._word(at, self._reading.starts[start], self._reading.ends[start])
                    self._group = (at, start, end)
            else:
                self._close(at)
                self._open = (at, what[0])

    def _word(self, at: int, start: int, end: int) -> None:
        if self._word_end <= start < end:
            self._words.append(VoiceWord(at, start, end))
            self._word_end = end

    def _spread(self, until: int) -> None:
        """The words behind the first of a group that was marked as one, where about their sounds will be."""
        if self._group is None or self._reading is None:
            return
        at, start, end = self._group
        self._group = None
        for place in range(start, end):
            moment = at + (until - at) * (place - start) // (end - start)
            self._word(moment, self._reading.starts[place], self._reading.ends[place])

    def push(self, sound: np.ndarray) -> Speech | None:
        self._held = np.concatenate([self._held, sound])
        loud = np.flatnonzero(np.abs(self._held.astype(np.int32)) > ONSET)
        if not len(loud):
            return None
        if self._lead < 0:
            self._lead = max(0, int(loud[0]) - LEAD_IN)
            self._held = self._held[self._lead :]
            self._released = self._lead
            loud -= self._lead
        known = len(self._held) if self._open is None else self._open[0] - self._released
        return self._release(min(known, int(loud[-1]) + 1))

    def end(self) -> Speech | None:
        """What is left, with the silence that belongs between this phrase and the next."""
        if self._lead < 0:
            return None
        loud = np.flatnonzero(np.abs(self._held.astype(np.int32)) > ONSET)
        voiced = int(loud[-1]) + 1 if len(loud) else 0
        self._spread(self._released + voiced)
        pause = PAUSES_MS.get(self._text.rstrip("\"'”’»)] ")[-1:], JOIN_MS) * RATE // 1000
        tail = self._held[voiced : voiced + pause]
        silence = np.zeros(pause - len(tail), np.int16)
        self._held = np.concatenate([self._held[:voiced], tail, silence])
        self._close(self._released + len(self._held))
        return self._release(len(self._held))

    def _close(self, at: int) -> None:
        if self._open is not None:
            start, mnemonic = self._open
            self._phonemes.append(VoicePhoneme(start, at - start, mnemonic))
            self._open = None

    def _release(self, count: int) -> Speech | None:
        if count <= 0:
            return None
        lead = self._lead
        words = tuple(VoiceWord(max(0, word.at - lead), word.start, word.end) for word in self._words)
        phonemes = tuple(
            VoicePhoneme(max(0, each.at - lead), each.length - max(0, lead - each.at), each.mnemonic)
            for each in self._phonemes
            if each.at + each.length > lead
        )
        speech = Speech(self._held[:count], RATE, words, phonemes)
        self._held = self._held[count:]
        self._released += count
        self._words, self._phonemes = [], []
        return speech
