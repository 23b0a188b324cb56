"""The history: items in order, what of them the mind is told, and cutting to what was heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.errors import CallError
from pipeline.items import Item
from pipeline.providers import Message, ToolCall

INTERRUPTED = "[INTERRUPTED] "
PENDING = "No result has come yet."  # in place of a call's output
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

    def messages(self, system: str, limit: int, given: Sequence[Item] | None = None) -> list[Message]:
        """What the mind is given: the system prompt and the last `limit` messages.

        Args:
            given: items in place of the history.
        """
        kept: list[Message] = []
        for exchange in reversed(_exchanges(self.items if given is None else given)):
            if kept and len(kept) + len(exchange) > limit:
                break
            kept[:0] = exchange
        return [Message("system", system), *kept]


def shorten(item: Item, audio_ms: int) -> None:
    """Cuts a reply to the words that had begun to be heard by then."""
    item.text = (item.text or "")[: next((start for at_ms, start in item.words if at_ms >= audio_ms), None)]
    item.audio_ms = min(item.audio_ms, audio_ms)


def _exchanges(items: Sequence[Item]) -> list[list[Message]]:
    """The messages of the items, in groups that have to stay together: a reply, the calls that came with it
    and what came out of them, wherever the outputs stand.

    A reply of which nothing was heard is left out, unless the mind noted something with it."""
    outputs = {item.call_id: item.text or "" for item in items if item.kind == "function_call_output"}
    exchanges: list[list[Message]] = []
    goes_on = False  # a call would be the last reply's
    for item in items:
        for message in item.steps:
            goes_on = False
            if message.role == "tool":
                exchanges[-1].append(message)
            else:
                exchanges.append([message])
        if item.kind == "function_call_output":
            goes_on = False
        elif item.kind == "function_call" and item.status == "completed":
            call = ToolCall(item.call_id, item.name, item.text or "")
            if not goes_on:
                exchanges.append([Message("assistant", "")])
            first, goes_on = exchanges[-1][0], True
            exchanges[-1][0] = replace(first, note=item.note or first.note, calls=(*first.calls, call))
            exchanges[-1].append(Message("tool", outputs.get(call.id, PENDING), call_id=call.id))
        elif item.role is not None and item.text is not None and (item.text or item.note is not None):
            text = INTERRUPTED + item.text if item.interrupted else item.text
            exchanges.append([Message(item.role, text, item.note)])
            goes_on = item.role == "assistant"
    return exchanges
