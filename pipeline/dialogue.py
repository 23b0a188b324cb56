"""The history: items in order, what of them the mind is told, and cutting to what was heard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import CallError
from pipeline.items import Item
from pipeline.providers import Message

INTERRUPTED = "[INTERRUPTED] "
FRONT = "root"  # a client's name for the place before the first item


class Dialogue:
    def __init__(self) -> None:
        self.items: list[Item] = []

    def get(self, item_id: str) -> Item | None:
        return next((item for item in self.items if item.id == item_id), None)

    def find(self, item_id: str) -> Item:
        """Raises CallError."""
        item = self.get(item_id)
        if item is not None:
            return item
        raise CallError("item_not_found", f"there is no item {item_id!r} in this conversation", "item_id")

    def before(self, item_id: str) -> str | None:
        """The id of the item in front of that one; None: it is the first."""
        index = next(i for i, item in enumerate(self.items) if item.id == item_id)
        return self.items[index - 1].id if index else None

    def add(self, item: Item, previous_id: str | None = None) -> str | None:
        """Puts it behind `previous_id` (None: at the end, "root": at the front).

        Returns the id of the item now in front of it. Raises CallError for an unknown id or one taken."""
        if any(other.id == item.id for other in self.items):
            raise CallError("item_id_taken", f"there is an item {item.id!r} already", "item.id")
        if previous_id == FRONT:
            self.items.insert(0, item)
        elif previous_id is None:
            self.items.append(item)
        else:
            self.items.insert(self.items.index(self.find(previous_id)) + 1, item)
        return self.before(item.id)

    def last_note(self) -> Mapping[str, Any] | None:
        """What the mind noted last: fixed words between two of its replies must not make it forget."""
        return next((i.note for i in reversed(self.items) if i.note is not None), None)

    def remove(self, item_id: str) -> Item:
        """Raises CallError."""
        item = self.find(item_id)
        self.items.remove(item)
        return item

    def shorten(self, item: Item, audio_ms: int) -> None:
        """Cuts a reply that is over to its first `audio_ms`: in proportion, at a word's end."""
        if item.text and 0 <= audio_ms < item.audio_ms:
            words = item.text.split()
            item.text = " ".join(words[: len(words) * audio_ms // item.audio_ms])
            item.audio_ms = audio_ms

    def messages(self, system: str, limit: int) -> list[Message]:
        """What the mind is given: the system prompt and the last `limit` messages.

        A reply of which nothing was heard is left out, unless the mind noted something with it."""
        told = []
        for item in self.items:
            if item.text is None or not (item.text or item.note is not None):
                continue
            text = INTERRUPTED + item.text if item.interrupted else item.text
            told.append(Message(item.role, text, item.note))
        return [Message("system", system), *told[-limit:]]
