"""ICE consent (RFC 7675): how soon a peer that vanished is noticed, and that asking ends with the call.

aioice 0.13 takes 29 s with its own figures. And a connection that is closed while its checks are just being
completed asks for consent for ever, of nobody: one task for each call that is hung up while it connects.
"""

from __future__ import annotations

from aioice import ice
from aiortc import RTCPeerConnection


def set_consent(failures: int, interval_s: float) -> None:
    """For all connections of this process: `failures` unanswered checks, one every `interval_s`, end one."""
    ice.CONSENT_FAILURES = failures
    ice.CONSENT_INTERVAL = interval_s  # type: ignore[assignment]


def end_consent_with(pc: RTCPeerConnection) -> None:
    """No check begins after `pc` was closed. To be called when all of its transports are there."""
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    for agent in {transport.transport._connection for transport in transports}:
        ask = agent.query_consent

        async def ask_while_open(ask: object = ask) -> None:
            if pc.signalingState != "closed":
                await ask()  # type: ignore[operator]

        agent.query_consent = ask_while_open
