"""Nobody is on the line for a while: what becomes of the floor meanwhile, and how the talk is taken up again.

The microphone stands still, and with it patience, nudges and every other count of its samples. What remains
is what was begun when the line was lost:

- the person spoke: what they had said is kept as their words, and not answered; they had not finished,
- they had finished and heard no answer yet: it is owed, and begun afresh when they are back,
- the answer was being spoken: what had been handed out counts as heard, the rest becomes text to read.

Then the question at hand is asked again, briefly.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from pipeline import turns
from pipeline.answers import Answer, Request, Spawn
from pipeline.audio import VOICE_RATE
from pipeline.floor import Floor
from pipeline.items import Item
from pipeline.languages import say
from pipeline.settings import CallSettings
from pipeline.turns import Phase

READ_AT_ONCE = VOICE_RATE  # samples, every
READ_EVERY_S = 0.02  # so that a voice which writes ahead by seconds is never waited for
LONGEST_QUESTION = 300  # characters; of a longer one only the end is asked again
READ_WITHIN_S = 0.5  # once there is a line again

SENTENCE = re.compile(r"[^.!?。！？؟।]+[.!?。！？؟।]*\s*")
ASKS = ("?", "？", "؟")


@dataclass(frozen=True, slots=True)
class Missed:
    """What of a reply was never handed out as sound."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Left:
    """A conversation whose person is away, as another process can take it up."""

    items: tuple[Item, ...]
    missed: Missed | None  # of which they are still to be told
    owed: bool  # they wait for an answer of which they have heard nothing
    notes: str = ""  # of the mind, on what it is no longer told
    covered: tuple[str, ...] = ()  # ids of the items that are in them


class Absence:
    """One session's. Its arguments are the session's own."""

    def __init__(
        self,
        floor: Floor,
        items: Callable[[], list[Item]],
        spawn: Spawn,
        call: Callable[[], CallSettings],
    ) -> None:
        self.away = False
        self._floor = floor
        self._items = items
        self._spawn = spawn
        self._call = call
        self._owed = False  # they wait for an answer of which they have heard nothing
        self._spoken: Answer | None = None  # was being spoken when the line was lost
        self._heard = 0  # characters of it
        self._reading: asyncio.Task[None] | None = None
        self._missed: Missed | None = None  # in the process before

    async def leave(self) -> Left:
        """Nobody comes back to this process."""
        missed = await self.back()
        memory = self._floor.memory
        return Left(tuple(self._items()), missed, self._owed, memory.notes, tuple(memory.covered))

    def restore(self, left: Left) -> None:
        """What was left in the process before."""
        self.away, self._missed, self._owed = True, left.missed, left.owed
        self._floor.memory.notes, self._floor.memory.covered = left.notes, set(left.covered)

    def begin(self) -> None:
        """The line is lost."""
        if self.away:
            return
        self.away, self._owed, self._spoken = True, False, None
        for aside in list(self._floor.air.asides):
            self._floor.air.cut("client_cancelled", aside)
        phase, overlaps = self._floor.turns.phase, self._floor.turns.overlaps
        spoke = phase in (Phase.HEARING, Phase.PAUSED)
        if spoke:
            self._floor.handle(turns.Commit())
        self._owed = self._floor.answering.leave_behind()
        if spoke and not overlaps:
            self._drop_reply()
            return
        if phase is Phase.DOUBTING:
            self._floor.handle(turns.ClearInput())
        answer = self._floor.air.answer
        if answer is not None and answer.audible:
            self._spoken, self._heard = answer, len(answer.item.text or "")
            self._reading = self._spawn(self._read_out(answer), "read out")
        elif self._floor.turns.phase is Phase.ANSWERING:
            self._owed = True
            self._drop_reply()

    def _drop_reply(self) -> None:
        answer = self._floor.air.answer
        self._floor.answering.cut("client_cancelled")
        if answer is not None and not answer.reply.acted and not answer.calls:
            self._floor.answering.forget(answer.item.id)
        self._floor.handle(turns.ReplyEnded())

    async def _read_out(self, answer: Answer) -> None:
        """To nobody: all of its words become history."""
        while self.away and self._floor.air.answer is answer:
            self._floor.air.read(READ_AT_ONCE)
            await asyncio.sleep(READ_EVERY_S)

    async def back(self) -> Missed | None:
        """There is a line again. What cannot be read out in a moment is left away."""
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=READ_WITHIN_S)
        answer, self._spoken = self._spoken, None
        if answer is None:
            missed, self._missed = self._missed, None
            return missed
        if self._floor.air.answer is answer:
            self._floor.answering.cut("client_cancelled")
            self._floor.handle(turns.ReplyEnded())
            self._owed = self._owed or _question_in(answer.item.text or "") is None
        text = (answer.item.text or "")[self._heard :]
        return Missed(answer.item.id, text) if text.strip() else None

    def end(self) -> None:
        """Its client can hear us. Whoever speaks already needs no question."""
        self.away = False
        if self._floor.turns.phase is not Phase.LISTENING or not self._call().answers_by_itself:
            return
        said = [item for item in self._items() if item.text]
        if not said:  # nothing to take up
            return
        self._floor.handle(turns.ReplyAsked())
        last = next((item.text or "" for item in reversed(said) if item.role == "assistant"), None)
        if last is None or self._owed:
            self._floor.answering.begin(Request(), "back")
        else:
            question = _question_in(last) or _last(last)
            self._floor.answering.speak(f"{say('back', self._call().language)[0]} {question}")


def _question_in(text: str) -> str | None:
    """Its last sentence that asks."""
    asking = [one.strip() for one in SENTENCE.findall(text) if one.strip().endswith(ASKS)]
    return asking[-1][-LONGEST_QUESTION:] if asking else None


def _last(text: str) -> str:
    sentences = [one.strip() for one in SENTENCE.findall(text) if one.strip()]
    return (sentences[-1] if sentences else text)[-LONGEST_QUESTION:]
