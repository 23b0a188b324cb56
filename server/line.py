"""What carries a call: one peer connection, or one WebSocket. A call outlives its line."""

from __future__ import annotations

from typing import Any, Protocol

from pipeline import events as ev


class Line(Protocol):
    """Made for one call; it hands that call what its client sends, and takes what the call has to say."""

    kind: str  # "webrtc" or "websocket"

    async def run(self) -> str:
        """Carries the call until the line is over, and leaves nothing of itself behind. Returns why it is."""

    def close(self, why: str) -> None:
        """Ends it: it is silent and deaf from now on, and `run` returns soon after."""

    def send(self, event: dict[str, Any]) -> None:
        """One event of the protocol, in order. Never waits: a client that does not read is cut off."""

    def append(self, event: dict[str, Any], format: str) -> None:
        """`input_audio_buffer.append`, in a format of `wire.sound_formats`. Raises CallError."""

    def show_mouth(self, shapes: ev.Shapes) -> None:
        """Mouth shapes, if the client has a channel for them; late ones are worth nothing."""
