"""The conductor: microphone in, voice out, events to the world. (Interface first; being filled.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.audio import AudioChunk
from pipeline.events import Event
from pipeline.items import Item
from pipeline.providers import Mind, Recognizer, Voice
from pipeline.settings import CallSettings, Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is given; shared by all calls."""

    ears: Recognizer
    mind: Mind
    voice: Voice


class Session:
    """One conversation. It outlives its peer: `attach` gives it a new listener, `hear`/`read` a new network.

    All methods are called on the event loop's thread; those without `async` never wait.
    """

    def __init__(
        self, parts: Parts, settings: Settings, call: CallSettings, *, session_id: str | None = None
    ) -> None:
        self.id: str
        self.call: CallSettings
        self.items: list[Item]

    async def run(self) -> None:
        """Lives as long as the conversation; cancel it to end it. All its tasks end with it."""

    def attach(self, emit: Callable[[Event], None] | None) -> None:
        """Events go to `emit` from now on (None: nowhere)."""

    def hear(self, chunk: AudioChunk) -> None:
        """20 ms of microphone, int16 mono 16 kHz, continuous. Silence must be fed when packets stop."""

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice at VOICE_RATE, int16; None: silence (nothing to say)."""

    def greet(self) -> None:
        """The client is ready: the mind speaks first, if the call's settings say so. Only once."""

    def update(self, patch: dict[str, Any]) -> CallSettings:
        """Merges `patch` into the call's settings. Raises CallError naming the field."""

    def say(
        self, text: str, item_id: str | None = None, previous_id: str | None = None, *, role: str = "user"
    ) -> Item:
        """Adds a typed message to the history (no reply by itself)."""

    def reply(self, metadata: dict[str, Any] | None = None, instructions: str | None = None) -> None:
        """Asks for a reply now. Raises CallError if one is being given."""

    def cancel(self, response_id: str | None = None) -> None:
        """Ends the reply being given. Raises CallError if there is none."""

    def clear_output(self) -> None:
        """Silences the reply and truncates its item to what was heard."""

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was said."""

    def clear_input(self) -> None:
        """Forgets what the person is saying."""

    def think(self) -> None:
        """ "Let me think": stops patience for a while."""

    def retrieve(self, item_id: str) -> Item:
        """Raises CallError."""

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cuts a reply's item to what was heard by then. Raises CallError."""

    def delete(self, item_id: str) -> None:
        """Raises CallError."""

    def repeat(self) -> None:
        """Says the last reply once more (no new item in history)."""
