"""The echo guard by itself: what it finds, what it lets through, and what it costs nothing for."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.audio import MIC_CHUNK, MIC_RATE, VOICE_CHUNK, VOICE_RATE, Resampler
from pipeline.echo_delay import match
from pipeline.echo_guard import EchoGuard
from pipeline.echo_track import Downsampler, Track
from tests import sounds
from tests.room import Room

SAID = "Tell me about a project that you are proud of and what your own part in it was."
OVER = "no wait i have a question about the salary"


def played_by(voice: str) -> np.ndarray:
    resampler = Resampler(MIC_RATE, VOICE_RATE)
    return np.concatenate([resampler.push(sounds.speech(SAID, voice)), resampler.flush()])


@pytest.fixture(scope="module")
def reply() -> np.ndarray:
    return played_by("slt")


def through(
    guard: EchoGuard, reply: np.ndarray, room: Room | None, said: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What the microphone heard, and what the guard made of it, while `reply` was played and for 1 s more."""
    count = len(reply) // VOICE_CHUNK
    microphone = np.zeros((count + 50) * MIC_CHUNK, np.int16)
    if said is not None:
        microphone[: len(said)] = said[: len(microphone)]
    piece, cleaned = None, []
    for index in range(count + 50):
        chunk = microphone[index * MIC_CHUNK : (index + 1) * MIC_CHUNK]
        if room is not None:
            chunk[:] = sounds.mixed(chunk, room.hear(piece))
        cleaned.append(guard.clean(chunk))
        piece = reply[index * VOICE_CHUNK : (index + 1) * VOICE_CHUNK] if index < count else None
        guard.played(piece, VOICE_CHUNK)
    return microphone, np.concatenate(cleaned)


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((samples / 32768.0) ** 2) + 1e-12))


@pytest.mark.parametrize("gain_db", [-6, -12, -20, -30])
@pytest.mark.parametrize("delay_ms", [20, 480])
def test_an_echo_is_found_and_taken_out(reply: np.ndarray, gain_db: float, delay_ms: float) -> None:
    guard = EchoGuard()
    heard, cleaned = through(guard, reply, Room(gain_db, delay_ms))
    assert guard.found
    late = slice(2 * MIC_RATE, None)
    assert power_db(cleaned[late]) < power_db(heard[late]) - 25


@pytest.mark.parametrize("clip", [0.2, 0.1, 0.05, 0.02])
def test_an_echo_is_taken_out_however_hard_the_loudspeaker_clips(reply: np.ndarray, clip: float) -> None:
    guard = EchoGuard()
    heard, cleaned = through(guard, reply, Room(-6, 160, clip=clip))
    assert guard.found
    late = slice(MIC_RATE, None)
    assert power_db(cleaned[late]) < power_db(heard[late]) - 25


def test_a_voice_over_the_echo_comes_through(reply: np.ndarray) -> None:
    guard = EchoGuard()
    voice = sounds.at_level(sounds.speech(OVER) / 32768, -26)
    said = np.concatenate([sounds.silence(2000), voice])
    _, cleaned = through(guard, reply, Room(-6, 160), said)
    assert guard.found
    assert power_db(cleaned[2 * MIC_RATE : 2 * MIC_RATE + len(voice)]) > -26 - 8


def test_in_a_headset_the_sound_is_not_touched(reply: np.ndarray) -> None:
    guard = EchoGuard()
    said = np.concatenate([sounds.silence(1000), sounds.speech(OVER, "awb")])
    heard, cleaned = through(guard, reply, None, said)
    assert not guard.found
    assert np.array_equal(heard, cleaned)


@pytest.mark.parametrize(
    ("voice", "at_ms", "words"),
    [("rms", 1500, "wait i have another question"), ("awb", 2300, "no that is not what i meant")],
)
def test_a_voice_just_like_the_agents_is_not_taken_for_its_echo(voice: str, at_ms: int, words: str) -> None:
    guard = EchoGuard()
    said = np.concatenate([sounds.silence(at_ms), sounds.speech(words, voice)])
    heard, cleaned = through(guard, played_by(voice), None, said)
    assert not guard.found
    assert np.array_equal(heard, cleaned)


def test_an_echo_that_is_gone_is_forgotten_while_the_agent_speaks(reply: np.ndarray) -> None:
    guard, room = EchoGuard(), Room(-12, 120)
    found = []
    for index in range(150):
        piece = reply[index * VOICE_CHUNK : (index + 1) * VOICE_CHUNK]
        echo = room.hear(piece)
        guard.clean(echo if index < 75 else np.zeros(MIC_CHUNK, np.int16))  # then a headset is plugged in
        found.append(guard.found)
        guard.played(piece, VOICE_CHUNK)
    assert found[74]
    assert not found[-1]


def test_with_nothing_played_the_chunk_itself_comes_back() -> None:
    guard, chunk = EchoGuard(), sounds.noise(20)
    assert guard.clean(chunk) is chunk


def test_the_first_words_of_an_echo_are_in_doubt_before_they_are_known(reply: np.ndarray) -> None:
    guard, room, piece = EchoGuard(), Room(-12, 120), None
    doubted = found = None
    for index in range(100):
        guard.clean(room.hear(piece))
        doubted = index if doubted is None and guard.doubtful else doubted
        found = index if found is None and guard.found else found
        piece = reply[index * VOICE_CHUNK : (index + 1) * VOICE_CHUNK]
        guard.played(piece, VOICE_CHUNK)
    assert doubted is not None
    assert found is not None
    assert doubted < found <= doubted + 20


@pytest.mark.parametrize("delay", [0, 1000, 8000])
def test_the_delay_is_found_to_a_fraction_of_a_millisecond(delay: int) -> None:
    far = np.random.default_rng(4).standard_normal(20_000).astype(np.float32)
    near = far[20_000 - 6_000 - delay : 20_000 - delay] + np.random.default_rng(5).standard_normal(6_000)
    found = match(near.astype(np.float32), far)
    assert abs(found.delay - delay) <= 2
    assert found.evidence > 10


def test_a_track_holds_its_newest_samples_by_number_and_silence_elsewhere() -> None:
    track = Track(100)
    for start in range(0, 1000, 50):
        track.push(np.arange(start, start + 50, dtype=np.float32))
    assert np.array_equal(track.piece(920, 980), np.arange(920, 980))
    assert np.array_equal(track.piece(990, 1010), [*range(990, 1000), *[0] * 10])
    track.skip(1020)
    assert np.array_equal(track.piece(998, 1002), [998, 999, 0, 0])


def test_the_voice_is_brought_to_the_microphones_rate_without_a_seam() -> None:
    tone = np.sin(np.arange(VOICE_RATE) * 2 * np.pi * 1000 / VOICE_RATE).astype(np.float32)
    down = Downsampler()
    pieces = [down.push(piece) for piece in tone.reshape(-1, VOICE_CHUNK)]
    out = np.concatenate(pieces)[100:]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out))))
    peak = int(np.argmax(spectrum))
    assert abs(peak * MIC_RATE / len(out) - 1000) < 2
    spectrum[peak - 3 : peak + 4] = 0
    assert spectrum.max() < 0.006 * len(out) / 4  # -44 dB
