"""Sound that a client appends, at whatever pace, to 20 ms chunks at the pace of the call.

The microphone is the clock of a call, so what is appended has to become real time somewhere:

- While nothing depends on a wall clock (nobody's patience runs, no reply is on air) what waits is heard up to
  ten times as fast as it was spoken: a file that is appended at once is understood at once.
- Else at the pace of the clock, with a second of credit: a stream that stood still catches up in one go, a
  file does not talk over the reply to its own question before that was played.
- A client that stops appending has a silent microphone: silence is fed as for lost packets, once the next
  message is overdue.

No network, no clock of its own: times come in, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from pipeline.audio import CHUNK_MS, MIC_CHUNK, MIC_RATE

CHUNK_S = CHUNK_MS / 1000
HURRY = 10  # chunks at a time at most; one call leaves the loop to the others in between
CREDIT_S = 1.0
LONGEST_MESSAGE_S = 1.0  # of a live stream; one that is longer says nothing about when the next is due
MOST_WAITING_S = 10.0  # of sound; then the socket is read no further
MOST_EVENTS = 64  # that wait for the sound before them
SILENCE = np.zeros(MIC_CHUNK, np.int16)
SILENCE.flags.writeable = False


class Intake:
    """One line's.

    Args:
        silence_after_s: of waiting for a message that is due, until silence is fed.
        now_s: of the clock that all times come from.
    """

    def __init__(self, silence_after_s: float, now_s: float) -> None:
        self._silence_after_s = silence_after_s
        self._waiting: deque[np.ndarray | str] = deque()
        self._events = 0  # of them
        self._rest = SILENCE[:0]  # less than a chunk
        self._credit_s = CREDIT_S
        self._at_s = now_s
        self._covered_s = now_s  # up to here sound or silence was handed on
        self._silent_s = now_s + silence_after_s

    @property
    def full(self) -> bool:
        """So much waits that no more may be read."""
        sound = len(self._waiting) - self._events
        return sound * CHUNK_S > MOST_WAITING_S or self._events >= MOST_EVENTS

    @property
    def sound_waits(self) -> bool:
        return bool(self._waiting) or bool(len(self._rest))

    @property
    def events_wait(self) -> bool:
        return self._events > 0

    def append(self, samples: np.ndarray, now_s: float) -> None:
        """int16 (n,) at MIC_RATE."""
        length_s = len(samples) / MIC_RATE
        self._silent_s = now_s + min(length_s, LONGEST_MESSAGE_S) + self._silence_after_s
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // MIC_CHUNK * MIC_CHUNK
        self._waiting.extend(joined[:whole].reshape(-1, MIC_CHUNK))
        self._rest = joined[whole:]

    def wait(self, event: str) -> None:
        """An event that counts only when the sound before it has been heard."""
        self._fill_up()
        self._waiting.append(event)
        self._events += 1

    def clear(self) -> None:
        """Nothing of what waits was ever appended; events that wait are kept."""
        self._waiting = deque(one for one in self._waiting if isinstance(one, str))
        self._rest = SILENCE[:0]

    def due(self, now_s: float, may_hurry: Callable[[], bool]) -> Iterator[np.ndarray | str]:
        """What is to be heard now, in order: int16 (320,), or an event whose turn has come.

        `may_hurry` is asked before each."""
        self._credit_s = min(CREDIT_S, self._credit_s + now_s - self._at_s)
        self._at_s = now_s
        for _ in range(HURRY):
            if not self._waiting:
                break
            if isinstance(self._waiting[0], str):
                self._events -= 1
            elif not may_hurry():
                if self._credit_s < CHUNK_S / 2:
                    return
                self._credit_s -= CHUNK_S
            self._covered_s = now_s
            yield self._waiting.popleft()
        if not self._waiting and now_s >= self._silent_s:
            yield from self._silence(now_s)

    def _silence(self, now_s: float) -> Iterator[np.ndarray]:
        self._fill_up()
        self._covered_s = max(self._covered_s, now_s - HURRY * CHUNK_S)  # a loop that stood still
        while self._covered_s + CHUNK_S <= now_s:
            self._covered_s += CHUNK_S
            chunk = self._waiting.popleft() if self._waiting else SILENCE
            assert not isinstance(chunk, str)
            yield chunk

    def _fill_up(self) -> None:
        if len(self._rest):
            self._waiting.append(np.concatenate([self._rest, SILENCE[len(self._rest) :]]))
            self._rest = SILENCE[:0]
