"""What the way back to the browser carries, told to its encoder.

The webcam is sent back as it came, so nobody but the browser's own encoder can make it smaller. It is told
our estimate of its upload (REMB, draft-alvestrand-rmcat-remb-03); here that becomes the least of three: our
estimate, the browser's of what we send it, and what the losses that it reports leave over.

And what is lost is not sent again at every request: a receiver that asks for all that it misses with every
packet it gets (aiortc does) had thousands of copies of a hundred packets sent, and a full queue stayed full.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import (
    RTCP_PSFB_APP,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)

log = logging.getLogger(__name__)

# aiortc 1.16
ESTIMATOR = "_RTCRtpReceiver__remote_bitrate_estimator"  # of the receiver; it sends what `add` returns
FEEDBACK = "_handle_rtcp_packet"  # of the sender: what the browser reports of our packets
SEND_AGAIN = "_retransmit"  # of the sender, by sequence number
SSRC = "_ssrc"

Remb = tuple[int, list[int]]  # bit/s, and the streams that share them

# draft-ietf-rmcat-gcc-02 §6: a loss of one packet in ten is one too many, of one in fifty none
MUCH, LITTLE = 0.10, 0.02
GROWTH = 1.08
JUDGED_EVERY_S = 1.0  # a browser reports more often, of losses that are not yet its answer to the last bound
LEAST_BPS = 30_000  # what an encoder still makes a picture of
FALL = 0.97  # of an estimate, to less than this share: it is told at once
SHORT = 0.75  # an estimate of less than this share of what was sent is the path's; of more, it lags behind
WINDOW_MS = 1000  # of aiortc's rate
COPY_AFTER_S = 0.1  # the last copy of a packet may still be in a queue; each time twice as long
REMEMBERED = 128  # packets, as many as aiortc keeps to send again


class Bound:
    """What the upload may be at most, in bit/s; no I/O and no clock."""

    def __init__(self) -> None:
        self.told_bps: int | None = None  # last
        self._estimate_bps: int | None = None  # the browser's, of what could reach it
        self._congested_bps: int | None = None  # the same since it fell
        self._lossless_bps: int | None = None

    def estimated(self, bps: int, sent_bps: int) -> None:
        """What the browser says, and what went there in the last second.

        As long as it rises it only follows what is sent, and would bind a camera that has just begun."""
        fell = self._estimate_bps is not None and bps < FALL * self._estimate_bps
        if fell or bps < SHORT * sent_bps or self._congested_bps is not None:
            self._congested_bps = bps
        self._estimate_bps = bps

    def lost(self, share: float) -> None:
        """`share` of the packets since the last time, 0 to 1; once in JUDGED_EVERY_S."""
        known = [bps for bps in (self.told_bps, self._estimate_bps) if bps is not None]
        if share > MUCH and known:
            last = self._lossless_bps or known[0]
            self._lossless_bps = round((1 - 0.5 * share) * min(last, *known))
        elif share < LITTLE and self._lossless_bps is not None:
            grown = round(GROWTH * self._lossless_bps)
            self._lossless_bps = grown if grown < 2 * max(known, default=0) else None  # it bounds nothing

    def apply(self, upload_bps: int | None) -> int | None:
        """The least of all, given our own estimate; None: nothing is known."""
        bounds = [bps for bps in (self._congested_bps, self._lossless_bps) if bps is not None]
        if not bounds:
            return upload_bps
        if upload_bps is None:
            return max(LEAST_BPS, min(bounds))
        if self._congested_bps is not None and self._congested_bps >= upload_bps:
            self._congested_bps = None  # the way back is the wider one again
        return max(LEAST_BPS, min(upload_bps, *bounds))


class Copies:
    """Which packets may be sent again now."""

    def __init__(self) -> None:
        self._next: OrderedDict[int, tuple[float, float]] = OrderedDict()  # number: due, and then how long

    def allows(self, number: int, now_s: float) -> bool:
        due_s, wait_s = self._next.get(number, (now_s, COPY_AFTER_S))
        if now_s < due_s:
            return False
        self._next[number] = now_s + wait_s, 2 * wait_s
        self._next.move_to_end(number)
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
        return True


class ReturnPath:
    """Of one call: the receiver's estimator in aiortc's place, and an ear for what the sender is told."""

    def __init__(self) -> None:
        self._bound = Bound()
        self._copies = Copies()
        self._loop = asyncio.get_running_loop()
        self._judged_s = self._loop.time() - JUDGED_EVERY_S
        self._own: Any = None  # aiortc's estimator
        self._upload: Remb | None = None  # what it said last
        self._began_ms: int | None = None
        self._sent_bps = 0  # in the last second: what came, since all of it is sent back
        self._ssrc = 0  # of the stream that we send

    def attach(self, receiver: RTCRtpReceiver, sender: RTCRtpSender) -> bool:
        """Before setLocalDescription. False where a private name is missing: then nothing is bound."""
        missing = [name for name in (FEEDBACK, SEND_AGAIN, SSRC) if not hasattr(sender, name)]
        self._own = getattr(receiver, ESTIMATOR, None)
        if not hasattr(self._own, "incoming_bitrate"):
            missing.append(ESTIMATOR)
        if missing:
            log.warning("aiortc has no %s; a slow way back is not told to the camera", ", ".join(missing))
            return False
        self._ssrc = getattr(sender, SSRC)
        setattr(receiver, ESTIMATOR, self)
        setattr(sender, FEEDBACK, self._listening(getattr(sender, FEEDBACK)))
        setattr(sender, SEND_AGAIN, self._sparing(getattr(sender, SEND_AGAIN)))
        return True

    def add(self, *, ssrc: int, arrival_time_ms: int, **packet: Any) -> Remb | None:
        """What aiortc's receiver calls with every packet; what it is to tell the browser now, if anything."""
        own: Remb | None = self._own.add(ssrc=ssrc, arrival_time_ms=arrival_time_ms, **packet)
        self._began_ms = self._began_ms or arrival_time_ms
        if arrival_time_ms - self._began_ms > WINDOW_MS:  # before, the first key frame is most of it
            self._sent_bps = self._own.incoming_bitrate.rate(arrival_time_ms) or 0
        self._upload = own or self._upload
        upload_bps, ssrcs = self._upload or (None, [ssrc])
        bps, told_bps = self._bound.apply(upload_bps), self._bound.told_bps
        if bps is None or (own is None and told_bps is not None and bps >= FALL * told_bps):
            return None
        self._bound.told_bps = bps
        return bps, ssrcs

    def _listening(
        self, handle: Callable[[AnyRtcpPacket], Awaitable[None]]
    ) -> Callable[[AnyRtcpPacket], Awaitable[None]]:
        async def listen(packet: AnyRtcpPacket) -> None:
            if isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
                self._estimated(packet.fci)
            elif isinstance(packet, RtcpRrPacket | RtcpSrPacket):
                for report in packet.reports:
                    if report.ssrc == self._ssrc:
                        self._lost(report.fraction_lost / 256)
            await handle(packet)

        return listen

    def _estimated(self, fci: bytes) -> None:
        try:
            bps, ssrcs = unpack_remb_fci(fci)
        except ValueError:  # another application's feedback
            return
        if self._ssrc in ssrcs:
            self._bound.estimated(bps, self._sent_bps)

    def _lost(self, share: float) -> None:
        if self._loop.time() >= self._judged_s + JUDGED_EVERY_S:
            self._judged_s = self._loop.time()
            self._bound.lost(share)

    def _sparing(self, send_again: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
        async def spare(number: int) -> None:
            if self._copies.allows(number, self._loop.time()):
                await send_again(number)

        return spare
