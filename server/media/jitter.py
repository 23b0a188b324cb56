"""Audio packets into the order they were sent in, at once; what is lost is declared lost soon.

No I/O and no clock: packets and times go in, what is to be heard comes out. Unlike a buffer that delays
everything, this one delays nothing while packets arrive in order. At a gap it waits for one packet more
(or 60 ms), then goes on, so that a loss delays what follows it by 20 ms once, and never for good.

    packet   1  2  .  4  5          3 is lost, or late
    out      1  2  -  -  (3) 4 5    lost once two later ones have arrived

Only a network that has put packets out of order of late is waited for longer: for as many packets, and as
long, as the missing ones were overtaken by (the reordering extent and late time of RFC 4737 §4), up to six
packets or 120 ms. Losses alone never make it wait.

Times are seconds of any one monotonic clock; lengths are samples at 48 kHz (RFC 7587 §4.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.media.lately import Lately

CLOCK_RATE = 48_000  # Hz
CHUNK = 960  # samples: silence comes in whole 20 ms
MAX_DROPOUT = 3000  # sequence numbers forward that still are the same stream (RFC 3550 A.1)
MAX_MISORDER = 100  # and backward (RFC 3550 A.1)
LONGEST_CONCEALED = 5760  # samples, 120 ms: after that a guess is worse than silence
SLACK_S = 0.2  # a gap may be longer than the time that passed, by the network's jitter
MOST_WAITED = 7  # later packets held, the first included: 120 ms of sound after it
MOST_WAITED_S = 0.12
MARGIN_S = 0.01  # waited beyond the latest that came lately
STALL_S = 0.06  # packets that follow each other without a gap, this far apart, were held up on the way
LONGEST_STALL_S = 0.24  # no sound for longer is no jitter any more


@dataclass(frozen=True, slots=True)
class Arrived:
    payload: bytes
    timestamp: int  # RTP, at 48 kHz


@dataclass(frozen=True, slots=True)
class Lost:
    samples: int  # to conceal
    next_payload: bytes  # the packet after the gap, which may carry redundancy


@dataclass(frozen=True, slots=True)
class Silence:
    """The sender sent nothing for so long, on purpose (DTX), or more is missing than can be guessed."""

    samples: int  # whole chunks


Output = Arrived | Lost | Silence


@dataclass(slots=True)
class JitterFigures:
    received: int = 0
    lost: int = 0  # sequence numbers given up
    late: int = 0  # dropped: came after they were given up, or twice
    overtaken: int = 0  # came after later ones, in time or not
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    timestamp: int
    payload: bytes
    arrived_s: float
    index: int  # packets that had been received by then


class JitterBuffer:
    """One inbound stream.

    Args:
        duration: samples at 48 kHz in a payload, 0 for what is none (media.opus.packet_samples).
        wait_packets: a gap is given up when so many later packets are there, on a calm network,
        wait_ms: or when the first of them has waited for so long.
    """

    def __init__(self, duration: Callable[[bytes], int], *, wait_packets: int = 2, wait_ms: int = 60) -> None:
        self.figures = JitterFigures()
        self._duration = duration
        self._wait_packets = wait_packets
        self._wait_s = wait_ms / 1000
        self._extents = Lately()  # by how many packets missing ones were overtaken
        self._delays = Lately()  # seconds by which they came after the first that overtook them
        self._stalls = Lately()  # seconds without a packet in mid-stream
        self._patience = (wait_packets, wait_ms / 1000)  # at present: packets, seconds
        # Numbers given up: arrival and index of the packet that overtook each first; MAX_MISORDER at most
        self._given_up: dict[int, tuple[float, int]] = {}
        self._ssrc: int | None = None
        self._next: int | None = None  # sequence number, unwrapped
        self._expected: int | None = None  # timestamp of the next sound, 32 bits
        self._held: dict[int, _Held] = {}  # at most wait_packets
        self._stray: tuple[int, _Held] | None = None  # far from the stream: a restart if its successor comes
        self._last_s = 0.0  # when something was last handed on
        self._filled = 0  # samples of silence fed by the caller since then
        self._owed = 0  # samples of silence less than a chunk, carried over

    def push(
        self, sequence: int, timestamp: int, payload: bytes, now_s: float, ssrc: int = 0
    ) -> list[Output]:
        """A packet (16-bit sequence number, 32-bit timestamp) in; what can be heard now out, in order."""
        self.figures.received += 1
        in_turn = self._next is not None and sequence == self._next & 0xFFFF and ssrc == self._ssrc
        if in_turn and not self._held:
            assert self._next is not None
            self._stray = None
            self._next += 1
            return self._hand_on(timestamp, payload, now_s, lost=False)  # the usual case
        out: list[Output] = []
        held = _Held(timestamp, payload, now_s, self.figures.received)
        if ssrc != self._ssrc:
            out += self._restart(sequence, now_s)
            self._ssrc = ssrc
        assert self._next is not None
        step = (sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if step > MAX_DROPOUT or step < -MAX_MISORDER:
            if self._stray is None or self._stray[0] != sequence:
                self._stray = ((sequence + 1) % 0x10000, held)
                return out
            stray = self._stray[1]
            out += self._restart((sequence - 1) % 0x10000, now_s)
            self._held[(sequence - 1) % 0x10000] = stray
            step = 1
        self._stray = None
        number = self._next + step
        if step < 0 or number in self._held:
            self.figures.late += 1
            if number in self._given_up:
                self._note_overtaken(*self._given_up.pop(number), now_s)
            return out
        overtook = [each for later, each in self._held.items() if later > number]
        if overtook:
            first = min(overtook, key=lambda each: each.index)
            self._note_overtaken(first.arrived_s, first.index, now_s)
        elif not self._held:  # a gap opens
            self._set_patience(now_s)
        self._held[number] = held
        return out + self._release(now_s)

    def tick(self, now_s: float) -> list[Output]:
        """Gives up a gap that has waited long enough."""
        return self._release(now_s)

    @property
    def due_s(self) -> float | None:
        """When `tick` has something to do; None: nothing waits."""
        if not self._held:
            return None
        return min(held.arrived_s for held in self._held.values()) + self._patience[1]

    @property
    def wait_packets(self) -> int:
        """How many later packets end the wait for a missing one, at present."""
        return self._patience[0]

    def stall_s(self, now_s: float) -> float:
        """For how long the network has held packets up lately, in mid-stream; 0: it has not."""
        return self._stalls.worst(now_s)

    def filled(self, samples: int) -> None:
        """The caller has put silence where packets are missing; it counts against the gap to come."""
        self._filled += samples
        if self._expected is not None:
            self._expected = (self._expected + samples) % 2**32

    def _release(self, now_s: float) -> list[Output]:
        out: list[Output] = []
        lost = False
        while self._held:
            assert self._next is not None
            held = self._held.pop(self._next, None)
            if held is not None:
                out += self._hand_on(held.timestamp, held.payload, now_s, lost)
                self._next += 1
                lost = False
                continue
            due = self.due_s
            if len(self._held) < self._patience[0] and (due is None or now_s < due):
                break
            self._give_up_to(min(self._held))
            lost = True
        return out

    def _give_up_to(self, first: int) -> None:
        assert self._next is not None
        self.figures.lost += first - self._next
        overtook = min(self._held.values(), key=lambda each: each.index)
        for number in range(max(self._next, first - MAX_MISORDER), first):
            self._given_up[number] = (overtook.arrived_s, overtook.index)
        while len(self._given_up) > MAX_MISORDER:
            del self._given_up[next(iter(self._given_up))]
        self._next = first

    def _note_overtaken(self, since_s: float, index: int, now_s: float) -> None:
        """A missing packet came, after the one with that arrival and index. One so late that no wait would
        have got it makes no gap longer."""
        self.figures.overtaken += 1
        extent, delay_s = self.figures.received - index, now_s - since_s
        if extent < MOST_WAITED and delay_s < MOST_WAITED_S:
            self._extents.note(extent, now_s)
            self._delays.note(delay_s, now_s)
        self._set_patience(now_s)

    def _set_patience(self, now_s: float) -> None:
        packets = max(self._wait_packets, 1 + int(self._extents.worst(now_s)))
        wait_s = max(self._wait_s, self._delays.worst(now_s) + MARGIN_S)
        self._patience = min(packets, MOST_WAITED), min(wait_s, MOST_WAITED_S)

    def _restart(self, sequence: int, now_s: float) -> list[Output]:
        """Another stream begins: what waits is handed on, then nothing of the old one counts any more."""
        out: list[Output] = []
        for _, held in sorted(self._held.items()):
            out += self._hand_on(held.timestamp, held.payload, now_s, lost=True)
        if self._next is not None:
            self.figures.restarts += 1
        self._held.clear()
        self._given_up.clear()
        self._stray = None
        self._next = sequence
        self._expected = None
        self._owed = 0
        return out

    def _hand_on(self, timestamp: int, payload: bytes, now_s: float, lost: bool) -> list[Output]:
        if not payload:  # padding: a sequence number without sound
            return []
        length = self._duration(payload) or CHUNK
        out: list[Output] = []
        if self._expected is not None:
            if now_s - self._last_s > STALL_S:
                self._note_stall(timestamp, now_s)
            if timestamp != self._expected:
                out = self._fill_gap(timestamp, payload, now_s, length, lost)
        out.append(Arrived(payload, timestamp))
        self._expected = (timestamp + length) % 2**32
        self._last_s = now_s
        self._filled = 0
        return out

    def _note_stall(self, timestamp: int, now_s: float) -> None:
        sent_later = (timestamp - (self._expected or 0) + 2**31) % 2**32 - 2**31
        if sent_later <= 0 and now_s - self._last_s < LONGEST_STALL_S:  # no pause of the sender (DTX)
            self._stalls.note(now_s - self._last_s, now_s)

    def _fill_gap(
        self, timestamp: int, payload: bytes, now_s: float, length: int, lost: bool
    ) -> list[Output]:
        gap = (timestamp - (self._expected or 0) + 2**31) % 2**32 - 2**31
        if gap <= 0:  # more silence was fed than was missing
            return []
        passed = round((now_s - self._last_s) * CLOCK_RATE) - length - self._filled
        if gap > passed + SLACK_S * CLOCK_RATE:  # the sender's clock jumped: time has not
            gap = max(0, passed - passed % CHUNK)
        out: list[Output] = []
        if lost and gap:
            concealed = min(gap, LONGEST_CONCEALED)
            out.append(Lost(concealed, payload))
            gap -= concealed
        self._owed += gap
        silence = self._owed - self._owed % CHUNK
        if silence:
            out.append(Silence(silence))
            self._owed -= silence
        return out
