"""The webcam through the server and back, between real peers, without a decoder in between."""

from __future__ import annotations

import asyncio
import fractions

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.rtp import RTCP_PSFB_PLI, RtcpPsfbPacket

from tests.real.loss import is_rtp, lossy
from tests.real.media_peers import Answerer, Call, call

pytestmark = pytest.mark.real

CODECS = ["video/VP8", "video/H264"]


class Camera(MediaStreamTrack):
    """Frames that carry their number as 16 black or white squares, so that any decoder can read it."""

    kind = "video"

    def __init__(self, width: int = 320, height: int = 240, fps: int = 30) -> None:
        super().__init__()
        self.width, self.height, self.fps = width, height, fps
        self.number = 0
        self._start: float | None = None

    async def recv(self) -> av.VideoFrame:
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time()
        await asyncio.sleep(max(0.0, self._start + self.number / self.fps - loop.time()))
        picture = np.full((self.height, self.width, 3), 128, np.uint8)
        size = self.width // 16
        for bit in range(16):
            picture[:size, bit * size : (bit + 1) * size] = 255 * (self.number >> bit & 1)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self.number * 90_000 // self.fps, fractions.Fraction(1, 90_000)
        self.number += 1
        return frame


def number_in(frame: av.VideoFrame) -> int:
    picture = frame.to_ndarray(format="gray")
    size = frame.width // 16
    squares = [
        picture[size // 4 : 3 * size // 4, bit * size + size // 4 : bit * size + 3 * size // 4]
        for bit in range(16)
    ]
    return sum(int(square.mean() > 127) << bit for bit, square in enumerate(squares))


async def echoed(call_: Call, seconds: float) -> list[av.VideoFrame]:
    assert call_.video is not None
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    out: list[av.VideoFrame] = []
    while loop.time() < end:
        out.append(await asyncio.wait_for(call_.video.receiver.track.recv(), 10))
    return out


async def ask_key_frame(call_: Call) -> None:
    """What a browser's decoder does when it cannot go on (RFC 4585 §6.3.1)."""
    assert call_.video is not None
    sender = next(each.sender for each in call_.server.pc.getTransceivers() if each.kind == "video")
    request = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=call_.video.sender._ssrc, media_ssrc=sender._ssrc)
    await call_.video.receiver.transport._send_rtp(bytes(request))


@pytest.mark.parametrize("codec", CODECS)
async def test_the_picture_comes_back_whole_and_in_order(codec: str) -> None:
    server = Answerer()
    async with call(server, video=Camera(), video_codec=codec) as call_:
        frames = await echoed(call_, 3.0)
        assert server.echo is not None
        assert server.echo.passed >= len(frames)
        assert server.echo.track.dropped == 0
    numbers = [number_in(frame) for frame in frames]
    assert len(frames) > 45
    assert numbers == sorted(set(numbers))
    assert (frames[0].width, frames[0].height) == (320, 240)


async def test_exactly_one_codec_is_answered_with_its_retransmission() -> None:
    server = Answerer()
    async with call(server, video=Camera()) as call_:
        answer = call_.client.remoteDescription.sdp
    section = answer[answer.index("m=video") :]
    assert [line.split()[1] for line in section.splitlines() if line.startswith("a=rtpmap:")] == [
        "VP8/90000",
        "rtx/90000",
    ]


@pytest.mark.parametrize("codec", CODECS)
async def test_a_key_frame_asked_of_us_is_asked_of_the_camera_at_most_every_300_ms(codec: str) -> None:
    server = Answerer()
    async with call(server, video=Camera(), video_codec=codec) as call_:
        await echoed(call_, 1.0)
        echo = server.echo
        assert echo is not None
        asked, keys = echo.key_frames_asked, echo.key_frames
        await ask_key_frame(call_)
        await echoed(call_, 0.5)
        assert echo.key_frames_asked == asked + 1
        assert echo.key_frames == keys + 1, "the camera's encoder has answered"
        loop = asyncio.get_running_loop()
        start, asked = loop.time(), echo.key_frames_asked
        while loop.time() < start + 1.0:
            await ask_key_frame(call_)
            await call_.video.receiver.track.recv()
        most = 1 + (loop.time() - start) / 0.299  # a frame may take its time on a busy machine
        assert 2 <= echo.key_frames_asked - asked <= most


@pytest.mark.parametrize("codec", CODECS)
async def test_loss_both_ways_is_repaired(codec: str) -> None:
    server = Answerer()
    async with call(server, video=Camera(), video_codec=codec) as call_:
        call_.path.up = lossy(0.03, seed=1)
        call_.path.down = lossy(0.03, seed=2)
        frames = await echoed(call_, 5.0)
        assert call_.path.lost > 3
    numbers = [number_in(frame) for frame in frames]
    assert numbers == sorted(numbers)
    assert len(frames) > 60
    assert numbers[-1] > 100


@pytest.mark.parametrize("codec", CODECS)
async def test_after_a_blackout_the_picture_returns(codec: str) -> None:
    camera = Camera()
    server = Answerer()
    async with call(server, video=camera, video_codec=codec) as call_:
        await echoed(call_, 1.0)
        call_.path.up = lambda packet: [] if is_rtp(packet) else [0.0]
        await asyncio.sleep(1.5)
        call_.path.up = lambda packet: [0.0]
        returned = camera.number
        for _ in range(200):
            frame = await asyncio.wait_for(call_.video.receiver.track.recv(), 5)
            if number_in(frame) > returned + 20:
                break
        assert number_in(frame) > returned + 20


async def test_a_change_of_resolution_passes() -> None:
    camera = Camera()
    async with call(Answerer(), video=camera) as call_:
        await echoed(call_, 1.0)
        camera.width, camera.height = 160, 120
        for _ in range(150):
            frame = await asyncio.wait_for(call_.video.receiver.track.recv(), 5)
            if frame.width == 160:
                break
        assert (frame.width, frame.height) == (160, 120)


async def test_without_the_private_names_the_picture_is_transcoded() -> None:
    server = Answerer(pass_through=False)
    async with call(server, video=Camera()) as call_:
        frames = await echoed(call_, 2.0)
    numbers = [number_in(frame) for frame in frames]
    assert len(frames) > 20
    assert numbers == sorted(numbers)


async def test_a_call_without_a_camera_has_sound_alone() -> None:
    server = Answerer()
    async with call(server) as call_:
        assert server.echo is None
        assert await asyncio.wait_for(call_.audio.receiver.track.recv(), 5)
