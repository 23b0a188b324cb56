"""From the end of a person's turn to the end of the reply: words awaited, a reply prepared, released, cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipeline import events as ev
from pipeline import turns
from pipeline.air import Air
from pipeline.answers import Answer, Answers, Preparation
from pipeline.dialogue import INTERRUPTED, Dialogue
from pipeline.items import Item
from pipeline.languages import fold
from pipeline.listening import Utterance
from pipeline.providers import Message
from pipeline.settings import CallSettings, Settings
from pipeline.timeline import Timeline

FULL_WITHIN_S = 2.5  # how long an answer waits for the recogniser's better pass
WORDLESS_MS = 700  # voice of that length without a word in it deserves "I didn't catch that"
MURMUR_DB = -9.0  # an "mhm" is softer than an answer


class Answering:
    """One call's. Tells the floor what becomes of a reply through `handle`.

    Args:
        wants_full: the mind wants the recogniser's full pass, and there is one.
        call: the call's settings as they are now.
        held: someone speaks already; a reply waits until that proves nothing.
        clock: seconds.
    """

    def __init__(
        self,
        answers: Answers,
        dialogue: Dialogue,
        settings: Settings,
        *,
        wants_full: bool,
        call: Callable[[], CallSettings],
        held: Callable[[], bool],
        handle: Callable[[turns.TurnEvent], None],
        emit: Callable[[ev.Event], None],
        clock: Callable[[], float],
    ) -> None:
        self.air = Air(dialogue, emit, self._audible, self._over)
        self.timeline = Timeline()
        self._answers = answers
        self._dialogue = dialogue
        self._settings = settings
        self._wants_full = wants_full
        self._call = call
        self._held = held
        self._handle = handle
        self._emit = emit
        self._clock = clock
        self._prepared = Preparation()
        self._awaited: Utterance | None = None  # spoken, its words still owed
        self._answered: Utterance | None = None  # what the reply answers; a withdrawal takes it up again
        self._timer: asyncio.TimerHandle | None = None

    # --------------------------------------------------------- the words

    def turn_ended(self, utterance: Utterance, why: str, judged: str, silence_ms: int) -> None:
        """The person's turn is over; it is answered as soon as its words are known, or after a bound."""
        self.timeline.end_of_speech(self._clock(), silence_ms, why, judged)
        item = Item(utterance.item_id, "user", "completed", interrupted=utterance.interrupted)
        item.audio_ms = int(1000 * utterance.seconds)
        previous = self._dialogue.add(item)
        self._emit(ev.SpeechStopped(item.id, utterance.ended_ms))
        self._emit(ev.Committed(item.id, previous))
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        self._awaited = self._answered = utterance
        if self.known(utterance):
            self._answer(utterance)
        else:
            bound_s = self._settings.turns.no_words_after_ms / 1000
            if utterance.final is not None:  # only the better pass is missing
                bound_s = min(bound_s, FULL_WITHIN_S)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(bound_s, self._answer, utterance)

    def words_came(self, utterance: Utterance) -> bool:
        """News of words; False: nobody waits for them here."""
        awaited = self._awaited
        if awaited is None or not awaited.includes(utterance):
            return False
        if self.known(awaited):
            self._answer(awaited)
        return True

    def known(self, utterance: Utterance) -> bool:
        """Its words are as good as they will get for an answer."""
        if utterance.before is not None and not self.known(utterance.before):
            return False
        if utterance.over:
            return True
        if utterance.final is None:
            return False
        better = self._wants_full and self._call().mode == "interview" and bool(utterance.final.text)
        return utterance.full is not None or not better

    def _answer(self, utterance: Utterance) -> None:
        if self._awaited is not utterance:
            return
        self._awaited = None
        self.stop_timer()
        call, text = self._call(), utterance.words
        self._keep_words(utterance)
        self.timeline.stamp("final", self._clock())
        if not fold(text, call.language):
            self._prepared.drop()
            self._forget(utterance.item_id)
            if utterance.voiced_ms < WORDLESS_MS and utterance.failed is None:
                self._nothing_to_say()
            else:
                self.say("not_caught")
        elif not call.turn_detection.create_response:
            self._prepared.drop()
            self._nothing_to_say()
        else:
            answer = self._prepared.take(text)
            self.timeline.note(prepared=answer is not None)
            if answer is None:
                answer = self._answers.begin(call, said=text)
            answer.to = utterance.item_id
            self._on_air(answer)

    def _keep_words(self, utterance: Utterance) -> None:
        text = utterance.words
        item = self._dialogue.get(utterance.item_id)
        if item is None:  # the client has deleted it meanwhile
            return
        item.text = text
        if utterance.failed is not None and not text:
            self._emit(ev.TranscriptionFailed(item.id, utterance.failed.message))
        else:
            self._emit(ev.Transcribed(item.id, text, utterance.seconds))

    def _nothing_to_say(self) -> None:
        self._answered = None
        self._handle(turns.ReplyEnded())

    # --------------------------------------------------------- preparing

    def plan(self, patience_ms: int | None, why: str, utterance: Utterance, silence_ms: int) -> None:
        """A pause has words: prepare the reply now, or shortly before its patience ends."""
        wanted = self._settings.turns.speculate and self._call().turn_detection.create_response
        if wanted and patience_ms is not None:
            self._prepared.plan(patience_ms, why, self._clock())
            self.prepare_if_due(utterance, silence_ms)

    def prepare_if_due(self, utterance: Utterance, silence_ms: int) -> None:
        if not self._prepared.is_due(silence_ms):
            return
        text = utterance.words
        if fold(text, self._call().language) and not self._prepared.holds(text):
            said = Message("user", (INTERRUPTED if utterance.interrupted else "") + text)
            self._prepared.put(self._answers.begin(self._call(), said=text, ahead=said), self._clock())

    def unprepare(self) -> None:
        """Speech goes on: what was prepared is void, down to its streams."""
        self._prepared.drop()

    # ------------------------------------------------------------ on air

    def begin(self, metadata: dict[str, Any] | None = None, instructions: str | None = None) -> None:
        """A reply that no turn of the person's leads to."""
        self.timeline.begin()
        answer = self._answers.begin(self._call(), instructions=instructions)
        answer.metadata = metadata
        self._on_air(answer)

    def say(self, key: str) -> None:
        """Fixed words from the language's table."""
        self._on_air(self._answers.words(self._call(), key))

    def repeat(self, text: str) -> None:
        """Says it once more; nothing new in the history."""
        answer = self._answers.text(self._call(), text)
        answer.passing = True
        self._on_air(answer)

    async def murmur(self, text: str, still_fits: Callable[[], bool]) -> None:
        """A listener's sound beside the conversation."""
        aside = self._answers.text(self._call(), text)
        if aside.task is not None:
            await aside.task
        aside.reply.playout.duck(MURMUR_DB)
        if still_fits():
            self.air.murmur(aside.reply.playout)

    def _on_air(self, answer: Answer) -> None:
        self.timeline.stamp("released", self._clock())
        self.air.put(answer, held=self._held())

    def _audible(self) -> None:
        self.timeline.stamp("first_sample", self._clock())
        self._handle(turns.ReplyAudible())

    def _over(self, answer: Answer) -> None:
        self._answered = None
        self._measured(answer)
        self._handle(turns.ReplyEnded())
        note = answer.reply.note
        if note and "ended" in note:
            self._emit(ev.Ended(str(note["ended"])))

    # -------------------------------------------------------------- ends

    def cut(self, reason: str) -> None:
        """The reply on air is over: silence, streams closed, its item cut to what was heard."""
        self._stop_waiting()
        self._answered = None
        answer = self.air.cut(reason)
        if answer is not None:
            item = answer.item
            self.timeline.note(interrupted_after_words=len((item.text or "").split()))
            self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))
            self._measured(answer)

    def withdraw(self) -> Utterance | None:
        """It was not the person's end: no trace of the reply. Returns the turn that goes on."""
        self._stop_waiting()
        before, self._answered = self._answered, None
        answer = self.air.cut("turn_detected")
        if answer is not None:
            self._forget(answer.item.id)
        self._prepared.drop()
        self.timeline.note(withdrawn=True)
        if before is not None:
            self._forget(before.item_id)
        return before

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget(self, item_id: str) -> None:
        if self._dialogue.get(item_id) is not None:
            self._dialogue.remove(item_id)
            self._emit(ev.ItemDeleted(item_id))

    def _stop_waiting(self) -> None:
        """For words that are still owed: what came of them is kept."""
        self.stop_timer()
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            self._keep_words(awaited)

    def _measured(self, answer: Answer) -> None:
        if answer.to is not None:
            self.timeline.note(wasted_tokens=self._prepared.wasted_tokens)
            self._prepared.wasted_tokens = 0
            figures = self.timeline.figures(answer.reply.stamps)
            item = self._dialogue.get(answer.to)
            if item is not None:
                item.figures = figures
            self._emit(ev.TurnMeasured(answer.to, answer.response_id, figures))
