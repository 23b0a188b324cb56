"""Whoever finds the port of a call may send to it what he likes."""

from __future__ import annotations

import random
import re
import socket
import time

import pytest

from tests.real.served import Caller, caller, served

pytestmark = pytest.mark.real

SEED = 7
DATAGRAMS = [
    b"",
    b"\x80",  # of RTP, and nothing else
    b"\xbf\xc8",  # of RTCP
    b"\x16",  # of DTLS
    b"\x16\xfe\xfd" + b"\x00" * 10,
    b"\x80\x6f" + b"\x00" * 1_600,
    b"\x80\x6f" + b"\x00" * 60_000,
    b"\x80\xc8" + b"\x00" * 9_000,
    b"\x00\x01\x00\x08\x21\x12\xa4\x42" + b"\x00" * 12,  # of STUN, cut off
    b"\x01\x01\x00\x00\x21\x12\xa4\x42" + b"\x00" * 12,  # an answer nobody asked for
]


def at_random(count: int) -> list[bytes]:
    """First bytes as RFC 7983 sorts them, and then anything."""
    chance = random.Random(SEED)
    kinds = (0, 1, 16, 20, 22, 63, 64, 79, 128, 144, 160, 191, 255)
    return [bytes([chance.choice(kinds)]) + chance.randbytes(chance.randrange(200)) for _ in range(count)]


async def test_datagrams_of_a_stranger_cost_the_call_nothing() -> None:
    async with served() as server, caller(server) as one:
        await one.until("session.created")
        answer = one.pc.remoteDescription.sdp
        found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", answer)
        assert found
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for address, port in found:
                for datagram in DATAGRAMS + at_random(500):
                    stranger.sendto(datagram, (address, int(port)))
        await _still_talks(one)


async def _still_talks(one: Caller) -> None:
    one.send("session.update", session={})
    await one.until("output_audio_buffer.stopped")
    track = one.pc.getReceivers()[0].track
    began = time.monotonic()
    for _ in range(25):
        await track.recv()
    assert time.monotonic() - began < 5
