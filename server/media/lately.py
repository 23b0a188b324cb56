"""The largest but one of what was noted in the last seconds: what happens again, not what happened once."""

from __future__ import annotations

from collections import deque

MOST_NOTED = 256  # more of one kind within the memory change nothing


class Lately:
    """Values with the times they were noted at.

    Args:
        memory_s: how long each is remembered.
    """

    def __init__(self, memory_s: float = 5.0) -> None:
        self._memory_s = memory_s
        self._noted: deque[tuple[float, float]] = deque(maxlen=MOST_NOTED)  # (seconds, value)

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, value: float, now_s: float) -> None:
        self._noted.append((now_s, value))

    def worst(self, now_s: float) -> float:
        """The second largest value still remembered; 0 where there are not two."""
        while self._noted and now_s - self._noted[0][0] > self._memory_s:
            self._noted.popleft()
        if len(self._noted) < 2:
            return 0.0
        return sorted(value for _, value in self._noted)[-2]
