"""Calls at a time: of one address, and of one key and user."""

from __future__ import annotations

from collections import Counter

from server.access.door import LimitSettings
from server.access.grant import Grant
from server.workers import TooMany


class Shares:
    """Counts the calls of a worker by whose they are.

    Args:
        retry_after_s: what whoever has too many is told to wait.
    """

    def __init__(self, limits: LimitSettings, retry_after_s: int) -> None:
        self._limits = limits
        self._retry_after_s = retry_after_s
        self._calls: Counter[tuple[str, ...]] = Counter()

    def take(self, grant: Grant) -> None:
        """One call more. Raises TooMany; then nothing was taken."""
        for name, most in self._of(grant):
            if self._calls[name] >= most:
                raise TooMany(f"{most} calls at a time may be made from here", self._retry_after_s)
        for name, _ in self._of(grant):
            self._calls[name] += 1

    def give_back(self, grant: Grant) -> None:
        """A call that was taken is over."""
        for name, _ in self._of(grant):
            self._calls[name] -= 1
            if not self._calls[name]:
                del self._calls[name]

    def _of(self, grant: Grant) -> list[tuple[tuple[str, ...], int]]:
        limits = self._limits
        shares: list[tuple[tuple[str, ...], int]] = []
        if limits.calls_per_address and grant.address:
            shares.append((("address", grant.address), limits.calls_per_address))
        if limits.calls_per_key and any(grant.owner):
            shares.append((("owner", *grant.owner), limits.calls_per_key))
        return shares
