"""Packets in, what is to be heard out; no clock but the times given."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from server.media.jitter import Arrived, JitterBuffer, Lost, Output, Silence

FRAME = 960  # 20 ms at 48 kHz


class Line:
    """A buffer, and a sender of 20 ms packets whose payload is its number."""

    def __init__(self, sequence: int = 1000, timestamp: int = 50_000, **settings: int) -> None:
        self.buffer = JitterBuffer(lambda payload: FRAME, **settings)
        self.sequence = sequence
        self.timestamp = timestamp

    def arrives(self, number: int, at_s: float | None = None, pause: int = 0, ssrc: int = 1) -> list[Output]:
        """Packet `number`, sent after `pause` samples in which nothing was."""
        return self.buffer.push(
            (self.sequence + number) % 2**16,
            (self.timestamp + number * FRAME + pause) % 2**32,
            str(number).encode(),
            number * 0.02 + pause / 48_000 if at_s is None else at_s,
            ssrc,
        )


def numbers(outputs: list[Output]) -> list[int]:
    return [int(output.payload) for output in outputs if isinstance(output, Arrived)]


def length(outputs: list[Output]) -> int:
    """Samples at 48 kHz."""
    return sum(FRAME if isinstance(output, Arrived) else output.samples for output in outputs)


def test_what_arrives_in_order_is_handed_on_at_once() -> None:
    line = Line()
    for number in range(100):
        assert line.arrives(number) == [Arrived(str(number).encode(), 50_000 + number * FRAME)]
    assert line.buffer.due_s is None


def test_a_lost_packet_is_concealed_when_two_later_ones_are_there() -> None:
    line = Line()
    line.arrives(0)
    assert line.arrives(2) == []
    out = line.arrives(3)
    assert out[0] == Lost(FRAME, b"2")
    assert numbers(out) == [2, 3]
    assert numbers(line.arrives(4)) == [4]
    assert line.buffer.figures.lost == 1


def test_a_lost_packet_is_concealed_after_60_ms_when_nothing_else_comes() -> None:
    line = Line()
    line.arrives(0)
    line.arrives(2, at_s=0.04)
    assert line.buffer.due_s is not None
    assert abs(line.buffer.due_s - 0.1) < 1e-9
    assert line.buffer.tick(0.099) == []
    out = line.buffer.tick(0.1)
    assert out == [Lost(FRAME, b"2"), Arrived(b"2", 50_000 + 2 * FRAME)]
    assert line.buffer.due_s is None


def test_two_packets_that_changed_places_are_put_back() -> None:
    line = Line()
    line.arrives(0)
    assert line.arrives(2) == []
    assert numbers(line.arrives(1)) == [1, 2]
    assert line.buffer.figures.lost == 0


def test_duplicates_and_packets_after_their_time_are_dropped() -> None:
    line = Line()
    line.arrives(0)
    line.arrives(1)
    assert line.arrives(1) == []
    line.arrives(3)
    assert line.arrives(3) == []
    line.arrives(4)
    assert line.arrives(2) == []
    assert numbers(line.arrives(5)) == [5]
    assert line.buffer.figures.late == 3


def test_sequence_numbers_and_timestamps_wrap() -> None:
    line = Line(sequence=2**16 - 5, timestamp=2**32 - 3 * FRAME)
    out = [output for number in range(20) if number != 5 for output in line.arrives(number)]
    assert numbers(out) == [number for number in range(20) if number != 5]
    assert [output for output in out if isinstance(output, Lost)] == [Lost(FRAME, b"6")]
    assert length(out) == 20 * FRAME


def test_a_burst_is_concealed_for_120_ms_and_silent_after_that() -> None:
    line = Line()
    line.arrives(0)
    line.arrives(21)
    out = line.arrives(22)
    assert out[:2] == [Lost(5760, b"21"), Silence(20 * FRAME - 5760)]
    assert length(out) == 22 * FRAME


def test_a_pause_of_the_sender_is_silence_of_its_length() -> None:
    line = Line()
    line.arrives(0)
    assert line.arrives(1, pause=48_000)[0] == Silence(48_000)


def test_silence_that_was_fed_meanwhile_counts() -> None:
    line = Line()
    line.arrives(0)
    line.buffer.filled(47 * FRAME)
    out = line.arrives(1, pause=48_000)
    assert out[0] == Silence(48_000 - 47 * FRAME)


def test_more_silence_than_was_missing_takes_nothing_away() -> None:
    line = Line()
    line.arrives(0)
    line.buffer.filled(7 * FRAME)
    for number in range(1, 9):
        assert numbers(line.arrives(number, at_s=0.16)) == [number]


def test_a_jump_of_the_senders_clock_without_time_passing_is_no_silence() -> None:
    line = Line()
    line.arrives(0)
    assert numbers(line.arrives(1, at_s=0.02, pause=48_000 * 3600)) == [1]
    assert length(line.arrives(2, at_s=0.04, pause=48_000 * 3600)) == FRAME


def test_gaps_of_odd_length_add_up_to_whole_chunks() -> None:
    line = Line()
    out = [output for number in range(40) for output in line.arrives(number, pause=100 * number)]
    silence = [output.samples for output in out if isinstance(output, Silence)]
    assert all(samples % FRAME == 0 for samples in silence)
    assert abs(sum(silence) - 39 * 100) < FRAME


def test_another_stream_takes_over_at_once_and_what_waited_is_heard() -> None:
    line = Line()
    line.arrives(0)
    line.arrives(2)
    line.sequence, line.timestamp = 40_000, 7
    out = line.arrives(3, ssrc=2)
    assert numbers(out) == [2, 3]
    assert numbers(line.arrives(4, ssrc=2)) == [4]
    assert line.buffer.figures.restarts == 1


def test_a_stream_that_starts_again_elsewhere_is_taken_up_with_its_second_packet() -> None:
    line = Line()
    for number in range(5):
        line.arrives(number)
    line.sequence, line.timestamp = 30_000, 900_000_000
    assert line.arrives(5) == []
    assert numbers(line.arrives(6)) == [5, 6]
    assert numbers(line.arrives(7)) == [7]


def test_one_stray_packet_changes_nothing() -> None:
    line = Line()
    for number in range(5):
        line.arrives(number)
    assert line.buffer.push(50_000, 0, b"x", 0.1, 1) == []
    assert numbers(line.arrives(5)) == [5]


def test_padding_takes_a_number_and_no_time() -> None:
    line = Line()
    line.arrives(0)
    assert line.buffer.push(1001, 50_000 + FRAME, b"", 0.02, 1) == []
    assert line.buffer.push(1002, 50_000 + FRAME, b"2", 0.02, 1) == [Arrived(b"2", 50_000 + FRAME)]


def carried(line: Line, first: int, last: int, late_ms: dict[int, int]) -> list[Output]:
    """Packets first..last, each at its time but those in `late_ms`; gaps are given up when they are due."""
    out: list[Output] = []
    arrivals = sorted((n * 0.02 + late_ms.get(n, 0) / 1000, n) for n in range(first, last + 1))
    for at_s, number in arrivals:
        while line.buffer.due_s is not None and line.buffer.due_s <= at_s:
            out += line.buffer.tick(line.buffer.due_s)
        out += line.arrives(number, at_s)
    return out


def test_a_network_that_reorders_is_waited_for_and_no_longer_than_it_does() -> None:
    line = Line()
    carried(line, 0, 199, {})
    assert line.buffer.wait_packets == 2
    overtaken = dict.fromkeys(range(210, 400, 10), 85)  # by four packets each
    out = carried(line, 200, 399, overtaken)
    assert [n for n in range(200, 400) if n not in numbers(out)] == [210, 220]  # then it had learnt
    assert line.buffer.figures.late == 2
    assert line.buffer.figures.overtaken == len(overtaken)
    assert line.buffer.wait_packets == 5
    calm = carried(line, 400, 800, {})  # 8 s
    assert len(calm) == 401
    line.arrives(802)
    assert line.buffer.wait_packets == 2
    assert numbers(line.arrives(803)) == [802, 803]


def test_a_gap_costs_what_the_network_deserves_and_never_more_than_120_ms() -> None:
    line = Line()
    late = {number: 104 + number % 3 for number in range(210, 400, 10)}  # by five
    carried(line, 0, 399, late)
    assert line.buffer.wait_packets == 6
    line.arrives(401)
    assert line.buffer.due_s is not None
    assert abs(line.buffer.due_s - 401 * 0.02 - 0.096) < 0.002  # the longest delay, and 10 ms
    out = line.buffer.tick(line.buffer.due_s)
    assert numbers(out) == [401]


@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.2))
def test_losses_never_make_it_wait_longer(seed: int, loss: float) -> None:
    chance = random.Random(seed)
    line = Line()
    for number in range(500):
        if chance.random() >= loss or number == 0:
            line.arrives(number)
            assert line.buffer.wait_packets == 2
            assert line.buffer.due_s is None or line.buffer.due_s <= number * 0.02 + 0.06 + 1e-9


def test_one_late_packet_is_chance_and_changes_nothing() -> None:
    line = Line()
    carried(line, 0, 300, {100: 85})
    assert line.buffer.figures.late == 1
    line.arrives(302)
    assert line.buffer.wait_packets == 2


def test_packets_too_late_for_any_wait_make_none_longer() -> None:
    line = Line()
    carried(line, 0, 300, dict.fromkeys(range(50, 250, 20), 300))
    assert line.buffer.figures.late == 10
    assert line.buffer.wait_packets == 2


def test_packets_that_come_twice_make_no_gap_longer() -> None:
    line = Line()
    for number in range(200):
        line.arrives(number)
        if number > 5:
            line.arrives(number - 5)
    line.arrives(201)
    assert line.buffer.wait_packets == 2
    assert line.buffer.figures.overtaken == 0


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.3),
    jitter_ms=st.floats(0, 80),
    start=st.integers(0, 2**16 - 1),
)
def test_whatever_the_network_does_the_timeline_is_whole_and_in_order(
    seed: int, loss: float, jitter_ms: float, start: int
) -> None:
    chance = random.Random(seed)
    line = Line(sequence=start, timestamp=2**32 - 20 * FRAME)
    sent = [number for number in range(100) if number in (0, 99) or chance.random() >= loss]
    arrivals = sorted((number * 0.02 + chance.uniform(0, jitter_ms / 1000), number) for number in sent)
    arrivals = [(0.0, 0)] + [pair for pair in arrivals if pair[1] != 0]
    out: list[Output] = []
    for at_s, number in arrivals:
        while line.buffer.due_s is not None and line.buffer.due_s <= at_s:
            out += line.buffer.tick(line.buffer.due_s)
        out += line.arrives(number, at_s)
    out += line.buffer.tick(10.0)
    heard = numbers(out)
    assert heard == sorted(set(heard))
    assert len(heard) + line.buffer.figures.late == len(sent)
    assert length(out) == (heard[-1] + 1) * FRAME
