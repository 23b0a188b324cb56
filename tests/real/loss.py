"""A path between two peers that loses, delays and repeats packets: a UDP relay, steered by a seed.

It reads only what SRTP leaves in the clear (RFC 3711 §3.1): RTP's first twelve bytes.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Callable

Fate = Callable[[bytes], list[float]]  # a packet -> delays in seconds of its copies; []: lost


def unharmed(packet: bytes) -> list[float]:
    return [0.0]


def is_rtp(packet: bytes) -> bool:
    """Not STUN, DTLS or RTCP (RFC 7983, RFC 5761 §4)."""
    return len(packet) >= 12 and 128 <= packet[0] < 192 and not 64 <= packet[1] & 0x7F < 96


def lossy(share: float, seed: int = 1, jitter_s: float = 0.0) -> Fate:
    """Loses that share of the RTP packets, at random, and delays the others by up to `jitter_s`."""
    chance = random.Random(seed)

    def fate(packet: bytes) -> list[float]:
        if not is_rtp(packet):
            return [0.0]
        return [] if chance.random() < share else [chance.uniform(0, jitter_s)]

    return fate


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, path: LossyPath, upward: bool) -> None:
        self.path = path
        self.upward = upward

    def datagram_received(self, data: bytes, address: tuple) -> None:
        self.path.carry(data, address, self.upward)


class LossyPath:
    """client -> `front` | `back` -> server, and back. `up` and `down` may be replaced at any time."""

    def __init__(self) -> None:
        self.up: Fate = unharmed
        self.down: Fate = unharmed
        self.lost = 0
        self.rtp_timestamps: list[int] = []  # of what came down, in order
        self._sockets: list[asyncio.DatagramTransport] = []

    async def open(self, answer_sdp: str) -> str:
        """Puts itself before the server of that answer; returns the answer for the client."""
        candidate = re.search(r"a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", answer_sdp)
        assert candidate is not None, "the answer has an IPv4 candidate"
        self._server = (candidate[1], int(candidate[2]))
        self._client: tuple | None = None
        loop = asyncio.get_running_loop()
        self._front, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self, upward=True), local_addr=(candidate[1], 0), family=socket.AF_INET
        )
        self._back, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self, upward=False), local_addr=(candidate[1], 0), family=socket.AF_INET
        )
        self._sockets = [self._front, self._back]
        port = self._front.get_extra_info("sockname")[1]
        ours = candidate[0].replace(f" {candidate[2]} typ", f" {port} typ")
        without = re.sub(r"a=candidate:.*\r\n", "", answer_sdp)
        return without.replace("a=end-of-candidates\r\n", f"{ours}\r\na=end-of-candidates\r\n")

    def carry(self, data: bytes, address: tuple, upward: bool) -> None:
        if upward:
            self._client = address
        elif is_rtp(data):
            self.rtp_timestamps.append(int.from_bytes(data[4:8], "big"))
        fates = (self.up if upward else self.down)(data)
        self.lost += not fates
        for delay in fates:
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, self._pass_on, data, upward)
            else:
                self._pass_on(data, upward)

    def _pass_on(self, data: bytes, upward: bool) -> None:
        socket_, address = (self._back, self._server) if upward else (self._front, self._client)
        if not socket_.is_closing() and address is not None:
            socket_.sendto(data, address)

    def close(self) -> None:
        for each in self._sockets:
            each.close()


def without_candidates(offer_sdp: str) -> str:
    """The offer of a client that can only be reached through the path."""
    return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer_sdp)
