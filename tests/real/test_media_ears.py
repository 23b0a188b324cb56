"""What reaches the pipeline of a voice that a real peer sends over a bad network.

Exact times are tests/pure/test_ears.py's matter: here the machine may be busy. So silence is put in place of
packets only after a second where a stall of the test's own sender would be taken for the network's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.audio import MIC_CHUNK, MIC_RATE, AudioChunk
from server.media.ears import Ears
from tests.babble import babble, found
from tests.real.loss import is_rtp
from tests.real.media_peers import Answerer, Microphone, at, call

pytestmark = pytest.mark.real


def lateness_ms(server: Answerer, microphone: Microphone) -> dict[int, float]:
    """From the sending of a packet to its chunk, by the number of the packet, for each that was heard."""
    number = {timestamp: index for index, timestamp in enumerate(microphone.sent)}
    return {
        number[timestamp]: 1000 * (heard_s - microphone.sent[timestamp])
        for timestamp, _, heard_s in server.packets
    }


async def test_a_voice_arrives_whole_and_at_once() -> None:
    server = Answerer(silence_after_ms=1000)
    async with call(server) as call_:
        microphone = Microphone(call_)
        said = babble(3.0)
        await microphone.say(said)
        await at(asyncio.get_running_loop().time() + 0.05)
    late = lateness_ms(server, microphone)
    assert len(late) == 150
    assert np.percentile(list(late.values()), 50) < 10
    first = server.packets[0][1]
    for second in (0, 1, 2):
        shift, alike = found(said, server.heard(), second, first + second * MIC_RATE)
        assert abs(shift) <= 10
        assert alike > 0.9


async def test_chunks_are_continuous_and_20_ms_each() -> None:
    server = Answerer()
    async with call(server) as call_:
        await Microphone(call_).say(babble(1.0), lost=lambda number: number in (7, 8, 30))
    assert [chunk.at for chunk in server.chunks] == [n * MIC_CHUNK for n in range(len(server.chunks))]
    assert {(len(chunk.samples), chunk.rate, chunk.samples.dtype.str) for chunk in server.chunks} == {
        (MIC_CHUNK, MIC_RATE, "<i2")
    }


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("1 %", lambda chance: {n for n in range(250) if chance.random() < 0.01} | {20}),
        ("5 %", lambda chance: {n for n in range(250) if chance.random() < 0.05}),
        ("bursts", lambda chance: {*range(40, 44), *range(90, 98), *range(150, 153)}),
    ],
    ids=["1 %", "5 %", "bursts"],
)
async def test_a_loss_is_filled_and_delays_nothing_after_it(
    name: str, pattern: Callable[[random.Random], set[int]]
) -> None:
    gone = pattern(random.Random(3))
    server = Answerer(silence_after_ms=1000)
    async with call(server) as call_:
        microphone = Microphone(call_)
        said = babble(5.0)
        await microphone.say(said, lost=gone.__contains__)
        await at(asyncio.get_running_loop().time() + 0.07)
    assert server.ears.figures["lost"] == len(gone)
    first = server.packets[0][1]
    for timestamp, heard_at, _ in server.packets:
        number = (timestamp - 500_000) // 960
        assert heard_at - first == number * MIC_CHUNK, f"{name} lost: packet {number} is heard at its time"
    for second in range(5):
        if not gone & set(range(second * 50 - 5, second * 50 + 50)):
            shift, alike = found(said, server.heard(), second, first + second * MIC_RATE)
            assert abs(shift) <= 10
            assert alike > 0.9
    late = lateness_ms(server, microphone)
    calm = [late[n] for n in late if not gone & {n - 1, n - 2}]
    assert np.percentile(calm, 50) < 10, "what follows no loss is handed on at once, also at the end"
    assert np.percentile([late[n] for n in late if n > 200], 50) < 10


async def test_packets_that_change_places_are_all_heard() -> None:
    server = Answerer(silence_after_ms=1000)
    async with call(server) as call_:
        microphone = Microphone(call_)
        said = babble(3.0)
        await microphone.say(said, order=lambda number: 0.025 if number % 5 == 3 else 0.0)
        await at(asyncio.get_running_loop().time() + 0.05)
    assert server.ears.figures["lost"] <= microphone.held_up, "only what came later than it was to"
    assert len(server.packets) == 150 - server.ears.figures["lost"]
    shift, alike = found(said, server.heard(), 2, server.packets[0][1] + 2 * MIC_RATE)
    assert abs(shift) <= 10
    assert alike > 0.9


async def test_numbers_and_timestamps_that_wrap_are_not_noticed() -> None:
    server = Answerer(silence_after_ms=1000)
    async with call(server) as call_:
        microphone = Microphone(call_, sequence=2**16 - 60, timestamp=2**32 - 40 * 960)
        said = babble(3.0)
        await microphone.say(said, lost=lambda number: number == 60)
        await at(asyncio.get_running_loop().time() + 0.05)
    assert server.ears.figures["lost"] == 1
    assert server.ears.figures["restarts"] == 0
    for second in range(3):
        shift, alike = found(said, server.heard(), second, server.packets[0][1] + second * MIC_RATE)
        assert abs(shift) <= 10
        assert alike > 0.9


async def test_four_seconds_without_packets_are_four_seconds_of_silence_as_they_pass() -> None:
    server = Answerer()
    loop = asyncio.get_running_loop()
    async with call(server) as call_:
        microphone = Microphone(call_)
        await microphone.say(babble(1.0))
        before = len(server.chunks)
        start = loop.time()
        microphone.pause(4.0)
        for second in range(1, 5):
            await at(start + second)
            fed = (len(server.chunks) - before) * 0.02
            assert abs(fed - second) < 0.15, "the microphone's clock goes on at the pace of the world's"
        said = babble(1.0, seed=6)
        await microphone.say(said)
        await at(loop.time() + 0.05)
    last, after = server.packets[49][1], server.packets[50][1]
    assert abs((after - last) / MIC_RATE - 4.02) < 0.15
    assert np.abs(server.heard()[last + 4000 : after - 1000]).max() < 50
    shift, alike = found(said, server.heard(), 0, after)
    assert abs(shift) <= 10
    assert alike > 0.9


async def test_silence_is_fed_before_the_first_packet() -> None:
    server = Answerer()
    async with call(server):
        start = asyncio.get_running_loop().time()
        count = len(server.chunks)
        await at(start + 0.6)
        assert 20 <= len(server.chunks) - count <= 40


async def test_the_reports_that_the_sender_gets_tell_the_loss() -> None:
    server = Answerer()
    async with call(server) as call_:
        await Microphone(call_).say(babble(3.2), lost=lambda number: number % 10 == 5)
        stats = await call_.client.getStats()
    report = next(each for each in stats.values() if each.type == "remote-inbound-rtp")
    assert report.packetsLost > 5
    assert 0 < report.fractionLost <= 60  # of 256


async def test_a_repeated_packet_is_heard_once_and_a_forged_one_never() -> None:
    """Past aiortc's loops as well: what SRTP does not vouch for is not listened to."""
    server = Answerer()
    async with call(server) as call_:
        agent = server.pc.getTransceivers()[0].receiver.transport.transport._connection
        forged: list[bytes] = []

        def twice(packet: bytes) -> list[float]:
            if is_rtp(packet) and len(packet) > 40:
                for copy in (packet[:-1] + bytes([packet[-1] ^ 1]), packet + bytes(1600), packet[:15]):
                    forged.append(copy)
                    agent.data_received(copy, 1)
            return [0.0, 0.002]

        microphone = Microphone(call_, sequence=65_480)
        await microphone.say(babble(0.4))
        call_.path.up = twice
        await microphone.say(babble(2.0))
        await at(asyncio.get_running_loop().time() + 0.1)
        assert call_.client.connectionState == server.pc.connectionState == "connected"
    assert len(forged) >= 290
    assert len(server.packets) == 120, "over the wrap of the sequence number too"
    figures = server.ears.figures
    assert figures["lost"] == figures["late"] == figures["restarts"] == 0


