"""What the floor commands: each to be carried out at once, and in order (`floor`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    started_ms: int
    over_reply: bool  # not yet a turn: nothing is said about it to the world


@dataclass(frozen=True, slots=True)
class Finalise:
    """A first short pause: have the transcript made final, judge the pause, prepare a reply."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Speech again after a short pause: what was prepared is void."""


@dataclass(frozen=True, slots=True)
class EndUtterance:
    why: str  # "patience", "commit", "longest", "asked", "no words"
    judged: str = ""  # of the last pause: "complete", "neutral", "hanging", ...
    overlaps: bool = False  # a reply is being given that goes on: this is answered behind it


@dataclass(frozen=True, slots=True)
class DropUtterance:
    pass


@dataclass(frozen=True, slots=True)
class BecomeTurn:
    """What began over a reply is the person's turn now: that is over, or goes on beside it."""

    beside: bool = False  # their voice was over before the reply was, and only its words are still to come


@dataclass(frozen=True, slots=True)
class Duck:
    pass


@dataclass(frozen=True, slots=True)
class Hold:
    """Muted and held; nothing is cleared, no stream is closed."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Full level again; what was held goes on from the last word boundary."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The reply is over: silence, streams closed, history cut to what was heard."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The person had not finished: the reply never was, and their turn goes on."""


Command = (
    OpenUtterance
    | Finalise
    | GoOn
    | EndUtterance
    | DropUtterance
    | BecomeTurn
    | Duck
    | Hold
    | Resume
    | Interrupt
    | Withdraw
)
