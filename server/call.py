"""One call: a conversation, its translation into the protocol, and the line that carries it just now.

A call outlives its line where the client can come back, which one of ours can: it is told a token
(`session.viva.resume`), and after its line was lost the call is parked for a while. Whoever brings the token
gets a new line to the same conversation. The token carries an epoch that every new line raises, so that of
two who hold a token (a page that was duplicated) the later one wins, and the other is told and hung up.
An epoch counts from the moment its client has sent something: until then it may not have learned of it, and
the one before is good for another try.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline import events as ev
from pipeline.air import Ahead
from pipeline.audio import AudioChunk
from pipeline.errors import CallError
from pipeline.items import new_id
from pipeline.session import Session
from server.access.door import LimitSettings
from server.access.grant import OPEN, Grant
from server.allowance import use_up
from server.costs import Costs
from server.handover import Waiting
from server.line import Line
from server.logs import about
from server.wire.realtime import Realtime
from server.workers import BadOffer, NotResumed

log = logging.getLogger(__name__)

RESUME = "resume_"  # a token begins with it
RELOADED = 1 / 6  # of the time it is parked belongs to it alone; then a new call may have its place
CLOSE_WITHIN_S = 3.0  # a line that was told to
COSTS_AFTER_S = 1.0  # so long the client is not told of new ones again


class Call:
    """Alive until someone hangs up, or its line is over and nobody comes back.

    Args:
        call_id: for the log.
        session: the conversation; it lives in this call's task group.
        grant: on whose behalf, and what of the session is fixed.
        limits: how long it may be, and what its lines may be sent.
        costs: what it has cost, and when that is too much.
        worker: the name in its token.
        resume_within_s: how long it is parked; 0: not at all.

    Raises BadOffer when what is fixed makes no sense here.
    """

    def __init__(
        self,
        call_id: str,
        session: Session,
        grant: Grant = OPEN,
        limits: LimitSettings | None = None,
        costs: Costs | None = None,
        *,
        worker: str = "local",
        resume_within_s: float = 0,
    ) -> None:
        self.id = call_id
        self.token = f"{RESUME}{worker}_{secrets.token_hex(16)}"
        self.session = session
        self.grant = grant
        self.limits = limits or LimitSettings()
        self.costs = costs or Costs()
        self._telling_costs: asyncio.TimerHandle | None = None
        self._resume_within_s = resume_within_s
        self._wire = Realtime(session, self._send, grant, append=self._append, resume=self._told)
        self._configure(grant.baked, self._wire.bake)
        self._line: Line | None = None  # the one that carries the call
        self._greeted = False  # its client was told of the session, and may be told more
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._entered: dict[Line, int] = {}  # with which epoch a line was asked for
        self._epoch = 0  # of the line that carries the call
        self._proven = 0  # the last one whose client is known to have been told
        self._resumable = False  # the client has been told a token
        self._welcoming: asyncio.Task[None] | None = None
        self._parked: asyncio.TimerHandle | None = None
        self._parked_s = 0.0  # since when, on the loop's clock
        self._last_words: ev.Ended | None = None
        self._said_goodbye = asyncio.Event()
        self._over = asyncio.Event()
        self._why = ""

    def configure(self, text: str) -> None:
        """Takes the JSON of a Realtime session object, as it came with an offer. Raises BadOffer."""
        try:
            session = json.loads(text)
        except (ValueError, RecursionError):
            raise BadOffer("invalid_json", "the session is not JSON", "session") from None
        self._configure(session, self._wire.configure)

    def _configure(self, session: Any, take: Callable[[Any], None]) -> None:
        try:
            take(session)
        except CallError as error:
            raise BadOffer(error.code, str(error), error.param) from None

    # ------------------------------------------------------- life

    async def run(self, line: Line | None) -> None:
        """The call itself; returns when it is over and nothing of it is left. Without a line it is parked."""
        session = asyncio.create_task(self.session.run(), name=f"session {self.id}")
        session.add_done_callback(self._session_over)
        allowance = asyncio.create_task(self._use_up_allowance(), name=f"allowance {self.id}")
        self.costs.open()
        if line is not None:
            self.carry(line, 0)
        try:
            await self._over.wait()
            for one in self._lines:
                one.close(self._why)
            if self._lines:
                await asyncio.wait(self._lines.values(), timeout=CLOSE_WITHIN_S)
        finally:
            if self._parked is not None:
                self._parked.cancel()
            tasks = [session, allowance, *self._lines.values()]
            if self._welcoming is not None:
                tasks.append(self._welcoming)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.session.attach(None)
            if self._telling_costs is not None:
                self._telling_costs.cancel()
            self.costs.close()
            log.info("over: %s", self._why or "cancelled")

    def _session_over(self, session: asyncio.Task[None]) -> None:
        if not session.cancelled() and session.exception() is not None:
            log.error("the session failed", exc_info=session.exception())
        self.hang_up("the session ended")

    async def _use_up_allowance(self) -> None:
        why = await use_up(self.limits, self.costs, self.session, self._wire, self._said_goodbye)
        self.hang_up(why)

    def hang_up(self, why: str) -> None:
        """Ends the call; `run` returns soon after."""
        self._why = self._why or why
        self._over.set()

    def carry(self, line: Line, epoch: int) -> None:
        """A line that is to carry the call as soon as it is connected, in place of the one that does."""
        for one in self._lines:
            if one is not self._line:
                one.close("another one was asked for")
        self._entered[line] = epoch
        with about(self.id):
            task = asyncio.create_task(self._until_over(line), name=f"line {self.id}")
        self._lines[line] = task

    async def _until_over(self, line: Line) -> None:
        why = "it failed"
        try:
            why = await line.run()
        except Exception:
            log.exception("a line failed")
        finally:
            del self._lines[line], self._entered[line]
            self._line_over(line, why)

    def _line_over(self, line: Line, why: str) -> None:
        if line is self._line:
            self._line = None
            if self._resumable and self._resume_within_s and not self._over.is_set():
                self._park(why)
            else:
                self.hang_up(why)
        elif self._line is None and self._parked is None:
            self.hang_up(why)  # the first line, and it never connected

    def _park(self, why: str) -> None:
        log.info("parked: %s", why)
        self.session.park()
        loop = asyncio.get_running_loop()
        self._parked_s = loop.time()
        self._parked = loop.call_later(self._resume_within_s, self.hang_up, f"{why}, and nobody came back")

    # ------------------------------------------------------- from process to process

    async def leave(self) -> Waiting | None:
        """For the process that comes after this one; None: its client cannot come back. `hang_up` follows."""
        if not self._resumable or not self._resume_within_s or self._over.is_set():
            return None
        waits_s = self._resume_within_s
        if self._parked is not None:
            waits_s = self._parked.when() - asyncio.get_running_loop().time()
        self.session.park()
        left = await self.session.leave()
        return Waiting(
            self.id,
            self.token,
            self._epoch,
            self._proven,
            self.grant.to_json(),
            self.session.id,
            self.session.call,
            left,
            until=time.time() + waits_s,
            spent=self.costs.left(),
        )

    def restore(self, waiting: Waiting) -> None:
        """Before `run`: goes on where the process before this one left it."""
        self.token, self._epoch, self._proven = waiting.token, waiting.epoch, waiting.proven
        self._resumable = True
        self._wire.bake({"viva": {}})  # none but a client of ours can come back
        self.session.restore(waiting.left)
        loop, waits_s = asyncio.get_running_loop(), waiting.until - time.time()
        self._parked_s = loop.time()
        self._parked = loop.call_later(waits_s, self.hang_up, "nobody came back after a new start")

    def ending(self, in_s: float, why: str) -> None:
        """Tells the client that the call is to end."""
        self._wire.ending(in_s, why)

    @property
    def waited_s(self) -> float:
        """How long it has been parked; 0: it is not, or was only just, as for a page that is loaded again."""
        if self._parked is None or self._over.is_set():
            return 0.0
        waited_s = asyncio.get_running_loop().time() - self._parked_s
        return waited_s if waited_s > RELOADED * self._resume_within_s else 0.0

    # ------------------------------------------------------- resuming

    def check(self, epoch: int) -> None:
        """Raises NotResumed where a line that is asked for with that epoch comes too late."""
        if self._over.is_set():
            raise NotResumed("conversation_over", "that conversation is over")
        if not self._proven <= epoch <= self._epoch:
            raise NotResumed("conversation_elsewhere", "that conversation was taken up elsewhere")

    def _told(self) -> dict[str, Any] | None:
        """What the client takes the conversation up again with."""
        if not self._resume_within_s:
            return None
        self._resumable = True
        token = f"{self.token}.{self._epoch}"
        return {"token": token, "epoch": self._epoch, "within_s": self._resume_within_s}

    # ------------------------------------------------------- what a line tells

    def connected(self, line: Line) -> None:
        """Sound can pass: this line carries the call from now on."""
        before = self._line
        if line is before or line not in self._entered:
            return
        try:
            if self._epoch:
                self.check(self._entered[line])
        except NotResumed as late:
            line.close(str(late))
            return
        if before is not None:
            before.send({"type": "viva.ended", "event_id": new_id("event"), "why": "elsewhere"})
            self.session.park()
        self._line, self._greeted = line, False
        self._epoch += 1
        if before is not None:
            before.close("taken over")
        if self._parked is not None:
            self._parked.cancel()
            self._parked = None

    def opened(self, line: Line) -> None:
        """The line's client can be sent events."""
        if line is not self._line:
            return
        if self._epoch > 1:
            self._welcoming = asyncio.create_task(self._welcome_back(line), name=f"welcome {self.id}")
        else:
            self._greeted = True
            self._wire.opened()
            self.session.attach(self._tell)

    async def _welcome_back(self, line: Line) -> None:
        missed = await self.session.back()
        if line is not self._line:
            return
        self._greeted = True
        self._wire.opened()
        self._wire.resumed(missed)
        self._tell_costs()
        if self._last_words is not None:
            self._wire.tell(self._last_words)
        self.session.attach(self._tell)

    def handle(self, line: Line, text: str | bytes) -> None:
        """One event of the client's."""
        if line is self._line:
            self._proven = self._epoch
            self._wire.handle(text)

    def hear(self, line: Line, chunk: AudioChunk) -> None:
        """20 ms of microphone, as `Session.hear`."""
        if line is self._line:
            self.session.hear(chunk)

    def read(self, line: Line, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice, as `Session.read`."""
        return self.session.read(count) if line is self._line else None

    def ahead(self, line: Line) -> Ahead | None:
        """As `Session.ahead`."""
        return self.session.ahead() if line is self._line else None

    # ------------------------------------------------------- what a line is told

    def _tell(self, event: ev.Event) -> None:
        if isinstance(event, ev.Ended):
            self._last_words = event
            self._said_goodbye.set()
        if isinstance(event, ev.Spent) and self._telling_costs is None:
            loop = asyncio.get_running_loop()
            self._telling_costs = loop.call_later(COSTS_AFTER_S, self._tell_costs)
        if not isinstance(event, ev.Shapes):
            self._wire.tell(event)
        elif self._line is not None:
            self._line.show_mouth(event)

    def _tell_costs(self) -> None:
        self._telling_costs = None
        if figures := self.costs.figures():
            self._wire.costs(figures)

    def _send(self, event: dict[str, Any]) -> None:
        if self._line is not None and self._greeted:
            self._line.send(event)

    def _append(self, event: dict[str, Any]) -> None:
        if self._line is not None:
            self._line.append(event, self._wire.formats.input)

    @property
    def line_kind(self) -> str:
        """Of the line that carries the call just now; "": none."""
        return self._line.kind if self._line is not None else ""

    @property
    def output_format(self) -> str:
        """Of the sound in events, as `wire.sound_formats` names it."""
        return self._wire.formats.output
