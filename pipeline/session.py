"""One conversation as the world sees it: its life, its listener, and what a client may command.

What it hears and says, and who has the floor: `pipeline.floor`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline import events as ev
from pipeline import turns
from pipeline.absence import Absence, Left, Missed
from pipeline.air import Ahead
from pipeline.answers import Request
from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.dialogue import FRONT, Dialogue, shorten
from pipeline.errors import CallError, Stage
from pipeline.floor import Floor, Parts
from pipeline.items import Item, Role, new_id
from pipeline.notices import AtWork, Notice, heard_by
from pipeline.settings import CallSettings, Settings
from pipeline.turns import Phase

__all__ = ["Parts", "Request", "Session"]

log = logging.getLogger(__name__)

END_WITHIN_S = 5.0  # a call's tasks, once it is over
REPEATED = {"viva": "repeat"}  # a reply's metadata, by which a client tells what is said once more


class Session:
    """One conversation. It outlives its peer: `attach` gives it a new listener, `hear`/`read` a new network.

    All methods are called on the event loop's thread; those without `async` never wait.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        call: CallSettings,
        *,
        session_id: str | None = None,
        observe: Callable[[ev.Event], None] | None = None,  # every event, whether or not somebody is attached
    ) -> None:
        self.id = session_id or new_id("sess")
        self.call = call
        self._settings = settings
        self._dialogue = Dialogue()
        self._floor = Floor(
            parts,
            settings,
            self._dialogue,
            call=lambda: self.call,
            update=self.update,
            spawn=self._spawn,
            emit=self._emit,
            seed=zlib.crc32(self.id.encode()),
        )
        self._observe = observe
        self._listener: Callable[[ev.Event], None] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None  # None: does not run
        self._greeted = False
        self._at_work: dict[Stage, str] = {}  # of each chain that has worked, the provider that did last
        self._absence = Absence(self._floor, lambda: self.items, self._spawn, lambda: self.call)
        self.update({})

    @property
    def items(self) -> list[Item]:
        return self._dialogue.items

    # ------------------------------------------------------------ lifetime

    async def run(self) -> None:
        """Lives as long as the conversation; cancel it to end it. All its tasks end with it.

        No TaskGroup: that would wait for ever for a plug-in's stream that refuses to end."""
        self._tasks = set()
        self._floor.answering.expect()  # the greeting
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks, self._tasks = self._tasks, None
            self._floor.answering.owed.forget_all()
            for task in tasks:
                task.cancel()
            if tasks:
                _, left = await asyncio.wait(tasks, timeout=END_WITHIN_S)
                for task in left:
                    log.error("%s of %s does not end: a plug-in ignores that it was closed", task, self.id)

    def attach(self, listener: Callable[[ev.Event], None] | None) -> None:
        """Events go to `listener` from now on (None: nowhere)."""
        self._listener = listener
        self._floor.show(again=True)

    def _emit(self, event: ev.Event) -> None:
        if isinstance(event, ev.TurnMeasured):
            turn = {"session": self.id, "item": event.item_id, **event.figures}
            log.info("turn %s", json.dumps(turn), extra={"turn": turn})
        for listener in (self._observe, self._listener):
            if listener is None:
                continue
            try:
                listener(event)
            except Exception:  # costs an event, never a turn
                log.exception("a listener of %s failed", self.id)

    def _told(self, notice: Notice) -> None:
        """By a provider at work for this call."""
        if isinstance(notice, AtWork):
            before = self._at_work.get(notice.stage, notice.first)
            self._at_work[notice.stage] = notice.name
            if notice.name == before:
                return
            log.info("%s: %s gave way to %s: %s", notice.stage, before, notice.name, notice.message)
            notice = ev.FellOver(notice.stage, before, notice.name, notice.code, notice.message)
        self._emit(notice)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        if self._tasks is None:
            work.close()
            return None
        task = asyncio.create_task(self._survive(work), name=name, context=heard_by(self._told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # of one that was cancelled before it began
        return task

    async def _survive(self, work: Coroutine[Any, Any, None]) -> None:
        """Whatever goes wrong in a task costs a turn, never the call."""
        try:
            await work
        except Exception:
            log.exception("a task of %s failed", self.id)
            self._emit(ev.Trouble("session", "crashed", "something failed on the server; the call goes on"))

    # --------------------------------------------------------------- sound

    def hear(self, chunk: AudioChunk) -> None:
        """20 ms of microphone, int16 mono 16 kHz, continuous. Silence must be fed when packets stop."""
        if self._tasks is not None:
            self._floor.hear(chunk)

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice at VOICE_RATE, int16; None: silence (nothing to say)."""
        return self._floor.read(count)

    def ahead(self) -> Ahead | None:
        """Sound that `read` has yet to reach, for a listener with a buffer of his own."""
        return self._floor.air.ahead()

    @property
    def may_hurry(self) -> bool:
        """Nothing depends on a wall clock: sound that waits may be heard faster than it was spoken."""
        floor = self._floor
        phase, manual = floor.turns.phase, floor.turns.manual
        calm = phase in (Phase.LISTENING, Phase.HEARING) or (phase is Phase.PAUSED and manual)
        return calm and not floor.turns.overlaps and not floor.air.asides

    # ------------------------------------------------------------- commands

    def greet(self) -> None:
        """The client is ready: the mind speaks first, if the call's settings say so. Again after `back`."""
        if self._absence.away:
            self._absence.end()
        if self._greeted or self._tasks is None:
            return
        self._greeted = True
        if self.call.greet and self._floor.turns.phase is Phase.LISTENING:
            self.reply()

    def park(self) -> None:
        """The line was lost and may come back: then `back`, and `greet` when its client is ready."""
        self._absence.begin()

    async def back(self) -> Missed | None:
        """There is a line again. Returns what of the last reply the person has not heard."""
        return await self._absence.back()

    async def leave(self) -> Left:
        """After `park`: what another process goes on from. This one is to be ended."""
        return await self._absence.leave()

    def restore(self, left: Left) -> None:
        """Before `run`: a conversation that was held in another process; its person is on their way back."""
        self._dialogue.items[:] = left.items
        self._greeted = True
        self._absence.restore(left)

    def update(self, patch: Mapping[str, Any]) -> CallSettings:
        """Merges `patch` into the call's settings. Raises CallError naming the field."""
        old, self.call = self.call, self._merged(patch)
        self._floor.settings_changed(old)
        return self.call

    def _merged(self, patch: Mapping[str, Any]) -> CallSettings:
        try:
            return self.call.merged(patch)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CallError("invalid_value", f"{place}: {first['msg']}", place) from error

    def say(
        self, text: str, item_id: str | None = None, previous_id: str | None = None, *, role: Role = "user"
    ) -> Item:
        """Adds a typed message to the history (no reply by itself). Raises CallError."""
        if not text.strip():
            raise CallError("empty_text", "a message needs some text", "item.content")
        item = Item(item_id or new_id("item"), role, "completed", text, spoken=False)
        self.add(item, previous_id)
        return item

    def add(self, item: Item, previous_id: str | None = None) -> None:
        """Puts an item of the client's into the history. Raises CallError."""
        self._check_id(item.id)
        if item.kind == "function_call_output" and not self._calls(item.call_id):
            message = f"Tool call ID {item.call_id!r} not found in conversation."
            raise CallError("invalid_tool_call_id", message, "item.call_id")
        previous = self._dialogue.add(item, previous_id)
        self._floor.answering.unprepare()
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))

    def add_recording(self, samples: np.ndarray, item_id: str | None, previous_id: str | None = None) -> None:
        """Puts a recording of the person, int16 at MIC_RATE, into the history; its words follow.

        Raises CallError."""
        longest_s = self._settings.turns.longest_utterance_s
        if len(samples) > longest_s * MIC_RATE:
            raise CallError("invalid_value", f"a recording has {longest_s} s at most", "item.content")
        item_id = item_id or new_id("item")
        self._check_id(item_id)
        if previous_id not in (None, FRONT):
            self._dialogue.find(previous_id)
        utterance = self._floor.hearing.transcribe(item_id, samples, self.call.language)
        self._floor.answering.recorded(utterance, previous_id)
        self._floor.answering.unprepare()

    def _check_id(self, item_id: str) -> None:
        utterance = self._floor.hearing.utterance
        taken = utterance is not None and item_id == utterance.item_id
        if taken or self._dialogue.get(item_id) is not None:
            raise CallError("item_id_taken", f"there is an item {item_id!r} already", "item.id")

    def _calls(self, call_id: str) -> bool:
        return any(item.kind == "function_call" and item.call_id == call_id for item in self.items)

    def reply(self, request: Request | None = None) -> None:
        """Asks for a reply now, or as soon as the words are known to which it is one.

        Raises CallError if one is being given, or if the request cannot be."""
        request = request or Request()
        self._merged(request.patch)
        floor, answering = self._floor, self._floor.answering
        if not request.in_conversation:
            answering.beside(request)
        elif floor.air.answer is not None:
            if not answering.follow(request):
                raise CallError(
                    "conversation_already_has_active_response",
                    "a reply is being given: wait for response.done, or send response.cancel first",
                )
        elif floor.turns.phase is Phase.LISTENING:
            floor.handle(turns.ReplyAsked())
            answering.begin(request)
        else:
            answering.ask(request)
            if not (self._continues() and self.call.answers_by_itself):
                floor.handle(
                    turns.ReplyAsked()
                )  # what is being said becomes the turn to answer, if it is not yet

    def _continues(self) -> bool:
        """What a tool said is to be told: no reason to cut the person off."""
        return bool(self.items) and self.items[-1].kind == "function_call_output"

    def cancel(self, response_id: str | None = None) -> None:
        """Ends the reply being given, or one beside the conversation. Raises CallError if there is none."""
        air = self._floor.air
        aside = next((one for one in air.asides if one.response_id == response_id), None)
        if aside is not None:
            air.cut("client_cancelled", aside)
        elif response_id is None and air.answer is None and self._floor.answering.call_off():
            self._floor.handle(turns.ReplyEnded())
        elif air.answer is None or (response_id and response_id != air.answer.response_id):
            raise CallError("response_cancel_not_active", "there is no such reply to cancel")
        else:
            self._stop_reply()

    def clear_output(self) -> None:
        """Silences everything, and truncates the reply's item to what was heard."""
        for aside in [aside for aside in self._floor.air.asides if aside.item.spoken]:
            self._floor.air.cut("client_cancelled", aside)
        self._stop_reply()

    def _stop_reply(self) -> None:
        if self._floor.air.answer is not None:
            self._floor.answering.cut("client_cancelled")
            self._floor.handle(turns.ReplyEnded())

    def farewell(self, why: str) -> bool:
        """Says goodbye in place of whatever it is saying, and then ends with `ev.Ended(why)`.

        False: not now, the person is speaking."""
        self._stop_reply()
        if self._floor.turns.phase is not Phase.LISTENING:
            return False
        self._floor.handle(turns.ReplyAsked())
        self._floor.answering.farewell(why)
        return True

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was heard."""
        self._floor.commit()

    def clear_input(self) -> None:
        """Forgets what the person is saying."""
        self._floor.clear_input()

    def think(self) -> None:
        """ "Let me think": stops patience for a while."""
        self._floor.handle(turns.Think())

    def retrieve(self, item_id: str) -> Item:
        """Raises CallError."""
        return self._dialogue.find(item_id)

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cuts a reply's item to the words that had begun to be heard by then. Raises CallError."""
        item = self._dialogue.find(item_id)
        if item.role != "assistant" or not item.spoken:
            raise CallError("invalid_value", "Only model output audio messages can be truncated", "item_id")
        answer = self._floor.air.answer
        on_air = answer is not None and answer.item is item
        if on_air:
            self._stop_reply()
        elif audio_end_ms > item.audio_ms and item.status != "incomplete":  # cut here: clients lag
            message = f"Audio content of {item.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise CallError("invalid_value", message, "audio_end_ms")
        if not on_air or audio_end_ms < item.audio_ms:
            shorten(item, audio_end_ms)
            self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))
        self._floor.answering.unprepare()

    def delete(self, item_id: str) -> None:
        """Raises CallError."""
        self._dialogue.find(item_id)
        answer = self._floor.air.answer
        if answer and any(item.id == item_id and item.status == "in_progress" for item in answer.items):
            self._stop_reply()
        self._floor.answering.forget(item_id)
        self._floor.answering.unprepare()

    def repeat(self) -> None:
        """Says the last reply once more (nothing new in the history); what is being said becomes a turn
        before it. Raises CallError."""
        answer = self._floor.air.answer
        passing = answer.item if answer is not None and answer.passing else None
        said = (
            item.text for item in reversed(self.items) if item.role == "assistant" and item is not passing
        )
        last = next(filter(None, said), None)
        if last is None:
            raise CallError("nothing_to_repeat", "nothing has been said yet")
        self._stop_reply()
        self.reply(Request(once_more=last.strip(), metadata=REPEATED))
