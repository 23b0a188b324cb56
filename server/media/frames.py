"""Encoded video frames out of RTP packets, each as soon as it is complete; VP8 and H.264.

No I/O and no clock. A missing packet is waited for (it is retransmitted: RFC 4585, 4588), then given up,
and nothing comes out until the next key frame, because what leans on a missing frame cannot be shown.
"""

from __future__ import annotations

from dataclasses import dataclass

WAIT_S = 0.25  # for a retransmission: a round trip and a second try
MOST_HELD = 512  # packets after a gap; a key frame of 640x480 has about 40
MOST_BYTES = 2_000_000  # of one frame; a key frame of 1920x1080 has about 200,000
MAX_MISORDER = 600  # sequence numbers back that still are the same stream (retransmissions come late)
MAX_DROPOUT = 3000  # and forward (RFC 3550 A.1)
START_CODE = b"\x00\x00\x01"
SLICE_OF_KEY_FRAME, PARAMETER_SET = 5, 7  # NAL unit types (H.264 table 7-1)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    data: bytes  # VP8 frame, or H.264 NAL units with start codes
    timestamp: int  # RTP, at 90 kHz
    key: bool


def starts_key_frame(codec: str, payload: bytes, data: bytes) -> bool:
    """Whether a packet is the first of a key frame.

    Args:
        codec: "VP8" or "H264".
        payload: of the RTP packet.
        data: the same without its payload descriptor (VP8), or as NAL units with start codes (H.264).
    """
    if not payload or not data:
        return False
    if codec == "VP8":  # RFC 7741 §4.2: S and partition 0; RFC 6386 §9.1: bit 0 clear
        return bool(payload[0] & 0x10) and not payload[0] & 0x07 and not data[0] & 1
    at = data.find(START_CODE, 0, 4)  # a later fragment of a unit has none (RFC 6184 §5.8)
    return at >= 0 and len(data) > at + 3 and data[at + 3] & 0x1F in (SLICE_OF_KEY_FRAME, PARAMETER_SET)


@dataclass(frozen=True, slots=True)
class _Packet:
    timestamp: int
    marker: bool
    data: bytes
    starts_key: bool
    arrived_s: float


class FrameBuffer:
    """One inbound stream. `wants_key`: nothing can be shown before the next key frame."""

    def __init__(self) -> None:
        self.wants_key = True
        self.given_up = 0  # gaps
        self._ssrc: int | None = None
        self._next: int | None = None  # sequence number, unwrapped
        self._held: dict[int, _Packet] = {}
        self._parts: list[bytes] = []  # of the frame that is being put together
        self._size = 0  # bytes of them
        self._timestamp = 0
        self._key = False

    def push(
        self,
        sequence: int,
        timestamp: int,
        marker: bool,
        data: bytes,
        *,
        starts_key: bool,
        now_s: float,
        ssrc: int = 0,
    ) -> list[EncodedFrame]:
        """A packet in; the frames that are complete now out, in order."""
        step = 0 if self._next is None else (sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if self._next is None or ssrc != self._ssrc or not -MAX_MISORDER <= step <= MAX_DROPOUT:
            self._ssrc = ssrc
            self._lose()
            self._held.clear()
            self._next = sequence
            step = 0
        if step < 0:
            return []
        packet = _Packet(timestamp, marker, data, starts_key, now_s)
        number = self._next + step
        self._held.setdefault(number, packet)
        if self.wants_key and starts_key:
            self._skip_to(number)
        return self._complete(now_s)

    def _complete(self, now_s: float) -> list[EncodedFrame]:
        out: list[EncodedFrame] = []
        while self._held:
            assert self._next is not None
            packet = self._held.pop(self._next, None)
            if packet is not None:
                self._next += 1
                self._take(packet, out)
            elif self.wants_key:
                self._skip_to(min(self._held))
            elif len(self._held) > MOST_HELD or now_s - next(iter(self._held.values())).arrived_s > WAIT_S:
                self.given_up += 1
                keys = [number for number, held in self._held.items() if held.starts_key]
                self._lose()
                self._skip_to(min(keys) if keys else max(self._held) + 1)
            else:
                break
        return out

    def _take(self, packet: _Packet, out: list[EncodedFrame]) -> None:
        if not packet.data:  # padding
            return
        if self._parts and packet.timestamp != self._timestamp:  # a sender that sets no marker
            self._finish(out)
        if self.wants_key:
            if not packet.starts_key:
                return
            self.wants_key = False
        if not self._parts:
            self._size = 0
            self._timestamp = packet.timestamp
            self._key = packet.starts_key
        self._parts.append(packet.data)
        self._size += len(packet.data)
        if self._size > MOST_BYTES:  # somebody who sends no end of a frame
            self._lose()
            return
        if packet.marker:
            self._finish(out)

    def _finish(self, out: list[EncodedFrame]) -> None:
        out.append(EncodedFrame(b"".join(self._parts), self._timestamp, self._key))
        self._parts = []

    def _lose(self) -> None:
        """The frame in the making is lost, and with it all up to the next key frame."""
        self.wants_key = True
        self._parts = []

    def _skip_to(self, number: int) -> None:
        self._next = number
        for old in [each for each in self._held if each < number]:
            del self._held[old]
