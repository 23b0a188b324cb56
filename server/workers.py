"""Who carries the calls: the one interface that the routes talk to.

VivaError
├── BadOffer   the offer cannot become a call; the client's fault
├── NotResumed the conversation cannot be taken up again: it is over, or somebody else has it
├── TooMany    this client has had its share; try again later
├── NoBudget   what the server may spend today is spent; try again tomorrow
└── Full       no room now; try again later

On one machine the worker is `server.signaling.MediaWorker` in this process. Everything that crosses the
interface is a plain string or number, so that a worker may live in another process or on another machine;
a call's id names its worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import VivaError


class BadOffer(VivaError):
    """`code` is machine-readable and goes on the wire; `param` names what was wrong, where it has a name."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class NotResumed(VivaError):
    """`code`: "conversation_over" or "conversation_elsewhere"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TooMany(VivaError):
    """An address, a key or a user has as many calls as it may, or asked too often."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoBudget(VivaError):
    """Of today's budget nothing is left."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("what this server may spend today is spent; it takes calls again after midnight UTC")
        self.retry_after_s = retry_after_s


class Full(VivaError):
    """The worker carries as many calls as it may, or is draining."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Placed:
    call_id: str  # "call_<worker>_<random>"
    answer: str  # SDP, with all of the worker's candidates


@dataclass(frozen=True, slots=True)
class Load:
    calls: int
    max_calls: int
    draining: bool
    no_budget_s: int = 0  # seconds until calls may cost something again; 0: they may now


@dataclass(frozen=True, slots=True)
class Today:
    spent: float
    budget: float  # 0: no limit
    currency: str


@dataclass(frozen=True, slots=True)
class Carried:
    """A call, as an operator sees it."""

    call_id: str
    seconds: int  # since it was placed
    line: str  # "webrtc", "websocket"; "": its line was lost, and its client may come back
    mode: str
    language: str
    items: int  # of its history so far
    key: str  # label of the key it was placed with; "": none
    user: str
    money: float  # what it has cost so far, as far as that is known
    not_priced: tuple[str, ...]  # what is charged for beside that: "provider/model"


class Socket(Protocol):
    """A WebSocket on its way through a front: texts both ways."""

    hung_up: bool  # its client closed it, and is not merely gone

    async def accept(self, call_id: str) -> None:
        """The call has a place: the request may become a WebSocket."""

    async def receive(self) -> str | None:
        """The next message; None: closed, gone, or not fit to be read."""

    async def send(self, text: str) -> None:
        """Waits for as long as the other side does not read. Raises ConnectionError."""

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye (RFC 6455 §7.4); for one that is gone already, nothing happens."""


class Workers(Protocol):
    async def place(self, offer: str, session: str = "", grant: str = "", resume: str = "") -> Placed:
        """Answers an SDP offer.

        Args:
            session: JSON of a Realtime session object, or nothing.
            grant: JSON of a `access.grant.Grant`: on whose behalf, and what is fixed; "": nobody's.
            resume: the token of a call that is to go on by this connection; it names its worker.

        Raises BadOffer, NotResumed, TooMany, NoBudget or Full; then nothing of the call is left, or it is as
        it was."""

    async def talk(self, socket: Socket, session: str = "", grant: str = "", resume: str = "") -> None:
        """Carries a call over a WebSocket; returns when that is closed.

        Args and errors as of `place`; errors are raised before the socket is accepted."""

    async def hang_up(self, call_id: str, grant: str = "") -> bool:
        """Ends a call and waits until all of it is gone; of one that ended lately nothing is left to do.

        Args:
            call_id: or the token of one that waits for its client, who does not come back.
            grant: JSON of the `Grant` of whoever asks: one ends one's own calls, an admin any.

        False: there is no such call, or it is somebody else's."""

    def load(self) -> Load:
        """How full it is now."""

    def carried(self) -> list[Carried]:
        """The calls there are now, the oldest first."""

    def figures(self) -> bytes:
        """All that is counted, in Prometheus' text format."""

    def today(self) -> Today:
        """What calls have cost since midnight UTC."""

    async def drain(self, within_s: float) -> None:
        """Takes no new calls; returns when the last one has ended, or has been ended at the bound."""


def worker_of(call_id: str) -> str:
    """The name of the worker that carries a call; "" where the id is none of ours."""
    parts = call_id.split("_")
    return parts[1] if len(parts) == 3 and parts[0] == "call" else ""
