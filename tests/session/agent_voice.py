"""A voice of real speech for sessions on virtual time, where a subprocess cannot be waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from pipeline.providers import Speech, VoiceStyle, VoiceWord
from tests import sounds
from tests.session.call import FakeProvider


@cache
def at_voice_rate(text: str, voice: str) -> np.ndarray:
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    return np.concatenate([resampler.push(sounds.speech(text, voice)), resampler.flush()])


@dataclass
class FliteVoice(FakeProvider):
    """Flite speaks; a mark at each word, spread evenly."""

    voice: str = "slt"

    def knows(self, language: str) -> bool:
        return True

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        sound = at_voice_rate(text, self.voice)
        words, at = [], 0
        for word in text.split(" "):
            words.append(VoiceWord(len(sound) * at // len(text), at, at + len(word)))
            at += len(word) + 1
        yield Speech(sound, VOICE_RATE, tuple(words))
