"""G.711 against the standard's own numbers, and the sound of events in each format."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio import MIC_RATE, VOICE_RATE
from pipeline.errors import CallError
from server.wire import g711
from server.wire.sound_formats import PCM, SoundFormats, SoundIn, SoundOut

# ITU-T G.711, tables 1 and 2: code -> level of 16 bits.
MU_LAW = {0x80: 32124, 0x8F: 16764, 0xF0: 120, 0xFE: 8, 0xFF: 0, 0x00: -32124, 0x7E: -8}
A_LAW = {0xAA: 32256, 0xD5: 8, 0xD4: 24, 0x55: -8, 0x2A: -32256}


@pytest.mark.parametrize(("law", "levels"), [("pcmu", MU_LAW), ("pcma", A_LAW)])
def test_codes_stand_for_the_standards_levels(law: str, levels: dict[int, int]) -> None:
    assert g711.decode(law, bytes(levels)).tolist() == list(levels.values())


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_every_sample_gets_the_nearest_code_and_every_code_comes_back(law: str) -> None:
    levels = g711.levels(law)
    every = np.arange(-32768, 32768).astype(np.int16)
    error = np.abs(g711.decode(law, g711.encode(law, every)).astype(int) - every)
    nearest = np.abs(levels[np.newaxis, :].astype(int) - every[:, np.newaxis]).min(axis=1)
    assert (error == nearest).all()
    again = g711.decode(law, g711.encode(law, levels))
    assert (again == levels).all()
    assert g711.encode(law, np.zeros(1, np.int16)) == (b"\xff" if law == "pcmu" else b"\xd5")


@pytest.mark.parametrize(("type", "rate"), [(PCM, 24_000), ("audio/pcmu", 8_000), ("audio/pcma", 8_000)])
def test_a_tone_passes_both_ways_in_its_time_and_strength(type: str, rate: int) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(VOICE_RATE) / VOICE_RATE)).astype(np.int16)
    out = SoundOut(type)
    data = out.push(tone) + out.flush()
    assert len(data) == pytest.approx(rate * (2 if type == PCM else 1), abs=2)
    back = SoundIn(type)
    heard = np.concatenate([back.push(data), back.flush()])
    assert len(heard) == pytest.approx(MIC_RATE, abs=4)
    middle = heard[2000:-2000].astype(float)
    assert np.sqrt((middle**2).mean()) == pytest.approx(8000 / np.sqrt(2), rel=0.02)


def test_a_format_that_is_none_of_ours_is_named() -> None:
    formats = SoundFormats().merged({"audio": {"output": {"format": {"type": "audio/pcma"}}}})
    assert (formats.input, formats.output) == (PCM, "audio/pcma")
    for given, place in (
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": "pcm16"}}}, "session.audio.input.format.type"),
        (
            {"audio": {"output": {"format": {"type": PCM, "rate": 16_000}}}},
            "session.audio.output.format.rate",
        ),
    ):
        with pytest.raises(CallError) as wrong:
            formats.merged(given)
        assert wrong.value.param == place


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(CallError):
        SoundIn(PCM).push(b"abc")
