"""The voice at the other end of a real connection."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import av
import numpy as np
import pytest

from pipeline.audio import MIC_RATE
from tests.babble import babble, found
from tests.real.loss import is_rtp, lossy
from tests.real.media_peers import Answerer, call

pytestmark = pytest.mark.real


async def frames(track, seconds: float) -> list[tuple[float, av.AudioFrame]]:
    """What a stock client receives in that time, each with its arrival."""
    out = []
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        frame = await asyncio.wait_for(track.recv(), 5)
        out.append((time.perf_counter(), frame))
    return out


def sound(received: list[tuple[float, av.AudioFrame]]) -> np.ndarray:
    """int16 mono at 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=MIC_RATE)
    parts = []
    for _, frame in received:
        frame.pts = None
        parts += [part.to_ndarray().reshape(-1) for part in resampler.resample(frame)]
    return np.concatenate(parts)


async def test_a_stock_client_hears_what_the_session_says() -> None:
    said = babble(3.0)
    asked = 0

    def read(count: int) -> np.ndarray | None:
        nonlocal asked
        asked += count
        at = asked - 24_000
        return said[at : at + count] if 0 <= at <= len(said) - count else None

    async with call(Answerer(read=read)) as call_:
        heard = sound(await frames(call_.audio.receiver.track, 4.5))
    onset = int(np.flatnonzero(np.abs(heard) > 300)[0])
    shift, alike = found(said, heard, 1, onset + MIC_RATE)
    assert abs(shift) <= 60
    assert alike > 0.9
    assert np.abs(heard[: onset - 1600]).max() < 30


async def test_the_sender_is_passed_by_from_the_second_packet_on_and_nobody_sees_a_seam() -> None:
    """One stream: numbers and timestamps go on, and the sender's reports count what was sent past it."""
    packets: list[bytes] = []

    def note(packet: bytes) -> list[float]:
        if is_rtp(packet):
            packets.append(packet)
        return [0.0]

    async with call(Answerer()) as call_:
        call_.path.down = note
        sent = 0
        deadline = asyncio.get_running_loop().time() + 10
        while sent < 75 and asyncio.get_running_loop().time() < deadline:
            await call_.audio.receiver.track.recv()
            stats = await call_.client.getStats()
            report = next((each for each in stats.values() if each.type == "remote-outbound-rtp"), None)
            sent = report.packetsSent if report else 0
        own = await call_.server.pc.getSenders()[0].getStats()
    counted = next(each for each in own.values() if each.type == "outbound-rtp").packetsSent
    assert 75 <= sent <= counted
    assert abs(counted - len(packets)) <= 5, "those before `note` was put there"
    numbers = [int.from_bytes(packet[2:4], "big") for packet in packets]
    stamps = [int.from_bytes(packet[4:8], "big") for packet in packets]
    assert {(b - a) % 2**16 for a, b in pairwise(numbers)} == {1}
    assert {(b - a) % 2**32 % 960 for a, b in pairwise(stamps)} == {0}
    assert len({packet[8:12] for packet in packets}) == 1
    assert {packet[1] & 0x7F for packet in packets} == {96}


async def test_the_clients_reports_and_rtp_timestamps_agree_with_rtp_at() -> None:
    """`rtp_at` names the very RTP timestamp under which a sample arrives."""
    server = Answerer()
    async with call(server) as call_:
        for _ in range(20):
            await call_.audio.receiver.track.recv()
        deadline = asyncio.get_running_loop().time() + 5
        report = None
        while report is None and asyncio.get_running_loop().time() < deadline:
            await call_.audio.receiver.track.recv()
            stats = await call_.client.getStats()
            report = next((each for each in stats.values() if each.type == "remote-outbound-rtp"), None)
        assert report is not None, "sender reports arrive"
        origin = server.voice.rtp_at(0)
        assert origin is not None
        assert server.voice.rtp_at(480) == (origin + 960) % 2**32
        last = server.voice.rtp_at(server.voice.asked)
        seen = call_.path.rtp_timestamps
        assert seen, "RTP came down the path"
        assert min((last - timestamp) % 2**32 for timestamp in seen) <= 2 * 960
        assert all((timestamp - origin) % 960 == 0 for timestamp in seen)


async def test_a_client_whose_reports_tell_of_losses_gets_redundancy() -> None:
    server = Answerer()
    async with call(server) as call_:
        deadline = asyncio.get_running_loop().time() + 15
        for _ in range(75):
            await call_.audio.receiver.track.recv()
        assert not server.voice.protected
        call_.path.down = lossy(0.2)
        while not server.voice.protected and asyncio.get_running_loop().time() < deadline:
            await call_.audio.receiver.track.recv()
        assert server.voice.protected
