"""What speech servers answer with, whatever they were asked for, becomes the same samples."""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Iterator

import av
import numpy as np
import pytest

from pipeline.tts.decoding import Decoder
from pipeline.tts.onset import Onset

SOUND = (8000 * np.sin(np.arange(12_000) * 2 * np.pi * 440 / 24_000)).astype(np.int16)


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def decoded(data: bytes, kind: str = "audio/pcm", size: int = 1001) -> tuple[np.ndarray, int]:
    decoder = Decoder(kind, 24_000)
    pieces = [decoder.push(block) for block in blocks(data, size)]
    return np.concatenate([*pieces, decoder.flush()]), decoder.rate


def wav(
    sound: bytes, rate: int = 16_000, tag: int = 1, channels: int = 1, bits: int = 16, size: int = -1
) -> bytes:
    """With a chunk before the sound that nobody needs, as some servers write one."""
    frame = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits)
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    head = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + extra
    size = len(sound) if size < 0 else size
    return b"RIFF" + struct.pack("<I", 4) + head + b"data" + struct.pack("<I", size) + sound


@pytest.mark.parametrize("size", [1, 7, 4801, 100_000])
def test_pcm_in_blocks_of_any_size(size: int) -> None:
    samples, rate = decoded(SOUND.tobytes(), size=size)
    assert (rate, samples.tobytes()) == (24_000, SOUND.tobytes())


@pytest.mark.parametrize("size", [1, 7, 4801, 100_000])
def test_a_wav_says_its_rate_itself(size: int) -> None:
    samples, rate = decoded(wav(SOUND.tobytes()), size=size)
    assert (rate, samples.tobytes()) == (16_000, SOUND.tobytes())


def test_a_wav_as_python_writes_it() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(22_050)
        out.writeframes(SOUND.tobytes())
    samples, rate = decoded(file.getvalue(), "audio/wav")
    assert (rate, samples.tobytes()) == (22_050, SOUND.tobytes())


@pytest.mark.parametrize("announced", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_wav_that_is_streamed_knows_no_length(announced: int) -> None:
    assert decoded(wav(SOUND.tobytes(), size=announced))[0].tobytes() == SOUND.tobytes()


def test_what_follows_the_sound_of_a_wav_is_no_sound() -> None:
    assert decoded(wav(SOUND.tobytes()) + b"LIST\x04\0\0\0tags", size=50)[0].tobytes() == SOUND.tobytes()


def test_floats_and_two_channels_become_one_of_16_bit() -> None:
    floats = np.repeat(SOUND.astype(np.float32) / 32768, 2).astype("<f4").tobytes()
    samples, _ = decoded(wav(floats, tag=3, channels=2, bits=32))
    assert np.abs(samples.astype(int) - SOUND).max() <= 1


def test_a_wav_of_8_bit_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="8 bit"):
        decoded(wav(b"\x80" * 100, bits=8))


def test_mp3_is_decoded_as_it_comes() -> None:
    codec = av.CodecContext.create("libmp3lame", "w")
    codec.sample_rate, codec.layout, codec.format = 24_000, "mono", "s16p"  # type: ignore[attr-defined]
    frame = av.AudioFrame.from_ndarray(SOUND.reshape(1, -1), format="s16p", layout="mono")
    frame.sample_rate = 24_000
    data = b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])  # type: ignore[attr-defined]
    decoder = Decoder("audio/mpeg", 16_000)
    first = decoder.push(data[: len(data) // 2])
    assert len(first) > 4000, "half of it is decoded when half of it is there"
    samples = np.concatenate([first, decoder.push(data[len(data) // 2 :]), decoder.flush()])
    assert decoder.rate == 24_000
    assert len(samples) == pytest.approx(len(SOUND), abs=2400)
    middle = samples[4000:8000].astype(float)
    assert np.abs(np.fft.rfft(middle))[1:].argmax() + 1 == pytest.approx(440 * 4000 / 24_000, abs=1)


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_silence_before_the_first_sound_is_cut_to_5_ms(size: int) -> None:
    whole = np.concatenate([np.zeros(9000, np.int16), SOUND[10:]])
    onset = Onset(24_000)
    heard = np.concatenate([onset.push(whole[at : at + size]) for at in range(0, len(whole), size)])
    assert onset.cut == 9000 - 120
    assert np.array_equal(heard, whole[onset.cut :])
