"""Packets that leave past aiortc's loop are those it would have sent; what browsers are asked for."""

from __future__ import annotations

from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket

from server.media.ears import ask_for_wide_band
from server.media.rtp import EXTENSIONS, HISTORY, SENT_OCTETS, SENT_PACKETS, SENT_TIMESTAMP, Outlet
from tests.virtual import run

MID = RTCRtpHeaderExtensionParameters(id=4, uri="urn:ietf:params:rtp-hdrext:sdes:mid")
SEND_TIME = RTCRtpHeaderExtensionParameters(
    id=3, uri="http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
)


class Line:
    """In place of a DTLS transport: what would be encrypted."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.open = True

    async def _send_rtp(self, packet: bytes) -> None:
        if not self.open:
            raise ConnectionError
        self.sent.append(packet)


def begun(
    line: Line, *extensions: RTCRtpHeaderExtensionParameters, sequence: int = 65_000
) -> tuple[RTCRtpSender, RtpPacket, HeaderExtensionsMap]:
    """A sender that has sent one packet, which is the second thing; and how it writes headers."""
    sender = RTCPeerConnection(RTCConfiguration(iceServers=[])).addTransceiver("audio").sender
    sender.setTransport(line)  # type: ignore[arg-type]
    written: HeaderExtensionsMap = getattr(sender, EXTENSIONS)
    written.configure(RTCRtpParameters(headerExtensions=list(extensions)))
    first = RtpPacket(payload_type=111, marker=1, sequence_number=sequence, timestamp=77, payload=b"first")
    first.ssrc = sender._ssrc
    first.extensions.mid = "audio"
    first.extensions.abs_send_time = 12_345
    getattr(sender, HISTORY)[0] = first
    setattr(sender, SENT_PACKETS, 1)
    setattr(sender, SENT_OCTETS, len(first.payload))
    return sender, first, written


@pytest.mark.parametrize("extensions", [(), (MID,)])
def test_a_packet_is_byte_for_byte_what_aiortc_writes(extensions: tuple[Any, ...]) -> None:
    async def send() -> None:
        line = Line()
        sender, first, written = begun(line, *extensions)
        outlet = Outlet.of(sender)
        assert outlet is not None
        outlet.send(b"sound", 960)
        expected = RtpPacket(
            payload_type=111, sequence_number=65_001, timestamp=960, ssrc=first.ssrc, payload=b"sound"
        )
        expected.extensions.mid = "audio"
        assert line.sent == [expected.serialize(written)]

    run(send())


def test_numbers_wrap_and_the_senders_report_counts_every_packet() -> None:
    async def send() -> None:
        line = Line()
        sender, _, written = begun(line, MID)
        outlet = Outlet.of(sender)
        assert outlet is not None
        for number in range(70_000):
            outlet.send(b"12345", (2**32 - 960 + 960 * number) % 2**32)
        packets = [RtpPacket.parse(each, written) for each in line.sent[:1000] + line.sent[-2:]]
        assert [each.sequence_number for each in packets[534:537]] == [65_535, 0, 1]
        assert [each.timestamp for each in packets[:3]] == [2**32 - 960, 0, 960]
        assert packets[-1].sequence_number == (65_000 + 70_000) % 65_536
        assert getattr(sender, SENT_PACKETS) == 70_001
        assert getattr(sender, SENT_OCTETS) == 70_001 * 5
        assert getattr(sender, SENT_TIMESTAMP) == packets[-1].timestamp

    run(send())


def test_a_header_that_tells_the_time_of_each_packet_is_left_to_aiortc() -> None:
    async def ask() -> None:
        assert Outlet.of(begun(Line(), MID, SEND_TIME)[0]) is None

    run(ask())


def test_a_sender_that_has_sent_nothing_or_is_none_of_aiortcs_is_left_alone() -> None:
    async def ask() -> None:
        assert Outlet.of(RTCPeerConnection().addTransceiver("audio").sender) is None
        assert Outlet.of(None) is None

    run(ask())


def test_a_line_that_has_ended_says_so() -> None:
    async def send() -> None:
        line = Line()
        outlet = Outlet.of(begun(line)[0])
        assert outlet is not None
        line.open = False
        with pytest.raises(ConnectionError):
            outlet.send(b"sound", 0)

    run(send())


ANSWER = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n{}a=mid:0\r\n"


def test_the_answer_asks_for_wide_band_and_redundancy() -> None:
    asked = ask_for_wide_band(ANSWER.format(""))
    fmtp = next(line for line in asked.split("\r\n") if line.startswith("a=fmtp:111 "))
    assert {"useinbandfec=1", "maxplaybackrate=16000"} <= set(fmtp.split(" ", 1)[1].split(";"))
    assert asked.replace(fmtp + "\r\n", "") == ANSWER.format("")


def test_an_answer_that_says_what_it_wants_and_one_without_opus_stay_as_they_are() -> None:
    for answer in (ANSWER.format("a=fmtp:111 minptime=20\r\n"), "v=0\r\na=rtpmap:0 PCMU/8000\r\n"):
        assert ask_for_wide_band(answer) == answer
