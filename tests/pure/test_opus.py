"""Opus by libopus and by the fall-back; both must do the same."""

from __future__ import annotations

import random

import av
import numpy as np
import pytest

from server.media.opus import (
    Decoder,
    Encoder,
    LibopusDecoder,
    LibopusEncoder,
    PyavDecoder,
    PyavEncoder,
    libopus,
    opus_decoder,
    opus_encoder,
    packet_samples,
)


def both_decoders(rate: int = 16_000) -> list[Decoder]:
    library = libopus()
    assert library is not None, "PyAV's wheel carries libopus"
    return [LibopusDecoder(rate, library), PyavDecoder(rate)]


def both_encoders() -> list[Encoder]:
    library = libopus()
    assert library is not None
    return [LibopusEncoder(24_000, library), PyavEncoder(24_000)]


def tone(seconds: float, rate: int = 24_000, hz: float = 440) -> np.ndarray:
    return (np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate) * 8000).astype(np.int16)


def pitch(sound: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * rate / len(sound))


def packets(encoder: Encoder, sound: np.ndarray) -> list[bytes]:
    return [encoder.encode(sound[at : at + 480]) for at in range(0, len(sound), 480)]


def foreign_packets(sound: np.ndarray, frame_ms: int, layout: str) -> list[bytes]:
    """What other clients send: FFmpeg's encoder at 48 kHz."""
    codec = av.CodecContext.create("libopus", "w")
    codec.format, codec.layout, codec.sample_rate = "s16", layout, 48_000
    codec.options = {"frame_duration": str(frame_ms), "application": "voip"}
    codec.open()
    size = 48 * frame_ms
    out: list[bytes] = []
    for at in range(0, len(sound) - size + 1, size):
        samples = np.repeat(sound[at : at + size], 2 if layout == "stereo" else 1).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate, frame.pts = 48_000, at
        out += [bytes(packet) for packet in codec.encode(frame)]
    return out


@pytest.mark.parametrize("encoder", both_encoders(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("decoder", both_decoders(), ids=lambda each: type(each).__name__)
def test_a_tone_comes_back_as_that_tone_in_20_ms_pieces(encoder: Encoder, decoder: Decoder) -> None:
    pieces = [decoder.decode(packet) for packet in packets(encoder, tone(1.0))]
    assert {(len(piece), piece.dtype) for piece in pieces} == {(320, np.dtype(np.int16))}
    sound = np.concatenate(pieces)[3200:]
    assert abs(pitch(sound, 16_000) - 440) < 2
    assert 4000 < np.abs(sound).max() < 12_000


@pytest.mark.parametrize("decoder", both_decoders(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
def test_packets_of_other_lengths_and_stereo_decode_to_their_length(
    decoder: Decoder, layout: str, frame_ms: int
) -> None:
    sent = foreign_packets(tone(1.2, 48_000), frame_ms, layout)
    assert {packet_samples(packet) for packet in sent} == {48 * frame_ms}
    pieces = [decoder.decode(packet) for packet in sent]
    assert {len(piece) for piece in pieces[2:]} == {16 * frame_ms}
    assert abs(pitch(np.concatenate(pieces)[3200:], 16_000) - 440) < 2


@pytest.mark.parametrize("decoder", both_decoders(), ids=lambda each: type(each).__name__)
def test_garbage_is_concealed_and_what_follows_is_heard(decoder: Decoder) -> None:
    chance = random.Random(7)
    for _ in range(300):
        sound = decoder.decode(chance.randbytes(chance.randrange(0, 200)))
        assert sound.dtype == np.int16
        assert len(sound) <= 16 * 120 + 32  # a resampler may have held some back
    sound = np.concatenate([decoder.decode(packet) for packet in packets(opus_encoder(), tone(1.0))])
    assert abs(pitch(sound[6400:], 16_000) - 440) < 2


def test_an_empty_packet_and_a_truncated_one_are_no_sound() -> None:
    assert packet_samples(b"") == 0
    assert packet_samples(b"\x03") == 0  # a count was promised
    assert packet_samples(bytes([0x1B, 0x3F])) == 0  # 63 frames of 60 ms


def test_concealment_goes_on_with_the_tone_and_then_fades() -> None:
    decoder = opus_decoder(16_000)
    for packet in packets(opus_encoder(24_000), tone(0.5)):
        before = decoder.decode(packet)
    guessed = decoder.conceal(320)
    assert np.abs(guessed).max() > 0.5 * np.abs(before).max()
    assert np.abs(decoder.conceal(16_000)[-3200:]).max() < 200


def test_a_single_loss_is_repaired_from_the_redundancy_in_the_next_packet() -> None:
    """One frame of another pitch is lost: neither what was before it nor what comes after tells of it."""
    low, high = tone(0.5, hz=200), tone(0.02, hz=700)
    encoder = opus_encoder(24_000)
    encoder.protect(True)
    sent = packets(encoder, np.concatenate([low, high, low]))
    lost = len(low) // 480
    likeness = {}
    for name, next_payload in (("repaired", sent[lost + 1]), ("guessed", None)):
        whole, other = opus_decoder(16_000), opus_decoder(16_000)
        for packet in sent[:lost]:
            whole.decode(packet)
            other.decode(packet)
        truth = whole.decode(sent[lost]).astype(float)
        likeness[name] = float(np.corrcoef(truth, other.conceal(320, next_payload))[0, 1])
    assert likeness["repaired"] > 0.6
    assert likeness["guessed"] < 0.5


def test_protection_can_be_taken_up_and_left_in_mid_speech() -> None:
    for encoder in both_encoders():
        decoder = opus_decoder(16_000)
        heard = []
        for on in (False, True, False):
            encoder.protect(on)
            heard += [decoder.decode(packet) for packet in packets(encoder, tone(0.4))]
        assert [len(piece) for piece in heard] == [320] * 60
        assert abs(pitch(np.concatenate(heard), 16_000) - 440) < 5


def test_loss_of_several_packets_is_concealed_to_the_sample() -> None:
    for decoder in both_decoders():
        sent = packets(opus_encoder(24_000), tone(0.2))
        decoder.decode(sent[0])
        assert len(decoder.conceal(1920, sent[7])) == 1920
        assert len(decoder.conceal(0, sent[8])) == 0


def test_a_frame_of_the_wrong_length_is_refused() -> None:
    for encoder in both_encoders():
        with pytest.raises(ValueError, match="a frame has 480"):
            encoder.encode(np.zeros(100, np.int16))
