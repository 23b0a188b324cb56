"""Offers in, answers out: the media worker of this process, its calls and its limits."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import events as ev
from pipeline.session import Parts, Session
from server.access.grant import Grant
from server.access.shares import Shares
from server.budget import Budget
from server.call import RESUME, Call
from server.config import Config
from server.costs import Costs
from server.engines import Engines
from server.handover import Waiting, hand_over, take_over
from server.line import Line
from server.logs import about
from server.metrics import Metrics
from server.peer import Peer
from server.transport.ending import set_consent
from server.transport.ice import Ice
from server.transport.offer import check_offer
from server.websocket import SocketLine
from server.workers import (
    BadOffer,
    Carried,
    Full,
    Load,
    NoBudget,
    NotResumed,
    Placed,
    Socket,
    Today,
    TooMany,
)

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 10.0  # gathering candidates takes milliseconds, with a dead STUN server 5 s
CLOSE_WITHIN_S = 5.0
EPOCH = re.compile("[0-9]{1,9}")
ENDED_KEPT = 1000  # ids of calls that ended lately


class MediaWorker:
    """The local `server.workers.Workers`: carries calls in this event loop."""

    def __init__(self, config: Config, engines: Engines) -> None:
        self._config = config
        self._engines = engines
        self._ice = Ice(config.ice, config.turn_secret)
        self._metrics = Metrics(config.server.worker, config.prices.currency)
        self._budget = Budget(config.budget)
        self._calls: dict[str, Call] = {}
        self._began: dict[str, float] = {}  # by call id, time.monotonic()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended_lately: deque[str] = deque(maxlen=ENDED_KEPT)
        self._shares = Shares(config.limits, config.server.retry_after_s)
        self._answering = 0  # calls that hold a place and have no answer yet
        self._draining = False
        self._taken_over = asyncio.Event()  # before that nobody is told that there is nothing to come back to
        if not config.server.handover:
            self._taken_over.set()
        self._idle = asyncio.Event()
        self._idle.set()
        set_consent(config.server.consent_failures, config.server.consent_interval_s)

    async def place(self, offer: str, session: str = "", grant: str = "", resume: str = "") -> Placed:
        given = Grant.from_json(grant)
        with self._refusals_counted():
            check_offer(offer)
            if resume:
                call, epoch = await self._parked(resume, given)
                peer, answer = await self._answer(call, offer)
                call.carry(peer, epoch)
                return Placed(call.id, answer)
            with self._new_place(given):
                call = await self._new_call(session, given)
                peer, answer = await self._answer(call, offer)
                self._begin(call, peer)
                return Placed(call.id, answer)

    async def talk(self, socket: Socket, session: str = "", grant: str = "", resume: str = "") -> None:
        given = Grant.from_json(grant)
        with self._refusals_counted():
            if resume:
                call, epoch = await self._parked(resume, given)
                await socket.accept(call.id)
                line = self._socket_line(call, socket)
                call.carry(line, epoch)
            else:
                with self._new_place(given):
                    call = await self._new_call(session, given)
                    await socket.accept(call.id)
                    line = self._socket_line(call, socket)
                    self._begin(call, line)
        await line.closed.wait()

    @contextmanager
    def _refusals_counted(self) -> Iterator[None]:
        try:
            yield
        except (BadOffer, NotResumed) as refused:
            self._metrics.refused(refused.code)
            raise
        except TooMany:
            self._metrics.refused("too_many")
            raise
        except NoBudget:
            self._metrics.refused("budget_spent")
            raise
        except Full:
            self._metrics.refused("full")
            raise

    @contextmanager
    def _new_place(self, grant: Grant) -> Iterator[None]:
        """A place for a call that is being made. Raises Full, NoBudget or TooMany."""
        self._admit()
        self._shares.take(grant)
        self._answering += 1
        self._idle.clear()
        try:
            yield
        except BaseException:
            self._shares.give_back(grant)
            raise
        finally:
            self._answering -= 1
            self._note_idle()

    async def _parked(self, resume: str, grant: Grant) -> tuple[Call, int]:
        """The call that a token is of, and its epoch. Raises NotResumed."""
        await self._taken_over.wait()
        token, _, epoch = resume.rpartition(".")
        call = next((call for call in self._calls.values() if call.token == token), None)
        if call is None or not EPOCH.fullmatch(epoch) or call.grant.owner != grant.owner:
            raise NotResumed("conversation_over", "that conversation is over")
        call.check(int(epoch))
        return call, int(epoch)

    async def hang_up(self, call_id: str, grant: str = "") -> bool:
        if call_id.startswith(RESUME):
            try:
                call_id = (await self._parked(call_id, Grant.from_json(grant)))[0].id
            except NotResumed:
                return True  # whoever has it now, or nobody: nothing of it is theirs any more
        call, task = self._calls.get(call_id), self._tasks.get(call_id)
        if call is None or task is None:
            return call_id in self._ended_lately  # a client's closing overtakes its hanging up
        who = Grant.from_json(grant)
        if who.role != "admin" and who.owner != call.grant.owner:
            return False
        call.hang_up("hung up")
        await asyncio.wait({task}, timeout=CLOSE_WITHIN_S)
        return True

    def load(self) -> Load:
        calls = len(self._calls) + self._answering
        return Load(calls, self._config.server.max_calls, self._draining, self._budget.spent_for_s)

    def carried(self) -> list[Carried]:
        now = time.monotonic()
        return [
            Carried(
                call.id,
                int(now - self._began[call.id]),
                call.line_kind,
                call.session.call.mode,
                call.session.call.language,
                len(call.session.items),
                call.grant.key,
                call.grant.user,
                call.costs.money,
                tuple(call.costs.figures().get("not_priced", ())),
            )
            for call in self._calls.values()
        ]

    def figures(self) -> bytes:
        load = self.load()
        self._metrics.load(load.calls, load.max_calls)
        self._metrics.today(self._budget.spent, self._budget.settings.day)
        return self._metrics.text()

    def today(self) -> Today:
        return Today(self._budget.spent, self._budget.settings.day, self._config.prices.currency)

    async def drain(self, within_s: float) -> None:
        self._draining = True
        for call in self._calls.values():
            call.ending(within_s, "server_stops")
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            await self._leave()
            for call in list(self._calls.values()):
                call.hang_up("the server stops")
            if self._tasks:
                await asyncio.wait(list(self._tasks.values()), timeout=CLOSE_WITHIN_S)
        self._budget.save()
        self._ice.close()

    async def _leave(self) -> None:
        """What may go on in the next process is written down for it."""
        if self._config.server.handover:
            left = await asyncio.gather(*(call.leave() for call in self._calls.values()))
            hand_over(Path(self._config.server.handover), [one for one in left if one is not None])

    async def take_over(self) -> None:
        """Takes up what the process before this one left."""
        if self._taken_over.is_set():
            return
        for waiting in take_over(Path(self._config.server.handover)):
            grant = Grant.from_json(waiting.grant)
            try:
                self._shares.take(grant)
                call = self._call(await self._engines.parts(), grant, waiting)
            except (BadOffer, TooMany) as error:
                log.error("%s is not taken up: %s", waiting.call_id, error)
                continue
            self._begin(call, None)
        self._taken_over.set()

    def _admit(self) -> None:
        retry_s = self._config.server.retry_after_s
        load = self.load()
        if load.draining:
            raise Full("the server is stopping", retry_s)
        if load.no_budget_s:
            raise NoBudget(load.no_budget_s)
        if load.calls >= load.max_calls and not self._give_up_longest_parked():
            raise Full(f"all {load.max_calls} lines are busy", retry_s)

    def _socket_line(self, call: Call, socket: Socket) -> SocketLine:
        config = self._config
        silence_ms = config.pipeline.turns.silence_fed_after_ms
        return SocketLine(call, socket, config.server, silence_after_ms=silence_ms)

    def _give_up_longest_parked(self) -> bool:
        """Somebody is here, and somebody else may not come back."""
        call = max(self._calls.values(), key=lambda one: one.waited_s, default=None)
        if call is None or not call.waited_s:
            return False
        call.hang_up("its place was needed")
        return True

    async def _answer(self, call: Call, offer: str) -> tuple[Peer, str]:
        config = self._config
        silence_ms = config.pipeline.turns.silence_fed_after_ms
        peer = Peer(call, config.server, self._ice, silence_after_ms=silence_ms)
        try:
            with about(call.id):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    answer = await peer.answer(offer)
        except TimeoutError:
            raise BadOffer("no_answer", "no answer could be made in time") from None
        return peer, answer

    async def _new_call(self, session: str, grant: Grant) -> Call:
        call = self._call(await self._engines.parts(), grant)
        if session:
            call.configure(session)
        return call

    def _call(self, parts: Parts, grant: Grant, before: Waiting | None = None) -> Call:
        """`before`: what it goes on from. Raises BadOffer."""
        config = self._config
        spent = before.spent if before else ()
        costs = Costs(config.prices, self._budget, self._metrics.spent, spent)

        def observe(event: ev.Event) -> None:
            costs.observe(event)
            self._metrics.observe(event)

        conversation = Session(
            parts,
            config.pipeline,
            before.settings if before else config.call,
            session_id=before.session_id if before else None,
            observe=observe,
        )
        call = Call(
            before.call_id if before else f"call_{config.server.worker}_{secrets.token_hex(10)}",
            conversation,
            grant,
            config.limits,
            costs,
            worker=config.server.worker,
            resume_within_s=config.server.resume_within_s,
        )
        if before:
            call.restore(before)
        return call

    def _begin(self, call: Call, line: Line | None) -> None:
        with about(call.id):
            task = asyncio.create_task(call.run(line), name=call.id)
            task.add_done_callback(lambda done: self._ended(call.id, done))
            by = call.grant.key or call.grant.by
            what = "placed" if line else "taken up from the process before, placed"
            log.info("%s by %s, %d now", what, by, len(self._calls) + 1)
        self._calls[call.id], self._tasks[call.id] = call, task
        self._idle.clear()
        self._began[call.id] = time.monotonic()
        if line is not None:
            self._metrics.placed(line.kind)

    def _ended(self, call_id: str, task: asyncio.Task[None]) -> None:
        self._shares.give_back(self._calls[call_id].grant)
        self._metrics.wasted(self._calls[call_id].costs.wasted)
        del self._calls[call_id], self._tasks[call_id]
        self._metrics.ended(time.monotonic() - self._began.pop(call_id))
        self._ended_lately.append(call_id)
        if not task.cancelled() and task.exception() is not None:
            log.error("the call failed", exc_info=task.exception())
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._calls and not self._answering:
            self._idle.set()
