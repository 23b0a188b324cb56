"""One audio stream past aiortc's loops, packet by packet, in either direction.

aiortc 1.16 takes two tasks, a queue, three dates and about fifteen objects for each packet in and out, which
is more than half of what a quiet call costs. What it negotiates, encrypts and reports stays its own: the
first packet of a stream goes its way, and what it made of that one is the pattern for all that follow. SRTP
sessions, sockets (TURN's too), reports (RTCP) and every other kind of packet are untouched. Where a private
name is missing, `of` gives None and aiortc's own loops carry the stream, as they do until then.

RTP's header is that of RFC 3550 §5.1:

    byte  0: version 2, padding, extension, count of sources    1: marker, payload type
          2: sequence number (16 bits)    4: timestamp (32)    8: source, SSRC (32)    12: extension, payload
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from typing import Any

import pylibsrtp
from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import RtpPacket

log = logging.getLogger(__name__)

HEADER = struct.Struct("!BBHL")  # up to the timestamp
NUMBERS = struct.Struct("!HL")  # sequence number and timestamp, from byte 2 on
MARKER = 0x80
EXTENSION = 0x10
PLAIN = 0x80  # byte 0 less the extension's bit: version 2, no padding, no contributing sources
NTP_1970 = 2_208_988_800  # seconds from 1900 (RFC 3550 §4)

# aiortc 1.16, of the sender:
HISTORY = "_RTCRtpSender__rtp_history"
EXTENSIONS = "_RTCRtpSender__rtp_header_extensions_map"
SENT_AT = "_RTCRtpSender__ntp_timestamp"
SENT_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
SENT_OCTETS = "_RTCRtpSender__octet_count"
SENT_PACKETS = "_RTCRtpSender__packet_count"
# and of the receiver:
STREAMS = "_RTCRtpReceiver__remote_streams"


class Outlet:
    """Sends the packets of a stream that `sender` has begun, in its name and its reports."""

    def __init__(self, sender: RTCRtpSender, first: RtpPacket, header: bytes) -> None:
        self._sender: Any = sender
        self._start = header[0], header[1] & ~MARKER  # which is for the first after a pause (RFC 3551 §4.1)
        self._rest = header[8:]
        self._sequence = first.sequence_number
        self._octets: int = getattr(sender, SENT_OCTETS)
        self._packets: int = getattr(sender, SENT_PACKETS)

    @classmethod
    def of(cls, sender: RTCRtpSender | None) -> Outlet | None:
        """For a sender that waits for its second frame; None where aiortc is not what it was."""
        try:
            history = getattr(sender, HISTORY)
            (first,) = history.values()
            extensions = getattr(sender, EXTENSIONS)
            header = first.serialize(extensions)[: -len(first.payload)]
            first.extensions.abs_send_time = None
            if first.serialize(extensions)[: -len(first.payload)] != header:
                return None  # a header that tells the time is no pattern
            for name in (SENT_AT, SENT_TIMESTAMP):
                getattr(sender, name)
            return cls(sender, first, header)  # type: ignore[arg-type]
        except (AttributeError, ValueError):
            return None

    def send(self, payload: bytes, timestamp: int) -> None:
        """One packet, unless the sender is switched off. Raises ConnectionError when its transport has ended.

        Args:
            timestamp: RTP, 32 bits.
        """
        sender, (first, second) = self._sender, self._start
        if not sender._enabled:
            return
        self._sequence = self._sequence + 1 & 0xFFFF
        header = HEADER.pack(first, second, self._sequence, timestamp)
        sending = sender.transport._send_rtp(b"".join((header, self._rest, payload)))
        try:
            sending.send(None)  # a coroutine that waits for nothing: a datagram is sent or dropped
        except StopIteration:
            pass
        else:
            sending.close()
            raise ConnectionError("aiortc waits before it sends a packet")
        self._octets += len(payload)
        self._packets += 1
        # what the sender's next report says (RFC 3550 §6.4.1)
        setattr(sender, SENT_AT, int((time.time() + NTP_1970) * 2**32))
        setattr(sender, SENT_TIMESTAMP, timestamp)
        setattr(sender, SENT_OCTETS, self._octets)
        setattr(sender, SENT_PACKETS, self._packets)


class _Numbered:
    """What aiortc's statistics want to know of a packet."""

    __slots__ = ("sequence_number", "timestamp")
    sequence_number: int
    timestamp: int


Take = Callable[[int, int, bytes, int], None]  # sequence number, timestamp, payload, SSRC


class Inlet:
    """Takes a stream's packets where the datagram arrives.

    Args:
        take: called with each.
    """

    def __init__(self, receiver: RTCRtpReceiver, first: RtpPacket, take: Take) -> None:
        self._take = take
        self._receiver: Any = receiver
        transport: Any = receiver.transport
        self._agent: Any = transport.transport._connection
        self._others = self._agent.data_received
        self._unprotect = transport._rx_srtp.unprotect
        self._statistics = getattr(receiver, STREAMS)[first.ssrc]
        self._numbered = _Numbered()
        self._payload_type = first.payload_type
        self.ssrc = first.ssrc
        self._ssrc_bytes = first.ssrc.to_bytes(4, "big")
        self._agent.data_received = self._received

    @classmethod
    def of(cls, receiver: RTCRtpReceiver, first: RtpPacket, take: Take) -> Inlet | None:
        """For the stream of that packet, which has come by aiortc's loops; None where they are not what they
        were."""
        try:
            return cls(receiver, first, take)
        except (AttributeError, KeyError):
            return None

    def close(self) -> None:
        """From now on all packets go aiortc's way."""
        self._agent.data_received = self._others

    def _received(self, data: bytes, component: int) -> None:
        if (
            data[8:12] != self._ssrc_bytes
            or data[1] & 0x7F != self._payload_type
            or data[0] & ~EXTENSION != PLAIN
            or not self._receiver._enabled
        ):
            self._others(data, component)
            return
        try:
            packet = self._unprotect(data)
        except (pylibsrtp.Error, ValueError):  # damaged, forged or repeated; too long
            return
        at = 12
        if packet[0] & EXTENSION:
            at += 4 + 4 * int.from_bytes(packet[14:16], "big")
            if at > len(packet):
                return
        sequence, timestamp = NUMBERS.unpack_from(packet, 2)
        numbered = self._numbered
        numbered.sequence_number, numbered.timestamp = sequence, timestamp
        self._statistics.add(numbered)
        self._take(sequence, timestamp, packet[at:], self.ssrc)
