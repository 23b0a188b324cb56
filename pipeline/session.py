"""One conversation as the world sees it: its life, its listener, and what a client may command.

What it hears and says, and who has the floor: `pipeline.floor`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline import events as ev
from pipeline import turns
from pipeline.audio import AudioChunk
from pipeline.dialogue import Dialogue
from pipeline.errors import CallError
from pipeline.floor import Floor, Parts
from pipeline.items import Item, Role, new_id
from pipeline.settings import CallSettings, Settings
from pipeline.turns import Phase

__all__ = ["Parts", "Session"]

log = logging.getLogger(__name__)

END_WITHIN_S = 5.0  # a call's tasks, once it is over


class Session:
    """One conversation. It outlives its peer: `attach` gives it a new listener, `hear`/`read` a new network.

    All methods are called on the event loop's thread; those without `async` never wait.
    """

    def __init__(
        self, parts: Parts, settings: Settings, call: CallSettings, *, session_id: str | None = None
    ) -> None:
        self.id = session_id or new_id("sess")
        self.call = call
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
        self._listener: Callable[[ev.Event], None] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None  # None: does not run
        self._greeted = False
        self.update({})

    @property
    def items(self) -> list[Item]:
        return self._dialogue.items

    # ------------------------------------------------------------ lifetime

    async def run(self) -> None:
        """Lives as long as the conversation; cancel it to end it. All its tasks end with it.

        No TaskGroup: that would wait for ever for a plug-in's stream that refuses to end."""
        self._tasks = set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            tasks, self._tasks = self._tasks, None
            self._floor.answering.stop_timers()
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
            log.info("turn %s", json.dumps({"session": self.id, "item": event.item_id, **event.figures}))
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception:  # costs an event, never a turn
            log.exception("a listener of %s failed", self.id)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        if self._tasks is None:
            work.close()
            return None
        task = asyncio.create_task(self._survive(work), name=name)
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

    # ------------------------------------------------------------- commands

    def greet(self) -> None:
        """The client is ready: the mind speaks first, if the call's settings say so. Only once."""
        if self._greeted or self._tasks is None:
            return
        self._greeted = True
        if self.call.greet and self._floor.turns.phase is Phase.LISTENING:
            self.reply()

    def update(self, patch: dict[str, Any]) -> CallSettings:
        """Merges `patch` into the call's settings. Raises CallError naming the field."""
        old = self.call
        try:
            self.call = old.merged(patch)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CallError("invalid_value", f"{place}: {first['msg']}", place) from error
        self._floor.settings_changed(old)
        return self.call

    def say(
        self, text: str, item_id: str | None = None, previous_id: str | None = None, *, role: Role = "user"
    ) -> Item:
        """Adds a typed message to the history (no reply by itself). Raises CallError."""
        if not text.strip():
            raise CallError("empty_text", "a message needs some text", "item.content")
        utterance = self._floor.hearing.utterance
        if utterance is not None and item_id == utterance.item_id:
            raise CallError("item_id_taken", f"there is an item {item_id!r} already", "item.id")
        item = Item(item_id or new_id("item"), role, "completed", text, spoken=False)
        previous = self._dialogue.add(item, previous_id)
        self._floor.answering.unprepare()
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        return item

    def reply(self, metadata: dict[str, Any] | None = None, instructions: str | None = None) -> None:
        """Asks for a reply now, or as soon as the words are known to which it is one.

        Raises CallError if one is being given."""
        if self._floor.air.answer is not None:
            raise CallError(
                "conversation_already_has_active_response",
                "a reply is being given: wait for response.done, or send response.cancel first",
            )
        if self._floor.turns.phase is Phase.LISTENING:
            self._floor.handle(turns.ReplyAsked())
            self._floor.answering.begin(metadata, instructions)
        else:  # what is being said becomes the turn to answer, if it is not that already
            self._floor.answering.ask(metadata, instructions)
            self._floor.handle(turns.ReplyAsked())

    def cancel(self, response_id: str | None = None) -> None:
        """Ends the reply being given. Raises CallError if there is none."""
        answer = self._floor.air.answer
        if answer is None or (response_id and response_id != answer.response_id):
            raise CallError("response_cancel_not_active", "there is no such reply to cancel")
        self.clear_output()

    def clear_output(self) -> None:
        """Silences the reply and truncates its item to what was heard."""
        if self._floor.air.answer is not None:
            self._floor.answering.cut("client_cancelled")
            self._floor.handle(turns.ReplyEnded())

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was said."""
        if self._floor.hearing.utterance is None:
            raise CallError("input_audio_buffer_commit_empty", "nothing has been said since the last turn")
        self._floor.handle(turns.Commit())

    def clear_input(self) -> None:
        """Forgets what the person is saying."""
        utterance = self._floor.hearing.utterance
        if utterance is None or utterance.over_reply:  # nothing that the world was told of
            self._emit(ev.InputCleared())
        self._floor.handle(turns.ClearInput())

    def think(self) -> None:
        """ "Let me think": stops patience for a while."""
        self._floor.handle(turns.Think())

    def retrieve(self, item_id: str) -> Item:
        """Raises CallError."""
        return self._dialogue.find(item_id)

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cuts a reply's item to what was heard by then. Raises CallError."""
        item = self._dialogue.find(item_id)
        if item.role != "assistant":
            raise CallError("invalid_value", "only a reply's item can be truncated", "item_id")
        if self._floor.air.answer is not None and self._floor.air.answer.item is item:
            self.clear_output()
            return
        self._dialogue.shorten(item, audio_end_ms)
        self._floor.answering.unprepare()
        self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))

    def delete(self, item_id: str) -> None:
        """Raises CallError."""
        self._dialogue.find(item_id)
        if self._floor.air.answer is not None and self._floor.air.answer.item.id == item_id:
            self.clear_output()
        self._floor.answering.forget(item_id)
        self._floor.answering.unprepare()

    def repeat(self) -> None:
        """Says the last reply once more (nothing new in the history). Raises CallError."""
        last = next((i for i in reversed(self.items) if i.role == "assistant" and i.text), None)
        if last is None or last.text is None:
            raise CallError("nothing_to_repeat", "nothing has been said yet")
        self.clear_output()
        if self._floor.turns.phase is not Phase.LISTENING:
            raise CallError("busy", "not while you speak")
        self._floor.handle(turns.ReplyAsked())
        self._floor.answering.repeat(last.text.strip())
