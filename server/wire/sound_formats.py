"""The sound that goes in events, as `session.audio.input.format` and `.output.format` choose it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.audio import MIC_RATE, VOICE_RATE, Resampler
from pipeline.errors import CallError
from server.wire import g711

PCM = "audio/pcm"  # int16, little-endian, 24 kHz
LAWS = {"audio/pcmu": "pcmu", "audio/pcma": "pcma"}  # G.711, 8 kHz
PCM_RATE = 24_000
LAW_RATE = 8_000


@dataclass(frozen=True, slots=True)
class SoundFormats:
    """Of one call: the types of both directions. Over WebRTC they mean nothing, the media is Opus."""

    input: str = PCM
    output: str = PCM

    def merged(self, session: Any) -> SoundFormats:
        """With what a session object says. Raises CallError for a format that is none of ours."""
        audio = session.get("audio") if isinstance(session, dict) else None
        chosen = self
        for side in ("input", "output"):
            given = audio.get(side) if isinstance(audio, dict) else None
            if isinstance(given, dict) and given.get("format") is not None:
                chosen = replace(chosen, **{side: _type(given["format"], f"session.audio.{side}.format")})
        return chosen


def format_out(type: str) -> dict[str, Any]:
    """As the protocol writes it."""
    return {"type": PCM, "rate": PCM_RATE} if type == PCM else {"type": type}


def _type(value: Any, place: str) -> str:
    name = value.get("type") if isinstance(value, dict) else None
    if name != PCM and name not in LAWS:
        known = ", ".join([PCM, *LAWS])
        raise CallError("invalid_value", f"a format is an object with the type {known}", f"{place}.type")
    rate = value.get("rate")
    if name == PCM and rate is not None and rate != PCM_RATE:
        raise CallError("invalid_value", f"{PCM} comes at {PCM_RATE} Hz", f"{place}.rate")
    return str(name)


class SoundIn:
    """Bytes of one format → int16 at MIC_RATE, continuous."""

    def __init__(self, type: str) -> None:
        self.type = type
        self._law = LAWS.get(type)
        self._resampler = Resampler(LAW_RATE if self._law else PCM_RATE, MIC_RATE)

    def push(self, data: bytes) -> np.ndarray:
        """int16 (n,), a filter's delay behind. Raises CallError."""
        if self._law is None and len(data) % 2:
            raise CallError("invalid_value", "samples have 16 bits: an even number of bytes", "audio")
        samples = g711.decode(self._law, data) if self._law else np.frombuffer(data, "<i2").astype(np.int16)
        return self._resampler.push(samples)

    def flush(self) -> np.ndarray:
        """The rest, when a sound is over."""
        return self._resampler.flush()


class SoundOut:
    """int16 at VOICE_RATE → bytes of one format, continuous."""

    def __init__(self, type: str) -> None:
        self.type = type
        self._law = LAWS.get(type)
        self._resampler = Resampler(VOICE_RATE, LAW_RATE if self._law else PCM_RATE)

    def push(self, samples: np.ndarray) -> bytes:
        """Of int16 (n,); G.711 comes a filter's delay behind."""
        return self._bytes(self._resampler.push(samples))

    def flush(self) -> bytes:
        """The rest, when a sound is over."""
        return self._bytes(self._resampler.flush())

    def _bytes(self, samples: np.ndarray) -> bytes:
        return g711.encode(self._law, samples) if self._law else samples.astype("<i2").tobytes()
