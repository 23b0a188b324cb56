"""The inbound half on a virtual clock: exact times, real Opus, a real receiver, no network."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtpPacket

from pipeline.audio import MIC_CHUNK, AudioChunk
from server.media.ears import Ears
from server.media.opus import opus_encoder
from tests.babble import babble, found
from tests.virtual import run

FRAME = 960


class Heard:
    """What was handed on, with the time it was."""

    def __init__(self) -> None:
        self.chunks: list[AudioChunk] = []
        self.times: list[float] = []  # seconds, of each chunk
        self.fed = 0
        self.figures: dict[str, int] = {}

    def chunk(self, chunk: AudioChunk) -> None:
        assert chunk.at == len(self.chunks) * MIC_CHUNK
        assert len(chunk.samples) == MIC_CHUNK
        self.chunks.append(chunk)
        self.times.append(asyncio.get_running_loop().time())

    @property
    def sound(self) -> np.ndarray:
        return np.concatenate([chunk.samples for chunk in self.chunks])


def stand_still(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    loop._jumping.seconds += seconds  # type: ignore[attr-defined]  # tests.virtual


def hear(
    arrivals: Iterable[tuple[float, int, int, bytes]], until: float, stall: tuple[float, float] = (0.0, 0.0)
) -> Heard:
    """Runs ears for `until` seconds; arrivals are (seconds, sequence number, timestamp, payload).

    `stall`: when the loop stands still, and for how many seconds.
    """
    heard = Heard()

    async def play() -> None:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        receiver = pc.addTransceiver("audio").receiver
        ears = Ears(receiver, None, heard.chunk)
        assert ears.attach()
        loop = asyncio.get_running_loop()
        loop.call_at(stall[0], stand_still, loop, stall[1])
        for seconds, sequence, timestamp, payload in arrivals:
            packet = RtpPacket(
                payload_type=96,
                sequence_number=sequence % 2**16,
                timestamp=timestamp % 2**32,
                payload=payload,
            )
            packet.ssrc = 7
            loop.call_at(seconds, ears.add, packet)
        running = loop.create_task(ears.run())
        loop.call_at(until, ears.close)
        await running
        heard.fed = ears.fed
        heard.figures = ears.figures
        await pc.close()

    run(play())
    return heard


def payloads(sound: np.ndarray) -> list[bytes]:
    encoder = opus_encoder(24_000)
    return [encoder.encode(sound[start : start + 480]) for start in range(0, len(sound) - 479, 480)]


def in_time(
    packets: list[bytes], start_s: float = 0.0, sequence: int = 100, timestamp: int = 9000
) -> list[tuple[float, int, int, bytes]]:
    return [
        (start_s + n * 0.02, sequence + n, timestamp + n * FRAME, payload)
        for n, payload in enumerate(packets)
    ]


def test_each_packet_is_a_chunk_at_the_moment_it_arrives() -> None:
    said = babble(2.0)
    heard = hear(in_time(payloads(said)), until=2.0)
    assert np.allclose(heard.times, [n * 0.02 for n in range(100)])
    assert heard.fed == 0
    shift, alike = found(said, heard.sound, 0.5, 8000)
    assert abs(shift) <= 10
    assert alike > 0.9


def test_a_loss_delays_one_packet_by_20_ms_and_nothing_after_that() -> None:
    arrivals = in_time(payloads(babble(1.0)))
    del arrivals[20]
    heard = hear(arrivals, until=1.0)
    expected = [n * 0.02 for n in range(50)]
    expected[20] = expected[21] = 22 * 0.02
    assert np.allclose(heard.times, expected)


def test_more_sound_than_time_is_not_listened_to() -> None:
    """Two minutes of speech in a second would cost the gate and the recogniser as much as sixty calls."""
    voice = payloads(babble(1.0))
    arrivals = [(n / 6000, n, n * FRAME, voice[n % 50]) for n in range(6000)]
    heard = hear(arrivals, until=1.0)
    assert 14 < len(heard.chunks) * 0.02 < 18


def test_what_comes_at_once_after_a_network_stood_still_is_heard() -> None:
    voice = in_time(payloads(babble(5.0)))
    heard = hear([(5 + n / 100_000, *packet[1:]) for n, packet in enumerate(voice)], until=5.01)
    assert sum(bool(chunk.samples.any()) for chunk in heard.chunks) > 240


def test_packets_that_stop_become_silence_after_100_ms_and_then_every_20_ms() -> None:
    heard = hear(in_time(payloads(babble(0.2))), until=0.51)
    assert len(heard.chunks) == 10 + 15
    silence = [round(time * 1000) for time in heard.times[10:]]
    assert silence == [280] * 4 + list(range(300, 510, 20))
    assert all(not chunk.samples.any() for chunk in heard.chunks[10:])


def test_silence_of_ten_seconds_is_ten_seconds_long_and_what_follows_is_whole() -> None:
    packets = payloads(babble(1.0))
    said = babble(1.0, seed=6)
    later = in_time(payloads(said), start_s=11.0, sequence=150, timestamp=9000 + 550 * FRAME)
    heard = hear(in_time(packets) + later, until=12.0)
    assert len(heard.chunks) == 600
    assert abs(heard.times[-1] - 11.98) < 1e-6
    shift, alike = found(said, heard.sound, 0, 11 * 16_000)
    assert abs(shift) <= 10
    assert alike > 0.9


def test_opus_dtx_with_a_packet_every_400_ms_keeps_time() -> None:
    packets = payloads(np.zeros(24_000, np.int16))
    sparse = [(n * 0.4, 100 + n, 9000 + n * 20 * FRAME, packets[n]) for n in range(20)]
    heard = hear(sparse, until=8.0)
    assert abs(len(heard.chunks) - 400) <= 5
    lag = [time - (n + 1) * 0.02 for n, time in enumerate(heard.times)]
    assert max(lag) < 0.1
    assert min(lag) > -0.021


def test_a_burst_of_losses_longer_than_the_watchdog_leaves_the_timeline_whole() -> None:
    said = babble(2.0)
    arrivals = in_time(payloads(said))
    del arrivals[20:32]
    heard = hear(arrivals, until=2.0)
    assert len(heard.chunks) == 100
    shift, alike = found(said, heard.sound, 1.0, 16_000)
    assert abs(shift) <= 10
    assert alike > 0.9
    assert abs(heard.times[-1] - 1.98) < 1e-6


def test_packets_held_up_and_then_delivered_at_once_are_all_heard() -> None:
    said = babble(2.0)
    arrivals = [
        (seconds if seconds < 0.41 else max(seconds, 0.605 + seconds / 1e6), *rest)
        for seconds, *rest in in_time(payloads(said))
    ]
    heard = hear(arrivals, until=2.0)
    assert heard.figures["lost"] == heard.figures["late"] == 0
    assert heard.fed == 9 * MIC_CHUNK  # what passed without packets, and no more
    shift, alike = found(said, heard.sound, 1.0, 16_000 + heard.fed)
    assert abs(shift) <= 10
    assert alike > 0.9


def test_a_long_network_jitter_below_the_watchdog_feeds_nothing() -> None:
    arrivals = [
        (seconds + 0.08 * (n % 4 == 0), *rest)
        for n, (seconds, *rest) in enumerate(in_time(payloads(babble(2.0))))
    ]
    heard = hear(sorted(arrivals), until=2.1)
    assert heard.fed <= MIC_CHUNK * 5  # at the very end, after the last packet


def test_a_network_that_holds_packets_up_again_and_again_is_waited_for() -> None:
    """Three packets a second come 150 ms late, and all that follows them waits behind them."""
    packets = in_time(payloads(babble(8.0)))
    arrivals: list[tuple[float, int, int, bytes]] = []
    for n, (seconds, *rest) in enumerate(packets):
        stalled_s = (n // 16) * 16 * 0.02 + 0.15 if n < 320 else 0.0
        arrivals.append((max(seconds, stalled_s + (n % 16) / 1e5), *rest))  # type: ignore[arg-type]
    heard = hear(arrivals, until=9.0)
    assert heard.figures["lost"] == heard.figures["late"] == 0
    learnt = [n for n, chunk in enumerate(heard.chunks) if not chunk.samples.any() and n > 40]
    times = [heard.times[n] for n in learnt]
    assert not [at_s for at_s in times if 1.5 < at_s < 8.0]
    assert times
    assert times[0] - 7.98 < 0.21  # and what ends is still noticed, a little later


def test_silence_after_the_end_comes_again_after_100_ms_when_the_network_is_calm() -> None:
    packets = in_time(payloads(babble(8.0)))
    arrivals = [
        (max(seconds, (n // 16) * 0.32 + 0.15 + (n % 16) / 1e5) if n < 64 else seconds, *rest)
        for n, (seconds, *rest) in enumerate(packets)
    ]
    heard = hear(arrivals, until=9.0)
    after = [at_s for at_s in heard.times if at_s > 7.99]
    assert abs(after[0] - 7.98 - 0.1) < 0.005


def test_packets_of_10_and_60_ms_come_out_as_20_ms() -> None:
    quarter = opus_encoder(24_000).encode(np.zeros(480, np.int16))
    ten_ms = bytes([(quarter[0] & 0x07) | 0x60]) + quarter[1:]  # the same frame, told to be 10 ms of hybrid
    heard = hear([(n * 0.01, n, n * 480, ten_ms) for n in range(100)], until=1.0)
    assert len(heard.chunks) == 50
    assert heard.fed == 0


def test_after_a_stall_the_socket_is_read_before_a_packet_is_given_up() -> None:
    """asyncio reads one datagram a round: what came meanwhile is still in the socket when the timers fire."""
    read = {20: 0.531, **{late: 0.5 + late / 500 for late in range(22, 27)}}
    arrivals = [
        (read.get(number, seconds), sequence, timestamp, payload)
        for number, (seconds, sequence, timestamp, payload) in enumerate(in_time(payloads(babble(1.0))))
    ]
    assert hear(arrivals, until=1.0, stall=(0.43, 0.1)).figures["lost"] == 0
