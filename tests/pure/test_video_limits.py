"""What a webcam may send, and headers that lie about it. The headers are those of real encoders."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.access.door import LimitSettings
from server.media.frames import MOST_BYTES, EncodedFrame, FrameBuffer
from server.media.picture_size import pixels
from server.media.video_limits import SHUT_S, VideoLimits


def key_frame(codec: str, width: int, height: int, **options: str) -> bytes:
    """One picture by a real encoder."""
    encoder = av.CodecContext.create({"VP8": "libvpx", "H264": "libx264"}[codec], "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = options
    picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


@pytest.mark.parametrize(
    ("codec", "options"),
    [("VP8", {}), ("H264", {"profile": "baseline"}), ("H264", {"profile": "high"})],
)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (1920, 1088), (16, 16)])
def test_the_size_of_a_picture_is_read_from_its_header(
    codec: str, options: dict[str, str], width: int, height: int
) -> None:
    assert pixels(codec, key_frame(codec, width, height, **options)) == width * height


@given(st.binary(max_size=300))
def test_a_header_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    for codec, start in (("VP8", b""), ("H264", b"\0\0\1\x67")):
        try:
            size = pixels(codec, start + data)
        except ValueError:
            continue
        assert size is None or size >= 0


def frame(size: int = 1000, *, key: bool = False, width: int = 640, height: int = 480) -> EncodedFrame:
    head = b"\x10\x02\x00\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return EncodedFrame((head if key else b"").ljust(size, b"\0"), 0, key)


def test_a_picture_that_is_too_large_does_not_pass_nor_what_leans_on_it() -> None:
    limits = VideoLimits(LimitSettings(), 0.0)
    assert limits.takes(frame(key=True), "VP8", 0.0)
    assert not limits.takes(frame(key=True, width=16_383, height=16_383), "VP8", 0.1)
    assert not limits.takes(frame(), "VP8", 0.2)
    assert not limits.takes(frame(key=True, width=0), "VP8", 0.3)
    assert not limits.takes(EncodedFrame(b"nothing of the kind", 0, True), "VP8", 0.4)
    assert limits.takes(frame(key=True), "VP8", 0.5)


def test_an_ordinary_webcam_never_meets_a_limit() -> None:
    limits = VideoLimits(LimitSettings(), 0.0)
    for n in range(30 * 60):
        key = n % 300 == 0
        assert limits.takes(frame(120_000 if key else 8_000, key=key), "VP8", n / 30)


def test_too_many_frames_or_bits_shut_it_for_a_moment() -> None:
    limits = VideoLimits(LimitSettings(), 0.0)
    passed = sum(limits.takes(frame(key=True), "VP8", n / 1000) for n in range(1000))
    assert passed < 120
    assert limits.shut(1.0)
    limits = VideoLimits(LimitSettings(video_kbps=800), 0.0)
    assert limits.takes(frame(150_000, key=True), "VP8", 0.0)
    assert not limits.takes(frame(150_000, key=True), "VP8", 0.1)
    assert limits.takes(frame(50_000, key=True), "VP8", 0.1 + SHUT_S)


def test_a_frame_without_an_end_does_not_grow_without_end() -> None:
    frames, data = FrameBuffer(), b"\0" * 1400
    for n in range(2 * MOST_BYTES // len(data)):
        assert not frames.push(n % 65_536, 90, False, data, starts_key=n == 0, now_s=n / 1000)
    assert frames.wants_key
