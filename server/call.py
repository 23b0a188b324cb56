"""One call: a conversation, its translation into the protocol, and the line that carries it just now."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline import events as ev
from pipeline.audio import AudioChunk
from pipeline.errors import CallError
from pipeline.session import Session
from server.door import LimitSettings
from server.grant import OPEN, Grant
from server.line import Line
from server.realtime import Realtime
from server.workers import BadOffer

log = logging.getLogger(__name__)


class Call:
    """Alive until someone hangs up, or its line is over.

    Args:
        call_id: for the log.
        session: the conversation; it lives in this call's task group.
        grant: on whose behalf, and what of the session is fixed.
        limits: how long it may be, and what its lines may be sent.

    Raises BadOffer when what is fixed makes no sense here.
    """

    def __init__(
        self, call_id: str, session: Session, grant: Grant = OPEN, limits: LimitSettings | None = None
    ) -> None:
        self.id = call_id
        self.session = session
        self.grant = grant
        self.limits = limits or LimitSettings()
        self._wire = Realtime(session, self._send, grant)
        self._configure(grant.baked, self._wire.bake)
        self._line: Line | None = None  # the one that carries the call
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

    async def run(self, line: Line) -> None:
        """The call itself; returns when it is over and nothing of it is left."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.session.run(), name=f"session {self.id}"),
                    group.create_task(self._carried_by(line), name=f"line {self.id}"),
                ]
                tasks[0].add_done_callback(lambda _: self.hang_up("the session ended"))
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self.session.attach(None)
            log.info("%s over: %s", self.id, self._why or "cancelled")

    def hang_up(self, why: str) -> None:
        """Ends the call; `run` returns soon after."""
        self._why = self._why or why
        self._over.set()

    async def _carried_by(self, line: Line) -> None:
        self.hang_up(await line.run())

    # ------------------------------------------------------- what a line tells

    def connected(self, line: Line) -> None:
        """Sound can pass: this line carries the call from now on."""
        self._line = line

    def opened(self, line: Line) -> None:
        """The line's client can be sent events."""
        if line is self._line:
            self._wire.opened()
            self.session.attach(self._tell)

    def handle(self, line: Line, text: str | bytes) -> None:
        """One event of the client's."""
        if line is self._line:
            self._wire.handle(text)

    def hear(self, line: Line, chunk: AudioChunk) -> None:
        """20 ms of microphone, as `Session.hear`."""
        if line is self._line:
            self.session.hear(chunk)

    def read(self, line: Line, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice, as `Session.read`."""
        return self.session.read(count) if line is self._line else None

    # ------------------------------------------------------- what a line is told

    def _tell(self, event: ev.Event) -> None:
        if not isinstance(event, ev.Shapes):
            self._wire.tell(event)
        elif self._line is not None:
            self._line.show_mouth(event)

    def _send(self, event: dict[str, Any]) -> None:
        if self._line is not None:
            self._line.send(event)
