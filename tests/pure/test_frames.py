"""Encoded frames out of packets in any order; no network, no codec."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from server.media.frames import EncodedFrame, FrameBuffer, starts_key_frame

FPS = 30
PACKETS = 3  # a frame


class Line:
    """A buffer, and a sender of frames of 3 packets; every `key_every`th is a key frame."""

    def __init__(self, start: int = 65_500, key_every: int = 10) -> None:
        self.buffer = FrameBuffer()
        self.start = start
        self.key_every = key_every

    def arrives(self, number: int, now_s: float | None = None, ssrc: int = 1) -> list[int]:
        """Packet `number`; the numbers of the frames that are complete now."""
        frame, part = divmod(number, PACKETS)
        out = self.buffer.push(
            (self.start + number) % 2**16,
            (2**32 - 9000 + frame * 3000) % 2**32,
            part == PACKETS - 1,
            f"{frame}.{part} ".encode(),
            starts_key=part == 0 and frame % self.key_every == 0,
            now_s=frame / FPS if now_s is None else now_s,
            ssrc=ssrc,
        )
        for each in out:
            self.check(each)
        return [int(each.data.split(b".")[0]) for each in out]

    def check(self, frame: EncodedFrame) -> None:
        number = int(frame.data.split(b".")[0])
        assert frame.data == b"".join(f"{number}.{part} ".encode() for part in range(PACKETS))
        assert frame.timestamp == (2**32 - 9000 + number * 3000) % 2**32
        assert frame.key == (number % self.key_every == 0)


def test_a_frame_is_out_with_its_last_packet() -> None:
    line = Line()
    assert [line.arrives(number) for number in range(6)] == [[], [], [0], [], [], [1]]
    assert not line.buffer.wants_key


def test_nothing_comes_out_before_the_first_key_frame() -> None:
    line = Line()
    out = [line.arrives(number) for number in range(3 * 5, 3 * 12)]
    assert [frame for frames in out for frame in frames] == [10, 11]


def test_a_missing_packet_is_waited_for_and_then_all_come_at_once() -> None:
    line = Line()
    out = [line.arrives(number) for number in range(12) if number != 4]
    assert [frame for frames in out for frame in frames] == [0]
    assert line.arrives(4, now_s=0.12) == [1, 2, 3]


def test_after_250_ms_it_is_given_up_and_the_next_key_frame_goes_on() -> None:
    line = Line()
    out: list[int] = []
    wanted = []
    for number in range(3 * 25):
        if number != 4:
            out += line.arrives(number)
            wanted.append(line.buffer.wants_key)
    assert out == [0, *range(10, 25)]
    assert True in wanted[3:]
    assert not wanted[-1]
    assert line.buffer.given_up == 1


def test_a_key_frame_that_waits_behind_a_gap_is_used_when_the_gap_is_given_up() -> None:
    line = Line(key_every=5)
    out = [frame for number in range(3 * 14) if number != 4 for frame in line.arrives(number)]
    assert out == [0, *range(5, 14)]


def test_duplicates_and_late_packets_change_nothing() -> None:
    line = Line()
    for number in (0, 1, 1, 2, 0, 2):
        line.arrives(number)
    assert [line.arrives(number) for number in (3, 4, 5)] == [[], [], [1]]


def test_another_stream_waits_for_its_own_key_frame() -> None:
    line = Line()
    for number in range(7):
        line.arrives(number)
    line.start = 5
    assert [line.arrives(number, ssrc=2) for number in range(9, 15)] == [[]] * 6
    assert [line.arrives(number, ssrc=2) for number in range(30, 33)] == [[], [], [10]]


def test_a_sender_without_markers_is_understood_a_packet_later() -> None:
    buffer = FrameBuffer()
    out = [buffer.push(n, n // 2 * 3000, False, bytes([n]), starts_key=n == 0, now_s=0.0) for n in range(6)]
    assert [len(frames) for frames in out] == [0, 0, 1, 0, 1, 0]
    assert out[2][0].data == bytes([0, 1])


def test_key_frames_are_known_by_their_first_packet() -> None:
    assert starts_key_frame("VP8", b"\x90\x80\x00\x10", b"\x10\x02")
    assert not starts_key_frame("VP8", b"\x90\x80\x00\x11", b"\x11\x02"), "an interframe"
    assert not starts_key_frame("VP8", b"\x80\x80\x00\x10", b"\x10\x02"), "not the frame's first packet"
    assert starts_key_frame("H264", b"\x67", b"\x00\x00\x00\x01\x67\x42")
    assert starts_key_frame("H264", b"\x65", b"\x00\x00\x00\x01\x65\x88")
    assert not starts_key_frame("H264", b"\x41", b"\x00\x00\x00\x01\x41\x9a")
    assert not starts_key_frame("H264", b"\x7c\x05", b"\x65\x88"), "a later fragment"
    assert not starts_key_frame("VP8", b"", b"")


@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.2), retransmitted=st.floats(0, 1))
def test_whatever_the_network_does_frames_are_whole_in_order_and_decodable(
    seed: int, loss: float, retransmitted: float
) -> None:
    chance = random.Random(seed)
    arrivals: list[tuple[float, int]] = []
    for number in range(PACKETS * 90):
        sent = number / PACKETS / FPS
        if chance.random() >= loss:
            arrivals.append((sent + chance.uniform(0, 0.02), number))
        elif chance.random() < retransmitted:
            arrivals.append((sent + chance.uniform(0.02, 0.4), number))
    line = Line()
    out = [frame for now_s, number in sorted(arrivals) for frame in line.arrives(number, now_s)]
    assert out == sorted(set(out))
    for before, frame in zip([-1, *out], out, strict=False):
        assert frame == before + 1 or frame % line.key_every == 0, "each leans on the one before or on none"
