"""How one answer came about: moments, told as ms since the person's last voiced sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Timeline:
    """Clock readings in seconds, by name; the first one counts."""

    def __init__(self) -> None:
        self._stamps: dict[str, float] = {}
        self._notes: dict[str, Any] = {}
        self._origin: float | None = None

    def begin(self, **stamps: float) -> None:
        """A new pause (or a reply nobody's turn leads to): what was measured before is void."""
        self._stamps, self._origin = dict(stamps), None
        self._notes = {"withdrawn": True} if self._notes.get("withdrawn") else {}

    def end_of_speech(self, now: float, silence_ms: int, why: str, judged: str) -> None:
        self._origin = now - silence_ms / 1000
        self.stamp("ended", now)
        self.note(patience_ms=silence_ms, why=why, judged=judged)

    def stamp(self, name: str, now: float) -> None:
        self._stamps.setdefault(name, now)

    def note(self, **notes: Any) -> None:
        self._notes |= notes

    def figures(self, stamps: Mapping[str, float]) -> dict[str, Any]:
        """All of it with `stamps` of the reply's own: "<name>_ms" and the notes. Ends this timeline."""
        figures: dict[str, Any] = {}
        if self._origin is not None:
            for name, at in {**self._stamps, **stamps}.items():
                figures[f"{name}_ms"] = round(1000 * (at - self._origin))
        figures |= self._notes
        self._stamps, self._notes, self._origin = {}, {}, None
        return figures
