"""How connections end: how soon a peer that vanished is noticed, and that nothing runs on after a close.

aioice 0.13 notices after 29 s with its own figures (consent, RFC 7675). It waits for an answer for half a
second only: behind a slow network, or on a machine with much to do, nobody answers so soon, and a call that
is well would be ended. A connection that is closed while its checks are just being completed asks for consent
for ever, of nobody; and one that is closed while it connects leaves a task that fails with nobody to tell.
Both happen to calls that are hung up at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aioice import Connection, ice
from aiortc import RTCIceTransport, RTCPeerConnection


def set_consent(failures: int, interval_s: float) -> None:
    """For all connections of this process: a check every `interval_s`; one that has no answer for as long as
    `failures` of them take ends the connection."""
    ice.CONSENT_FAILURES = failures
    ice.CONSENT_INTERVAL = interval_s  # type: ignore[assignment]


def ice_transports(pc: RTCPeerConnection) -> set[RTCIceTransport]:
    """One, where all is bundled."""
    channels = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        channels.append(pc.sctp.transport)
    return {channel.transport for channel in channels}


def begin_nothing_after_close(
    pc: RTCPeerConnection,
    vanished: Callable[[], None] = lambda: None,
    received: Callable[[], int] = lambda: 0,
) -> None:
    """To be called when all transports of `pc` are there, before setLocalDescription.

    Args:
        vanished: called before it is closed for want of its peer, which looks like a goodbye of that one.
        received: packets so far that only the peer can have sent. While they come it has not vanished.
    """
    for transport in ice_transports(pc):
        transport.start = _unless_closed(pc, transport.start)  # type: ignore[method-assign]
        agent = transport._connection
        consent = _unless_closed(pc, partial(query_consent, agent, vanished, received))
        agent.query_consent = consent  # type: ignore[method-assign]


async def query_consent(agent: Connection, vanished: Callable[[], None], received: Callable[[], int]) -> None:
    """Until the peer has vanished: then the connection is closed. In place of aioice's method."""
    while True:
        await asyncio.sleep(ice.CONSENT_INTERVAL * random.uniform(0.8, 1.2))  # RFC 7675 §5.1
        for pair in list(agent._nominated.values()):
            if not await _answers(agent, pair, received) and pair in agent._nominated.values():
                vanished()
                agent._query_consent_task = None  # this one: closing is not to cancel it
                return await agent.close()


async def _answers(agent: Connection, pair: ice.CandidatePair, received: Callable[[], int]) -> bool:
    """Asked again after 0.5, 1.5 and 3.5 s; an answer to any of these counts. The time is counted in
    intervals, so that one that came while this process stood still is read before the time is over. Where it
    has more to do than it can, answers wait behind seconds of sound, or are lost: then the sound counts."""
    assert agent.remote_password is not None, "without it there is no pair"
    key = agent.remote_password.encode()
    request = pair.protocol.request(
        agent.build_request(pair, nominate=False), pair.remote_addr, integrity_key=key
    )
    asked = asyncio.create_task(request, name="consent")
    try:
        for _ in range(ice.CONSENT_FAILURES):
            before = received()
            if (await asyncio.wait([asked], timeout=ice.CONSENT_INTERVAL))[0]:
                return asked.exception() is None
        return received() > before
    finally:
        asked.cancel()


def _unless_closed(pc: RTCPeerConnection, step: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    async def guarded(*arguments: Any) -> Any:
        if pc.signalingState == "closed":
            raise asyncio.CancelledError  # the task ends here, quietly
        return await step(*arguments)

    return guarded
