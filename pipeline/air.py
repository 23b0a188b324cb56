"""What is on air: the replies that are read out, what they have told the world so far, their ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline import events as ev
from pipeline.answers import Answer
from pipeline.audio import VOICE_RATE
from pipeline.dialogue import Dialogue
from pipeline.items import Item, Status, new_id
from pipeline.playout import PhraseMark, Playout, ShapeMark, WordMark
from pipeline.reply import Calling


@dataclass(frozen=True, slots=True)
class Ahead:
    """Sound of a reply that will be heard when it is time."""

    response_id: str
    item_id: str
    output_index: int
    samples: np.ndarray  # int16 (n,) at VOICE_RATE


class Air:
    """Reads replies' playouts and keeps their items in step with what was heard.

    One reply has the floor. Others, which a client asked for beside the conversation, are heard one by one
    while it is free, and are held while it is not; in writing they come at once.

    Args:
        on_audible: the floor's reply has handed out its first sample.
        on_over: it has been heard to its end.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        emit: Callable[[ev.Event], None],
        on_audible: Callable[[], None],
        on_over: Callable[[Answer], None],
    ) -> None:
        self.answer: Answer | None = None  # the floor's
        self.asides: list[Answer] = []
        self._dialogue = dialogue
        self._emit = emit
        self._on_audible = on_audible
        self._on_over = on_over
        self._fading: Playout | None = None  # the last 20 ms of one that was cut or is held, or a murmur
        self._asked = 0  # samples handed out or asked for

    def put(self, answer: Answer, *, held: bool) -> None:
        """The floor is this reply's. `held`: someone speaks already; it waits until that proves nothing."""
        self.answer = answer
        if held:
            answer.reply.playout.hold()
        spoken = self._spoken_aside()
        if spoken is not None and spoken.audible:
            spoken.reply.playout.hold()
            self._fading = spoken.reply.playout
        self._begin(answer)

    def put_aside(self, answer: Answer) -> None:
        """A reply that nobody waits for the floor with."""
        self.asides.append(answer)
        self._begin(answer)

    def murmur(self, sound: Playout) -> None:
        """A sound beside the conversation ("mhm"): nobody's turn, no event. Only while nothing is on air."""
        if self.answer is None and self._fading is None and self._spoken_aside() is None:
            self._fading = sound

    def _spoken_aside(self) -> Answer | None:
        return next((aside for aside in self.asides if aside.item.spoken), None)

    # ------------------------------------------------------------- sound

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples at VOICE_RATE, int16; None: silence."""
        at, self._asked = self._asked, self._asked + count
        for aside in [aside for aside in self.asides if not aside.item.spoken]:
            self._read(aside, count, at)
        if self._fading is not None:
            samples, _, _ = self._fading.read(count)
            if samples is None or self._fading.drained:
                self._fading = None
            if samples is not None:
                return samples
        answer = self.answer or self._spoken_aside()
        if answer is None:
            return None
        if answer is not self.answer and answer.reply.playout.held:
            answer.reply.playout.resume()
        return self._read(answer, count, at)

    def ahead(self) -> Ahead | None:
        """What has been written of the reply that `read` reads, and was not handed out here before."""
        answer = self.answer or self._spoken_aside()
        if answer is None:
            return None
        self._tell_output(answer)
        samples = answer.reply.playout.ahead()
        if not len(samples):
            return None
        return Ahead(answer.response_id, answer.item.id, _index(answer, answer.item), samples)

    def _read(self, answer: Answer, count: int, at: int) -> np.ndarray | None:
        playout = answer.reply.playout
        self._tell_output(answer)
        start = playout.position
        samples, marks, shapes = playout.read(count)
        if samples is not None and not answer.audible:
            answer.audible = True
            self._emit(ev.AudioStarted(answer.response_id))
            if answer is self.answer:
                self._on_audible()
        for mark in marks:
            self._pass(answer, mark)
        if shapes:
            self._emit(ev.Shapes(at, tuple(_relative(shape, start) for shape in shapes)))
        self._tell_failures(answer)
        if playout.drained and (answer.task is None or answer.task.done()):
            self._complete(answer)
        return samples

    def _pass(self, answer: Answer, mark: WordMark | PhraseMark) -> None:
        ids = answer.response_id, answer.item.id
        if isinstance(mark, PhraseMark):
            self._emit(ev.PhraseStarted(*ids, mark.text))
        else:
            text = answer.item.text or ""
            answer.item.words.append((1000 * mark.at // VOICE_RATE, len(text)))
            answer.item.text = text + mark.text
            self._emit(ev.Heard(*ids, mark.text, mark.phrase_start))

    def _tell_failures(self, answer: Answer) -> None:
        for error in answer.reply.failures[answer.failures_told :]:
            answer.failures_told += 1
            self._emit(ev.Trouble(error.stage, error.code, error.message))

    # ------------------------------------------------------------- items

    def _begin(self, answer: Answer) -> None:
        answer.reply.released.set()
        self._emit(ev.ReplyCreated(answer.response_id, answer.call, answer.metadata, answer.in_conversation))
        self._tell_output(answer)

    def _tell_output(self, answer: Answer) -> None:
        """What the mind has begun to say since, and what it wants called."""
        if answer.reply.speaks and not answer.speaks:
            self._add(answer, answer.item)
        for number, calling in enumerate(answer.reply.calls):
            if number == len(answer.calls):
                answer.calls.append(self._called(calling))
                self._add(answer, answer.calls[number])
            item = answer.calls[number]
            if item.status != "in_progress":
                continue
            more = calling.arguments[len(item.text or "") :]
            if more:
                item.text = calling.arguments
                index = _index(answer, item)
                self._emit(ev.CallArguments(answer.response_id, index, item, more))
            if calling.whole:
                self._end(answer, item, "completed")

    def _called(self, calling: Calling) -> Item:
        taken = {item.call_id for item in self._dialogue.items}
        call_id = calling.id if calling.id and calling.id not in taken else new_id("call")
        return Item(
            new_id("item"),
            None,
            text="",
            spoken=False,
            kind="function_call",
            call_id=call_id,
            name=calling.name,
        )

    def _add(self, answer: Answer, item: Item) -> None:
        answer.items.append(item)
        previous = self._dialogue.add(item) if answer.in_conversation else None
        self._emit(ev.ReplyItemAdded(answer.response_id, _index(answer, item), item, previous))

    def _end(self, answer: Answer, item: Item, status: Status) -> None:
        item.status = status
        before = self._dialogue.before(item.id) if self._dialogue.get(item.id) else None
        self._emit(ev.ReplyItemDone(answer.response_id, _index(answer, item), item, before))

    # ------------------------------------------------------------- ends

    def cut(self, reason: str, answer: Answer | None = None) -> Answer | None:
        """Silence now, streams closed, the item cut to what was heard. Returns what was cut.

        Args:
            answer: one beside the conversation; None: the floor's.
        """
        if answer is None:
            answer, self.answer = self.answer, None
        else:
            self.asides.remove(answer)
        if answer is None:
            return None
        reply, playout, item = answer.reply, answer.reply.playout, answer.item
        heard, heard_ms = playout.heard_text(), playout.heard_ms
        playout.clear()
        if answer.audible:
            self._fading = None if playout.drained else playout
        answer.stop()
        if reply.acted and not answer.items:
            self._add(answer, item)  # what was done is not to be forgotten
        if answer.speaks and item.spoken:
            item.text, item.audio_ms = heard, heard_ms
        if answer.audible or not item.spoken:  # else the mind has said nothing yet, and has to note nothing
            self._remember(answer)
        elif answer.items:
            answer.items[0].steps = reply.steps
        self._done(answer, "incomplete", "cancelled", reason)
        if answer.audible:
            self._emit(ev.AudioCleared(answer.response_id))
        return answer

    def _complete(self, answer: Answer) -> None:
        reply, item = answer.reply, answer.item
        self._tell_output(answer)
        if not answer.items:
            self._add(answer, item)
        item.audio_ms = reply.playout.heard_ms
        self._remember(answer)
        if answer is self.answer:
            self.answer = None
        else:
            self.asides.remove(answer)
        failed = next((error for error in reply.failures if error.stage == "llm"), None)
        if failed is not None:
            self._done(answer, "completed", "failed", failed.message)
        elif reply.cut_short is not None:
            self._done(answer, "incomplete", "incomplete", reply.cut_short.reason)
        else:
            self._done(answer, "completed", "completed", None)
        if answer.audible:
            self._emit(ev.AudioStopped(answer.response_id))
        if answer.passing:
            self._dialogue.remove(item.id)
            self._emit(ev.ItemDeleted(item.id))
        if answer.in_conversation:
            self._on_over(answer)

    def _remember(self, answer: Answer) -> None:
        """What the mind will want to know again."""
        if answer.items:
            answer.items[0].note = answer.reply.note or self._dialogue.last_note()
            answer.items[0].steps = answer.reply.steps

    def _done(self, answer: Answer, said: Status, status: ev.ReplyStatus, reason: str | None) -> None:
        """`said`: what becomes of the words. A call that is not whole is never carried out."""
        for item in answer.items:
            if item.status == "in_progress":
                self._end(answer, item, said if item is answer.item else "incomplete")
        items, usage = tuple(answer.items), answer.reply.usage
        self._emit(ev.ReplyDone(answer.response_id, status, reason, items, usage))


def _index(answer: Answer, item: Item) -> int:
    return next(index for index, one in enumerate(answer.items) if one is item)


def _relative(mark: ShapeMark, start: int) -> tuple[int, str, float]:
    return round(1000 * (mark.at - start) / VOICE_RATE), mark.shape, mark.weight
