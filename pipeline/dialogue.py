"""The history: items in order, what of them the mind is told, and cutting to what was heard."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.errors import CallError
from pipeline.items import Item
from pipeline.providers import Message, ToolCall
from pipeline.tokens import estimate_all

INTERRUPTED = "[INTERRUPTED] "
PENDING = "No result has come yet."  # in place of a call's output
FRONT = "root"  # a client's name for the place before the first item


@dataclass(slots=True)
class Exchange:
    """Messages that have to stay together: a reply, the calls that came with it and what came out of them,
    wherever the outputs stand."""

    messages: list[Message]
    item_ids: list[str] = field(default_factory=list)  # that they are made from

    @property
    def tokens(self) -> int:
        """An estimate."""
        return estimate_all(self.messages)


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

    def exchanges(self, covered: Collection[str] = ()) -> list[Exchange]:
        """Those of all items but the ones whose ids are `covered`."""
        return _exchanges([item for item in self.items if item.id not in covered])

    def messages(
        self,
        system: str,
        limit: int,
        given: Sequence[Item] | None = None,
        *,
        covered: Collection[str] = (),
        tokens: int | None = None,
    ) -> list[Message]:
        """What the mind is given: the system prompt and the newest messages, at least one exchange of them.

        Args:
            limit: messages beside the system prompt.
            given: items in place of the history.
            covered: ids of items of the history that are left out.
            tokens: that all of them may have, estimated.
        """
        prompt = Message("system", system)
        room = math.inf if tokens is None else tokens - estimate_all([prompt])
        kept: list[Message] = []
        for exchange in reversed(self.exchanges(covered) if given is None else _exchanges(given)):
            room -= exchange.tokens
            if kept and (len(kept) + len(exchange.messages) > limit or room < 0):
                break
            kept[:0] = exchange.messages
        return [prompt, *kept]


def shorten(item: Item, audio_ms: int) -> None:
    """Cuts a reply to the words that had begun to be heard by then."""
    item.text = (item.text or "")[: next((start for at_ms, start in item.words if at_ms >= audio_ms), None)]
    item.audio_ms = min(item.audio_ms, audio_ms)


def _exchanges(items: Sequence[Item]) -> list[Exchange]:
    """A reply of which nothing was heard is left out, unless the mind noted something with it."""
    outputs = {item.call_id: item.text or "" for item in items if item.kind == "function_call_output"}
    exchanges: list[Exchange] = []
    goes_on = False  # a call would be the last reply's
    for item in items:
        for message in item.steps:
            goes_on = False
            if message.role == "tool":
                exchanges[-1].messages.append(message)
            else:
                exchanges.append(Exchange([message]))
        if item.kind == "function_call_output":
            goes_on = False
        elif item.kind == "function_call" and item.status == "completed":
            call = ToolCall(item.call_id, item.name, item.text or "")
            if not goes_on:
                exchanges.append(Exchange([Message("assistant", "")]))
            messages, goes_on = exchanges[-1].messages, True
            first = messages[0]
            messages[0] = replace(first, note=item.note or first.note, calls=(*first.calls, call))
            messages.append(Message("tool", outputs.get(call.id, PENDING), call_id=call.id))
        elif item.role is not None and item.text is not None and (item.text or item.note is not None):
            text = INTERRUPTED + item.text if item.interrupted else item.text
            exchanges.append(Exchange([Message(item.role, text, item.note)]))
            goes_on = item.role == "assistant"
        if (
            exchanges and item.text is not None
        ):  # words to come would be forgotten with what stands before them
            exchanges[-1].item_ids.append(item.id)
    return exchanges
