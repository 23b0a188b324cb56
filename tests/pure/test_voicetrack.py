"""The outbound track on a virtual clock: when packets leave, and that nothing in them clicks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from pipeline.audio import MIC_RATE, VOICE_RATE
from server.media.opus import opus_decoder, opus_encoder
from server.media.voicetrack import VoiceTrack
from tests.babble import babble, found
from tests.virtual import run

Read = Callable[[int], np.ndarray | None]


class Script:
    """A voice that says pieces of sound at given times: a stand-in for a session's `read`."""

    def __init__(self, sound: np.ndarray, start: int = 0) -> None:
        self.sound = sound
        self.start = start
        self.asked = 0

    def __call__(self, count: int) -> np.ndarray | None:
        at = self.asked - self.start
        self.asked += count
        return self.sound[at : at + count] if 0 <= at < len(self.sound) else None


class Sent:
    def __init__(self) -> None:
        self.packets: list[av.Packet] = []
        self.times: list[float] = []
        self.track: VoiceTrack


def send(read: Read, count: int, stall: Callable[[int], float] = lambda number: 0.0) -> Sent:
    """Pulls `count` packets as aiortc's sender does; `stall` says how long the loop stands still before n."""
    sent = Sent()

    async def pull() -> None:
        loop = asyncio.get_running_loop()
        sent.track = VoiceTrack(read, now=loop.time)
        for number in range(count):
            await asyncio.sleep(stall(number))
            sent.packets.append(await sent.track.recv())
            sent.times.append(loop.time())

    run(pull())
    return sent


def decoded(sent: Sent, rate: int = VOICE_RATE) -> np.ndarray:
    decoder = opus_decoder(rate)
    return np.concatenate([decoder.decode(bytes(packet)) for packet in sent.packets])


def roughest_step(sound: np.ndarray) -> int:
    """The largest difference between two samples in a row."""
    return int(np.abs(np.diff(sound.astype(int))).max())


def test_ten_minutes_do_not_drift() -> None:
    sent = send(lambda count: None, 30_000)
    late = [
        time - sent.times[0] - packet.pts / 48_000
        for time, packet in zip(sent.times, sent.packets, strict=True)
    ]
    assert max(map(abs, late)) < 0.005
    assert sent.packets[-1].pts == 29_999 * 960


def test_a_loop_that_is_always_a_little_late_does_not_drift_either() -> None:
    sent = send(lambda count: None, 3000, stall=lambda number: 0.007 * (number % 3))
    late = [time - packet.pts / 48_000 for time, packet in zip(sent.times, sent.packets, strict=True)]
    assert max(late) < 0.02
    assert min(late) > -0.0001


def test_never_faster_than_real_time() -> None:
    sent = send(Script(babble(10.0)), 500, stall=lambda number: 0.5 if number % 100 == 50 else 0.0)
    for time, packet in zip(sent.times, sent.packets, strict=True):
        assert packet.pts / 48_000 <= time + 1e-6


def test_a_short_stall_is_caught_up_and_a_long_one_is_left_out() -> None:
    short = send(lambda count: None, 50, stall=lambda number: 0.06 if number == 10 else 0.0)
    assert short.track.skipped == 0
    assert abs(short.times[-1] - 49 * 0.02) < 1e-6
    long = send(Script(babble(2.0)), 50, stall=lambda number: 1.0 if number == 10 else 0.0)
    assert long.track.skipped == 49
    assert [b.pts - a.pts for a, b in zip(long.packets, long.packets[1:], strict=False)].count(960) == 48
    assert long.track.asked == 50 * 480, "of the voice nothing is left out"


def test_every_packet_has_whole_ticks_at_48_khz() -> None:
    sent = send(Script(babble(0.5), start=4800), 60)
    assert all(isinstance(packet.pts, int) for packet in sent.packets)
    assert {(packet.time_base.numerator, packet.time_base.denominator) for packet in sent.packets} == {
        (1, 48_000)
    }


def test_what_is_read_is_what_is_heard() -> None:
    said = babble(2.0)
    shift, alike = found(said, decoded(send(Script(said), 101), MIC_RATE), 0.5, 8000)
    assert abs(shift) <= 10
    assert alike > 0.9


@pytest.mark.parametrize("cut_at", [1234, 4800, 4801, 5000])
def test_sound_that_begins_or_ends_abruptly_does_not_click(cut_at: int) -> None:
    """A loud low tone, cut in the middle of its swing: the steps stay those of the tone itself."""
    tone = (16_000 * np.cos(2 * np.pi * 150 * np.arange(cut_at) / VOICE_RATE)).astype(np.int16)
    smooth = roughest_step(tone)
    heard = decoded(send(Script(tone, start=4800), 60))
    assert np.abs(heard).max() > 12_000
    assert roughest_step(heard) < 4 * smooth
    bare = opus_encoder(VOICE_RATE)
    silence = np.zeros(4800, np.int16)
    cut = np.concatenate([silence, tone, np.zeros(-cut_at % 480, np.int16), silence])
    decoder = opus_decoder(VOICE_RATE)
    clicking = [decoder.decode(bare.encode(cut[at : at + 480])) for at in range(0, len(cut) - 479, 480)]
    assert roughest_step(np.concatenate(clicking)) > roughest_step(heard), "without the fades it does"


