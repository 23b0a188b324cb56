"""Opus at the rates we need: 16 kHz for the ears, 24 kHz for the voice, mono (RFC 6716).

libopus itself does this (`opus_decoder_init` takes 8, 12, 16, 24 or 48 kHz), FFmpeg's wrapper of it decodes
at 48 kHz only. The library lies in PyAV's wheel, so it is called through ctypes; where it cannot be loaded,
PyAV's codecs and a resampler do the same for about five times the CPU.

The library is loaded as `PyDLL`, which keeps the interpreter's lock: a call takes 20-150 µs, and giving the
lock up can cost 5 ms to get it back from a busy thread.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Protocol

import av
import numpy as np

log = logging.getLogger(__name__)

CLOCK_RATE = 48_000  # Hz; Opus timestamps count in it whatever the sound's rate (RFC 7587 §4.1)
FRAME_MS = 20
LONGEST_MS = 120  # of sound in one packet (RFC 6716 §3.2.5)

APPLICATION_VOIP = 2048
SET_BITRATE = 4002
SET_COMPLEXITY = 4010
SET_INBAND_FEC = 4012
SET_PACKET_LOSS_PERC = 4014
SET_SIGNAL = 4024
RESET_STATE = 4028
SIGNAL_VOICE = 3001
ASSUMED_LOSS = 5  # percent, by which the encoder portions its copies
LONGEST_PACKET = 1275  # bytes (RFC 6716 §3.2.1)


def packet_samples(payload: bytes) -> int:
    """Length of a packet's sound in samples at 48 kHz, read from its first bytes; 0: not Opus.

    RFC 6716 §3.1 (table of contents) and §3.2.5 (frame count).
    """
    if not payload:
        return 0
    config = payload[0] >> 3
    if config >= 16:
        frame = 120 << (config & 3)  # CELT: 2.5, 5, 10, 20 ms
    elif config >= 12:
        frame = 480 << (config & 1)  # hybrid: 10, 20 ms
    else:
        frame = (480, 960, 1920, 2880)[config & 3]  # SILK: 10, 20, 40, 60 ms
    code = payload[0] & 3
    if code == 3:
        if len(payload) < 2:
            return 0
        count = payload[1] & 0x3F
    else:
        count = 1 if code == 0 else 2
    samples = frame * count
    return samples if 0 < samples <= LONGEST_MS * CLOCK_RATE // 1000 else 0


# ------------------------------------------------------------------ the library


def _candidates() -> Iterator[str]:
    package = Path(av.__file__).resolve().parent
    for folder in (package.parent / "av.libs", package / ".dylibs", package):
        if folder.is_dir():  # auditwheel and delvewheel; delocate; an unusual wheel
            for pattern in ("libopus*.so*", "libopus*.dylib", "*opus*.dll"):
                yield from sorted(str(path) for path in folder.glob(pattern))
    system = ctypes.util.find_library("opus")
    if system:
        yield system


def _load(name: str) -> ctypes.PyDLL:
    """Raises OSError (cannot be loaded) or AttributeError (not libopus)."""
    library = ctypes.PyDLL(name)
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.opus_decoder_get_size.argtypes = [number]
    library.opus_decoder_init.argtypes = [pointer, ctypes.c_int32, number]
    library.opus_decode.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int32, pointer, number, number]
    library.opus_encoder_get_size.argtypes = [number]
    library.opus_encoder_init.argtypes = [pointer, ctypes.c_int32, number, number]
    library.opus_encode.argtypes = [pointer, pointer, number, pointer, ctypes.c_int32]
    # variadic: only the fixed part is declared, which is what ctypes needs on Apple's ARM
    library.opus_encoder_ctl.argtypes = [pointer, number]
    return library


@cache
def libopus() -> ctypes.PyDLL | None:
    """The library from PyAV's wheel, else the system's; None: there is neither."""
    for name in _candidates():
        try:
            return _load(name)
        except (OSError, AttributeError) as error:
            log.debug("libopus %s: %s", name, error)
    log.warning("libopus cannot be loaded; PyAV's codecs are used, which costs more CPU")
    return None


# ------------------------------------------------------------------ decoding


class Decoder(Protocol):
    rate: int  # Hz

    def decode(self, payload: bytes) -> np.ndarray:
        """One packet to int16 mono (n,) at `rate`. What is not Opus is concealed for 20 ms; never raises."""

    def conceal(self, samples: int, next_payload: bytes | None = None) -> np.ndarray:
        """What was lost: int16 (samples,), guessed from what was heard before; whole 2.5 ms at `rate`.

        Its end is taken from the redundancy in `next_payload`, where there is any (RFC 6716 §2.1.7)."""


class LibopusDecoder:
    """libopus by ctypes; a stereo packet is mixed down by it."""

    def __init__(self, rate: int, library: ctypes.PyDLL) -> None:
        self.rate = rate
        self._library = library
        self._state = ctypes.create_string_buffer(library.opus_decoder_get_size(1))
        if library.opus_decoder_init(self._state, rate, 1) != 0:
            raise ValueError(f"Opus knows no rate of {rate} Hz")
        self._sound = np.zeros(rate * LONGEST_MS // 1000, np.int16)
        self._sound_at = self._sound.ctypes.data
        self._step = rate // 400  # 2.5 ms, in which libopus conceals

    def decode(self, payload: bytes) -> np.ndarray:
        if payload:
            count = self._library.opus_decode(
                self._state, payload, len(payload), self._sound_at, len(self._sound), 0
            )
            if count > 0:
                return self._sound[:count].copy()
        return self.conceal(self.rate * FRAME_MS // 1000)

    def conceal(self, samples: int, next_payload: bytes | None = None) -> np.ndarray:
        samples -= samples % self._step
        parts: list[np.ndarray] = []
        tail = min(samples, self.rate * packet_samples(next_payload or b"") // CLOCK_RATE)
        for left, payload in ((samples - tail, None), (tail, next_payload)):
            while left > 0:
                size = min(left, len(self._sound))
                count = self._library.opus_decode(
                    self._state, payload, len(payload or b""), self._sound_at, size, int(payload is not None)
                )
                if count != size:
                    self._sound[:size] = 0
                parts.append(self._sound[:size].copy())
                left -= size
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


class PyavDecoder:
    """The fall-back: FFmpeg's decoder at 48 kHz and its resampler. What is lost becomes silence."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._codec = av.CodecContext.create("opus", "r")
        self._codec.sample_rate = CLOCK_RATE  # type: ignore[attr-defined]
        self._codec.layout = "mono"  # type: ignore[attr-defined]
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        self._short = 0  # samples the resampler's filter holds back; paid in advance with zeros
        self._started = False

    def decode(self, payload: bytes) -> np.ndarray:
        expected = self.rate * packet_samples(payload) // CLOCK_RATE
        if not expected:
            return self.conceal(self.rate * FRAME_MS // 1000)
        try:
            frames = self._codec.decode(av.Packet(payload))  # type: ignore[attr-defined]
            parts = [np.zeros(0, np.int16)]
            for frame in frames:
                frame.pts = None
                parts += [
                    each.to_ndarray().reshape(-1).astype(np.int16, copy=False)
                    for each in self._resampler.resample(frame)
                ]
        except (av.FFmpegError, ValueError):
            return self.conceal(expected)
        sound = np.concatenate(parts)
        if not self._started and len(sound) < expected:
            sound = np.concatenate([np.zeros(expected - len(sound), np.int16), sound])
        self._started = True
        return sound

    def conceal(self, samples: int, next_payload: bytes | None = None) -> np.ndarray:
        return np.zeros(samples, np.int16)


def opus_decoder(rate: int = 16_000) -> Decoder:
    """The best decoder there is here, to mono int16 at `rate` Hz."""
    library = libopus()
    return PyavDecoder(rate) if library is None else LibopusDecoder(rate, library)


# ------------------------------------------------------------------ encoding


class Encoder(Protocol):
    rate: int  # Hz

    def encode(self, sound: np.ndarray) -> bytes:
        """20 ms of int16 mono, shape (rate/50,), to one packet."""

    def reset(self) -> None:
        """Forgets what was encoded: the next packet leans on none before it."""

    def protect(self, on: bool) -> None:
        """Whether each packet carries a coarse copy of the one before, from which a browser repairs a single
        loss (RFC 6716 §2.1.7). It costs half as much again, and bits that the sound then lacks."""


class LibopusEncoder:
    """libopus by ctypes.

    Args:
        rate: Hz of the sound that comes in.
        complexity: 0..10. With the bitrate chosen by PESQ (wide band, three flite voices, mean/worst) against
            the time for a 20 ms frame: 40 kbit/s at 2 has 4.29/4.13 for 133 µs, 32 at 5 with `protect`
            4.19/3.95 for 228 µs, 40 at 1 4.20/4.00 for 90 µs.
        bitrate: bit/s of speech (variable; silence takes next to nothing).
    """

    def __init__(
        self,
        rate: int,
        library: ctypes.PyDLL,
        *,
        complexity: int = 2,
        bitrate: int = 40_000,
    ) -> None:
        self.rate = rate
        self._library = library
        self._samples = rate * FRAME_MS // 1000
        self._state = ctypes.create_string_buffer(library.opus_encoder_get_size(1))
        if library.opus_encoder_init(self._state, rate, 1, APPLICATION_VOIP) != 0:
            raise ValueError(f"Opus knows no rate of {rate} Hz")
        self._packet = ctypes.create_string_buffer(LONGEST_PACKET)
        self._set(SET_COMPLEXITY, complexity)
        self._set(SET_BITRATE, bitrate)
        self._set(SET_SIGNAL, SIGNAL_VOICE)

    def encode(self, sound: np.ndarray) -> bytes:
        sound = np.ascontiguousarray(sound, np.int16)
        if len(sound) != self._samples:
            raise ValueError(f"{len(sound)} samples; a frame has {self._samples}")
        size = self._library.opus_encode(
            self._state, sound.ctypes.data, self._samples, self._packet, LONGEST_PACKET
        )
        if size <= 0:
            raise ValueError(f"opus_encode: {size}")
        return ctypes.string_at(self._packet, size)

    def reset(self) -> None:
        self._library.opus_encoder_ctl(self._state, RESET_STATE)

    def protect(self, on: bool) -> None:
        self._set(SET_INBAND_FEC, int(on))
        self._set(SET_PACKET_LOSS_PERC, ASSUMED_LOSS if on else 0)

    def _set(self, request: int, value: int) -> None:
        self._library.opus_encoder_ctl(self._state, request, ctypes.c_int32(value))


class PyavEncoder:
    """The fall-back: FFmpeg's wrapper of libopus."""

    def __init__(self, rate: int, *, complexity: int = 2, bitrate: int = 40_000) -> None:
        self.rate = rate
        self._samples = rate * FRAME_MS // 1000
        self._options = {"application": "voip", "compression_level": str(complexity)}
        self._bitrate = bitrate
        self._pts = 0
        self.reset()

    def encode(self, sound: np.ndarray) -> bytes:
        sound = np.ascontiguousarray(sound, np.int16)
        if len(sound) != self._samples:
            raise ValueError(f"{len(sound)} samples; a frame has {self._samples}")
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self.rate
        frame.pts = self._pts
        self._pts += self._samples
        packets = self._codec.encode(frame)  # type: ignore[attr-defined]
        if len(packets) != 1:
            raise ValueError(f"{len(packets)} packets of one frame")
        return bytes(packets[0])

    def reset(self) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.bit_rate = self._bitrate
        self._codec.format = "s16"  # type: ignore[attr-defined]
        self._codec.layout = "mono"  # type: ignore[attr-defined]
        self._codec.sample_rate = self.rate  # type: ignore[attr-defined]
        self._codec.options = self._options

    def protect(self, on: bool) -> None:
        """A new encoder: FFmpeg's takes this only at its start."""
        self._options |= {"fec": str(int(on)), "packet_loss": str(ASSUMED_LOSS if on else 0)}
        self.reset()


def opus_encoder(rate: int = 24_000, *, complexity: int = 2, bitrate: int = 40_000) -> Encoder:
    """The best encoder there is here, from mono int16 at `rate` Hz; arguments as in LibopusEncoder."""
    library = libopus()
    if library is None:
        return PyavEncoder(rate, complexity=complexity, bitrate=bitrate)
    return LibopusEncoder(rate, library, complexity=complexity, bitrate=bitrate)
