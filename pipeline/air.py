"""What is on air: the one reply that is read out, its marks told as they pass, its end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline import events as ev
from pipeline.answers import Answer
from pipeline.audio import VOICE_RATE
from pipeline.dialogue import Dialogue
from pipeline.playout import PhraseMark, Playout, ShapeMark, WordMark


class Air:
    """Reads a reply's playout and keeps its item in step with what was heard.

    Args:
        on_audible: the reply's first sample has been handed out.
        on_over: it has been heard to its end.
    """

    def __init__(
        self,
        dialogue: Dialogue,
        emit: Callable[[ev.Event], None],
        on_audible: Callable[[], None],
        on_over: Callable[[Answer], None],
    ) -> None:
        self.answer: Answer | None = None
        self._dialogue = dialogue
        self._emit = emit
        self._on_audible = on_audible
        self._on_over = on_over
        self._fading: Playout | None = None  # the last 20 ms of one that was cut, or an aside
        self._asked = 0  # samples handed out or asked for

    def put(self, answer: Answer, *, held: bool) -> None:
        """The floor is this reply's. `held`: someone speaks already; it waits until that proves nothing."""
        self.answer = answer
        if held:
            answer.reply.playout.hold()
        self._emit(ev.ReplyCreated(answer.response_id, answer.metadata))
        previous = self._dialogue.add(answer.item)
        self._emit(ev.ReplyItemAdded(answer.response_id, answer.item, previous))

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples at VOICE_RATE, int16; None: silence."""
        at, self._asked = self._asked, self._asked + count
        if self._fading is not None:
            samples, _, _ = self._fading.read(count)
            if self._fading.drained:
                self._fading = None
            if samples is not None:
                return samples
        answer = self.answer
        if answer is None:
            return None
        start = answer.reply.playout.position
        samples, marks, shapes = answer.reply.playout.read(count)
        if samples is not None and not answer.audible:
            answer.audible = True
            self._emit(ev.AudioStarted(answer.response_id))
            self._on_audible()
        for mark in marks:
            self._pass(answer, mark)
        if shapes:
            self._emit(ev.Shapes(at, tuple(_relative(shape, start) for shape in shapes)))
        self._tell_failures(answer)
        if answer.reply.playout.drained and (answer.task is None or answer.task.done()):
            self._complete(answer)
        return samples

    def murmur(self, aside: Playout) -> None:
        """A sound beside the conversation ("mhm"): nobody's turn, no event. Only while nothing is on air."""
        if self.answer is None and self._fading is None:
            self._fading = aside

    def cut(self, reason: str) -> Answer | None:
        """Silence now, streams closed, the item cut to what was heard. Returns what was on air."""
        answer, self.answer = self.answer, None
        if answer is None:
            return None
        playout = answer.reply.playout
        heard, heard_ms = playout.heard_text(), playout.heard_ms
        playout.clear()
        self._fading = None if playout.drained else playout
        answer.stop()
        item = answer.item
        item.status, item.text, item.audio_ms = "incomplete", heard, heard_ms
        if answer.audible:  # else the mind has said nothing yet, and has to note nothing
            item.note = answer.reply.note or self._dialogue.last_note()
        self._done(answer, "cancelled", reason)
        if answer.audible:
            self._emit(ev.AudioCleared(answer.response_id))
        return answer

    def _pass(self, answer: Answer, mark: WordMark | PhraseMark) -> None:
        ids = answer.response_id, answer.item.id
        if isinstance(mark, PhraseMark):
            self._emit(ev.PhraseStarted(*ids, mark.text))
        else:
            answer.item.text = (answer.item.text or "") + mark.text
            self._emit(ev.Heard(*ids, mark.text, mark.phrase_start))

    def _tell_failures(self, answer: Answer) -> None:
        for error in answer.reply.failures[answer.failures_told :]:
            answer.failures_told += 1
            self._emit(ev.Trouble(error.stage, error.code, error.message))

    def _complete(self, answer: Answer) -> None:
        reply, item = answer.reply, answer.item
        self.answer = None
        item.status, item.audio_ms = "completed", reply.playout.heard_ms
        item.note = reply.note or self._dialogue.last_note()
        failed = next((error for error in reply.failures if error.stage == "llm"), None)
        if failed is None:
            self._done(answer, "completed", None)
        else:
            self._done(answer, "failed", failed.message)
        if answer.audible:
            self._emit(ev.AudioStopped(answer.response_id))
        if answer.passing:
            self._dialogue.remove(item.id)
            self._emit(ev.ItemDeleted(item.id))
        self._on_over(answer)

    def _done(self, answer: Answer, status: ev.ReplyStatus, reason: str | None) -> None:
        before = self._dialogue.before(answer.item.id)
        usage, metadata = answer.reply.usage, answer.metadata
        self._emit(ev.ReplyDone(answer.response_id, status, reason, answer.item, before, usage, metadata))


def _relative(mark: ShapeMark, start: int) -> tuple[int, str, float]:
    return round(1000 * (mark.at - start) / VOICE_RATE), mark.shape, mark.weight
