"""What may reach a call's DTLS and SRTP: datagrams that can be such.

aioice hands on whatever arrives at its port, from anybody. aiortc 1.16 looks at the first two bytes, and
libsrtp at all, without asking whether they are there, or too many: an empty datagram ends a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiortc import RTCPeerConnection

from server.transport.ending import ice_transports

LEAST = 12  # bytes; of RTP's header (RFC 3550 §5.1), and of RTCP with SRTP's tag; DTLS' is 13 (RFC 6347 §4.1)
MOST = 1_500  # bytes; what the buffers of aiortc and libsrtp hold


def let_in_what_fits(pc: RTCPeerConnection) -> None:
    """To be called when all transports of `pc` are there, before setLocalDescription."""
    for transport in ice_transports(pc):
        agent: Any = transport._connection
        agent.data_received = _fitting(agent.data_received)


def _fitting(take: Callable[[bytes, int], None]) -> Callable[[bytes, int], None]:
    def received(data: bytes, component: int) -> None:
        if LEAST <= len(data) <= MOST:
            take(data, component)

    return received