def test_sound_after_a_long_silence_is_what_it_is_at_the_start_of_a_call() -> None:
    """The decoder has heard a hundred copies of one silent packet that the encoder knows nothing of."""
    said = np.random.default_rng(4).normal(0, 5000, 12_000).astype(np.int16)
    voice = np.concatenate([np.zeros(4800, np.int16), said, np.zeros(48_000, np.int16), said])
    pieces = iter(voice.reshape(-1, 480))

    def read(count: int) -> np.ndarray | None:
        piece = next(pieces)
        return piece if piece.any() else None

    heard = decoded(send(read, len(voice) // 480))
    first, again = heard[4800:16_800], heard[64_800:]
    assert np.abs(heard[18_000:64_000]).max() < 20
    assert np.abs(first).max() > 5000
    assert np.abs(first.astype(int) - again).max() < 100


def test_silence_costs_no_encoding_and_few_bytes() -> None:
    sent = send(lambda count: None, 100)
    assert len({bytes(packet) for packet in sent.packets}) == 1
    assert len(bytes(sent.packets[0])) < 40


def test_a_voice_that_fails_is_silence_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def fails(count: int) -> np.ndarray | None:
        raise RuntimeError("on purpose")

    sent = send(fails, 20)
    assert len(sent.packets) == 20
    assert np.abs(decoded(sent)).max() < 20
    assert len(caplog.records) == 1, "said once"


def test_pieces_of_the_wrong_length_are_made_to_fit() -> None:
    lengths = iter([100, 480, 700, 0])

    def read(count: int) -> np.ndarray | None:
        length = next(lengths, None)
        return None if length is None else np.full(length, 5000, np.int16)

    assert len(send(read, 8).packets) == 8


def test_packets_are_tapped_as_they_are_sent() -> None:
    tapped: list[tuple[bytes, int]] = []

    async def pull() -> list[av.Packet]:
        loop = asyncio.get_running_loop()
        track = VoiceTrack(
            Script(babble(0.2)), now=loop.time, on_packet=lambda *packet: tapped.append(packet)
        )
        return [await track.recv() for _ in range(10)]

    assert [(bytes(packet), packet.pts) for packet in run(pull())] == tapped


def test_a_stopped_track_ends() -> None:
    async def stop() -> None:
        track = VoiceTrack(lambda count: None)
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()

    run(stop())


def test_before_anything_was_sent_no_rtp_timestamp_is_known() -> None:
    assert send(lambda count: None, 3).track.rtp_at(480) is None


class Reports:
    """A sender's reports from its client: the share of 256 packets lost, by the second of the call."""

    def __init__(self, lost: dict[int, int]) -> None:
        self.lost = lost

    async def getStats(self) -> dict[str, object]:
        now = asyncio.get_running_loop().time()
        lost = max(self.lost.items(), key=lambda pair: pair[0] if pair[0] <= now else -1)[1]
        if lost < 0:
            raise RuntimeError("on purpose")
        return {
            "out": SimpleNamespace(type="outbound-rtp"),
            "in": SimpleNamespace(type="remote-inbound-rtp", fractionLost=lost),
        }


def protection(lost: dict[int, int], seconds: int) -> list[bool]:
    """Whether packets were protected, second by second."""
    protected: list[bool] = []

    async def pull() -> None:
        loop = asyncio.get_running_loop()
        track = VoiceTrack(lambda count: np.ones(count, np.int16), now=loop.time)
        track.bind(Reports(lost))  # type: ignore[arg-type]
        for number in range(seconds * 50):
            await track.recv()
            if number % 50 == 49:
                protected.append(track.protected)

    run(pull())
    return protected


def test_a_client_that_loses_packets_gets_redundancy_until_half_a_minute_after() -> None:
    protected = protection({0: 0, 10: 12, 20: 0}, 60)
    assert not any(protected[:10])
    assert all(protected[11:48])
    assert not any(protected[51:])


def test_a_loss_of_one_in_a_hundred_is_left_to_the_clients_concealment() -> None:
    assert not any(protection({0: 2}, 10))


def test_reports_that_cannot_be_read_end_nothing() -> None:
    assert protection({0: -1}, 5) == [False] * 5


def test_all_tracks_wake_the_loop_together() -> None:
    times: list[float] = []

    async def pull() -> None:
        loop = asyncio.get_running_loop()
        for start in (0.003, 0.011, 0.019):
            await asyncio.sleep(start)
            track = VoiceTrack(lambda count: None, now=loop.time)
            for _ in range(3):
                await track.recv()
                times.append(loop.time())

    run(pull())
    assert all(abs(at_s / 0.02 - round(at_s / 0.02)) < 1e-6 for at_s in times)