async def test_another_source_takes_the_place_of_the_first() -> None:
    server = Answerer()
    async with call(server) as call_:
        microphone = Microphone(call_)
        await microphone.say(babble(0.5))
        call_.audio.sender._ssrc ^= 1
        await microphone.say(babble(0.5))
        await at(asyncio.get_running_loop().time() + 0.05)
    assert len(server.packets) == 50
    assert server.ears.figures["restarts"] == 1


async def test_a_listener_that_fails_does_not_end_the_call() -> None:
    class Failing(Answerer):
        def ears_for(self, *arguments: object, **settings: object) -> Ears:
            def fail(chunk: AudioChunk) -> None:
                self.chunks.append(chunk)
                raise RuntimeError("on purpose")

            return Ears(arguments[0], arguments[1], fail, **settings)  # type: ignore[arg-type]

    server = Failing()
    async with call(server) as call_:
        await Microphone(call_).say(babble(0.5))
        await at(asyncio.get_running_loop().time() + 0.05)
        assert call_.client.connectionState == server.pc.connectionState == "connected"
    assert len(server.packets) == 25


async def test_without_the_private_name_the_track_is_consumed() -> None:
    server = Answerer(own_buffer=False, silence_after_ms=1000)
    async with call(server) as call_:
        assert not server.ears.attached
        said = babble(3.0)
        await Microphone(call_).say(said)
        await at(asyncio.get_running_loop().time() + 0.1)
    assert server.packets == []
    assert [chunk.at for chunk in server.chunks] == [n * MIC_CHUNK for n in range(len(server.chunks))]
    heard = server.heard()
    onset = int(np.flatnonzero(np.abs(heard) > 300)[0])
    shift, alike = found(said, heard, 1, onset + MIC_RATE)
    assert abs(shift) <= 60
    assert alike > 0.9
