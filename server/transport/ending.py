"""How connections end: how soon a peer that vanished is noticed, and that nothing runs on after a close.

aioice 0.13 notices after 29 s with its own figures (consent, RFC 7675). A connection that is closed while
its checks are just being completed asks for consent for ever, of nobody; and one that is closed while it
connects leaves a task that fails with nobody to tell. Both happen to calls that are hung up at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aioice import ice
from aiortc import RTCIceTransport, RTCPeerConnection


def set_consent(failures: int, interval_s: float) -> None:
    """For all connections of this process: `failures` unanswered checks, one every `interval_s`, end one."""
    ice.CONSENT_FAILURES = failures
    ice.CONSENT_INTERVAL = interval_s  # type: ignore[assignment]


def ice_transports(pc: RTCPeerConnection) -> set[RTCIceTransport]:
    """One, where all is bundled."""
    channels = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        channels.append(pc.sctp.transport)
    return {channel.transport for channel in channels}


def begin_nothing_after_close(pc: RTCPeerConnection) -> None:
    """To be called when all transports of `pc` are there, before setLocalDescription."""
    for transport in ice_transports(pc):
        transport.start = _unless_closed(pc, transport.start)  # type: ignore[method-assign]
        agent = transport._connection
        agent.query_consent = _unless_closed(pc, agent.query_consent)  # type: ignore[method-assign]


def _unless_closed(pc: RTCPeerConnection, step: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def guarded(*arguments: Any) -> Any:
        if pc.signalingState == "closed":
            raise asyncio.CancelledError  # the task ends here, quietly
        return await step(*arguments)

    return guarded
