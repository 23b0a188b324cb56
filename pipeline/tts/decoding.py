"""What a speech server answers with, as samples: bare PCM, a WAV whose header comes first, or MP3.

Servers that speak OpenAI's protocol do not all give what they are asked for, so what comes is recognised.
Source of the WAV layout: Microsoft, "Multimedia Programming Interface and Data Specifications 1.0".
"""

from __future__ import annotations

import struct

import av
import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # wFormatTag
KINDS = {(PCM, 16): "<i2", (PCM, 32): "<i4", (FLOAT, 32): "<f4"}  # of samples, by tag and bits
FULL = {"<i2": 1.0, "<i4": 2.0**-16, "<f4": 2.0**15}  # what makes them 16 bit
LONGEST_HEADER = 65_536  # bytes before a WAV's sound
CHUNK = struct.Struct("<4sI")
FORMAT = struct.Struct("<HHIIHH")  # tag, channels, rate, bytes a second, bytes a frame, bits a sample


class Decoder:
    """Blocks of a network in, int16 (n,) mono out. `rate`: Hz of what came out.

    Args:
        kind: the answer's Content-Type, or the format that was asked for.
        pcm_rate: Hz, of bare PCM.
    """

    def __init__(self, kind: str, pcm_rate: int) -> None:
        self.rate = pcm_rate
        self._data = b""  # not yet decoded
        self._mp3 = _Mp3() if "mpeg" in kind or "mp3" in kind else None
        self._begun = False
        self._kind = "<i2"  # of a sample
        self._channels = 1
        self._left: int | None = None  # bytes of sound that a WAV announced; None: to the end

    def push(self, block: bytes) -> np.ndarray:
        """Raises ValueError for a WAV that cannot be read."""
        if self._mp3 is not None:
            samples = self._mp3.push(block)
            self.rate = self._mp3.rate or self.rate
            return samples
        self._data += block
        if not self._begun and not self._begin():
            return np.zeros(0, np.int16)
        return self._samples()

    def flush(self) -> np.ndarray:
        """What is left when the last block has come."""
        return np.zeros(0, np.int16) if self._mp3 is None else self._mp3.push(b"")

    def _begin(self) -> bool:
        """Reads a WAV's header, if there is one; False: more of it is needed."""
        if len(self._data) < 12:
            return False
        if not (self._data.startswith(b"RIFF") and self._data[8:12] == b"WAVE"):
            self._begun = True
            return True
        at = 12
        while at + CHUNK.size <= min(len(self._data), LONGEST_HEADER):
            name, size = CHUNK.unpack_from(self._data, at)
            at += CHUNK.size
            if name == b"data":
                self._data = self._data[at:]
                self._left = size if 0 < size < 0x7FFF_0000 else None  # who streams knows no size
                self._begun = True
                return True
            if at + size > len(self._data):
                break
            if name == b"fmt ":
                self._read_format(self._data[at : at + size])
            at += size + size % 2
        if len(self._data) > LONGEST_HEADER:
            raise ValueError("a WAV without sound")
        return False

    def _read_format(self, data: bytes) -> None:
        tag, self._channels, self.rate, _, _, bits = FORMAT.unpack_from(data)
        if tag == EXTENSIBLE:
            tag = int.from_bytes(data[24:26], "little")
        if (tag, bits) not in KINDS or not 1 <= self._channels <= 8 or not 8000 <= self.rate <= 96_000:
            raise ValueError(f"a WAV of kind {tag}, {bits} bit, {self._channels} channels, {self.rate} Hz")
        self._kind = KINDS[tag, bits]

    def _samples(self) -> np.ndarray:
        if self._left is not None:
            self._data = self._data[: self._left]
        frame = np.dtype(self._kind).itemsize * self._channels
        whole = len(self._data) // frame * frame
        sound = np.frombuffer(self._data[:whole], self._kind).reshape(-1, self._channels)
        self._data = self._data[whole:]
        if self._left is not None:
            self._left -= whole
        if self._kind == "<i2" and self._channels == 1:
            return sound.reshape(-1).astype(np.int16)
        mono = sound.mean(axis=1) * FULL[self._kind]
        return np.clip(mono, -32768, 32767).astype(np.int16)


class _Mp3:
    """FFmpeg's decoder, frame by frame."""

    def __init__(self) -> None:
        self.rate = 0  # Hz; 0: not known yet
        self._codec = av.CodecContext.create("mp3", "r")
        self._resampler = av.AudioResampler(format="s16", layout="mono")

    def push(self, block: bytes) -> np.ndarray:
        """b"" is the end."""
        pieces: list[np.ndarray] = [np.zeros(0, np.int16)]
        try:
            for packet in self._codec.parse(block):
                for frame in self._codec.decode(packet):  # type: ignore[attr-defined]
                    self.rate = frame.sample_rate
                    pieces += [each.to_ndarray().reshape(-1) for each in self._resampler.resample(frame)]
        except av.FFmpegError as error:
            raise ValueError("an MP3 that cannot be read") from error
        return np.concatenate(pieces)
