"""What a provider tells the call that it works for, beside its stream: what a vendor will charge for, and
that one failed and another took over.

A stream cannot carry that: one that is closed half-way yields nothing more, and has cost something.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import Stage

# Seconds are of sound: sent to a recogniser, or received from a voice. Characters are sent to a voice.
Unit = Literal["input_tokens", "cached_tokens", "output_tokens", "seconds", "characters"]


@dataclass(frozen=True, slots=True)
class Spent:
    """Something that a vendor counts, or an estimate of it where a request was broken off before its count
    came. Cached tokens are not among the input tokens here.

    A provider that is charged for has one with an amount of 0 as its `charges`, by which it is known before
    whether there is a price for it."""

    stage: Stage
    provider: str  # the plug-in's name
    model: str  # as the vendor calls it; "": it has no name
    unit: Unit
    amount: float
    host: str = ""  # of a server that speaks the vendor's protocol in its place; "": the vendor's own
    response_id: str = ""  # the reply that it was for; `tell` fills it in


@dataclass(frozen=True, slots=True)
class FellOver:
    """One provider of a chain gave way to the next, or was returned to."""

    stage: Stage
    failed: str  # the plug-in's name
    to: str  # likewise; what does the work from now on
    code: str  # as ProviderError.code, or "slow"
    message: str  # for a person


@dataclass(frozen=True, slots=True)
class AtWork:
    """Which provider of a chain does a piece of work, told each time. A call makes FellOver of a change."""

    stage: Stage
    name: str  # the plug-in's
    first: str  # the one that is asked first
    code: str  # why it is not that one, as in FellOver
    message: str


Notice = Spent | FellOver | AtWork

_listener: ContextVar[Callable[[Notice], None] | None] = ContextVar("notices", default=None)
_reply: ContextVar[str] = ContextVar("reply", default="")


def tell(notice: Notice) -> None:
    """To the call for which the current task works; to nobody outside a call."""
    listener = _listener.get()
    if listener is None:
        return
    if isinstance(notice, Spent):
        notice = replace(notice, response_id=_reply.get())
    listener(notice)


def work_for(response_id: str) -> None:
    """What is spent in the current task from now on, and in tasks that it starts, is spent for that reply."""
    _reply.set(response_id)


def heard_by(listener: Callable[[Notice], None]) -> Context:
    """A context for a task of a call: what is told in it, and in tasks that it starts, goes to `listener`."""
    context = copy_context()
    context.run(_listener.set, listener)
    return context
