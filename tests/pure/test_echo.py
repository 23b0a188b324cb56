"""The track that sends the webcam back, and what it asks of whom; no network."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError

from server.media.echo import MOST_WAITING, EchoTrack, offered_video_codec, prefer_one_video_codec
from server.media.frames import EncodedFrame
from tests.virtual import run


def frame(number: int, key: bool = False) -> EncodedFrame:
    return EncodedFrame(str(number).encode(), (2**32 - 6000 + number * 3000) % 2**32, key)


async def offer(*mime_types: str) -> str:
    """A client's offer with those video codecs in that order."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    video = pc.addTransceiver("video")
    known = video.sender.getCapabilities("video").codecs
    video.setCodecPreferences([each for name in mime_types for each in known if each.mimeType == name])
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    return sdp


def test_frames_leave_in_order_with_continuous_time_over_the_wrap() -> None:
    async def play() -> list[tuple[bytes, int]]:
        track = EchoTrack()
        out = []
        for number in range(5):
            track.put(frame(number, key=number == 0))
            packet = await track.recv()
            out.append((bytes(packet), packet.pts))
        return out

    assert run(play()) == [(str(number).encode(), number * 3000) for number in range(5)]


def test_a_stream_that_begins_anew_elsewhere_goes_on_in_time() -> None:
    async def play() -> list[int]:
        track = EchoTrack()
        out = []
        for timestamp in (1000, 4000, 4_000_000_000, 4_000_003_000):
            track.put(EncodedFrame(b"x", timestamp, True))
            out.append((await track.recv()).pts)
        return out

    assert run(play()) == [0, 3000, 6000, 9000]


def test_a_slow_sender_gets_no_pile_of_old_frames_but_the_next_key_frame() -> None:
    async def play() -> list[bytes]:
        track = EchoTrack()
        for number in range(100):
            track.put(frame(number, key=number == 0))
        assert track.dropped > 100 - MOST_WAITING - 1
        assert not track.wants_key, "a key frame is of no use while nobody takes it"
        waiting = asyncio.create_task(track.recv())
        await asyncio.sleep(0.01)
        assert track.wants_key
        track.put(frame(100))
        track.put(frame(101, key=True))
        track.put(frame(102))
        return [bytes(await waiting), bytes(await track.recv())]

    assert run(play()) == [b"101", b"102"]


def test_a_stopped_track_ends_whoever_waits() -> None:
    async def play() -> None:
        track = EchoTrack()
        waiting = asyncio.create_task(track.recv())
        await asyncio.sleep(0.01)
        track.stop()
        with pytest.raises(MediaStreamError):
            await waiting

    run(play())


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("video/VP8", "video/H264", "video/rtx"), "video/VP8"),
        (("video/H264", "video/VP8", "video/rtx"), "video/H264"),
        (("video/H264",), "video/H264"),
    ],
)
def test_the_first_codec_that_the_offer_has_is_the_only_one_left(
    offered: tuple[str, ...], chosen: str
) -> None:
    async def play() -> None:
        sdp = await offer(*offered)
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        assert prefer_one_video_codec(pc.addTransceiver("video"), sdp) == chosen
        await pc.close()

    run(play())


def test_an_offer_with_codecs_that_nobody_here_knows_has_none() -> None:
    sdp = run(offer("video/VP8"))
    assert offered_video_codec(sdp) is not None
    assert offered_video_codec(sdp.replace("VP8/90000", "AV1/90000")) is None
    assert offered_video_codec(sdp[: sdp.index("m=video")]) is None
