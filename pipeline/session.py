"""The conductor: microphone in, voice out, events to the world.

`hear` decides synchronously (gate, then turns) and acts; models run in tasks of the call's own group.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline import events as ev
from pipeline import modes, turns
from pipeline.air import Air
from pipeline.answers import Answer, Answers, Preparation
from pipeline.audio import AudioChunk
from pipeline.dialogue import INTERRUPTED, Dialogue
from pipeline.errors import CallError
from pipeline.gate import Gate
from pipeline.habit import Encouragement, Idle, PauseHabit
from pipeline.hearing import Hearing
from pipeline.items import Item, Role, new_id
from pipeline.languages import fold, is_backchannel, starts_with_interrupt
from pipeline.listening import Utterance
from pipeline.patience import judge, patience_ms
from pipeline.providers import Message, Mind, Recognizer, Transcript, Voice
from pipeline.settings import CallSettings, PatienceSettings, Settings
from pipeline.silero import SileroModel, SileroStream
from pipeline.timeline import Timeline
from pipeline.turns import Phase, Turns

FULL_WITHIN_S = 2.5  # how long an answer waits for the recogniser's better pass
WORDLESS_MS = 700  # voice of that length without a word in it deserves "I didn't catch that"
CONFIDENT = 0.3  # a word over a reply of which the recogniser is less sure may be a cough
MURMUR_DB = -9.0  # an "mhm" is softer than an answer


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is given; shared by all calls."""

    ears: Recognizer
    mind: Mind
    voice: Voice
    silero: SileroModel


class Session:
    """One conversation. It outlives its peer: `attach` gives it a new listener, `hear`/`read` a new network.

    All methods are called on the event loop's thread; those without `async` never wait.
    """

    def __init__(
        self, parts: Parts, settings: Settings, call: CallSettings, *, session_id: str | None = None
    ) -> None:
        self.id = session_id or new_id("sess")
        self.call = call
        self._ears = parts.ears
        self._wants_full = parts.mind.wants_full and parts.ears.full_pass
        self._settings = settings
        self._turns = Turns(settings.turns)
        self._dialogue = Dialogue()
        gate = Gate(settings.gate, SileroStream(parts.silero))
        self._hearing = Hearing(
            gate, parts.ears, self._spawn, self._emit, self._transcribed, self._recogniser_over
        )
        seed = zlib.crc32(self.id.encode())
        self._answers = Answers(
            parts.mind, parts.voice, self._dialogue, settings, self._spawn, self._clock, seed
        )
        self._prepared = Preparation()
        self._air = Air(self._dialogue, self._emit, self._reply_audible, self._reply_over)
        self._timeline = Timeline()
        self._habit = PauseHabit()
        self._idle = Idle((), 0)
        self._encouragement = Encouragement()
        self._listener: Callable[[ev.Event], None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._awaited: Utterance | None = None  # spoken, its words still owed
        self._answered: Utterance | None = None  # what the reply answers; a withdrawal takes it up again
        self._timer: asyncio.TimerHandle | None = None
        self._floor: ev.FloorChanged | None = None
        self._greeted = False
        self.update({})

    @property
    def items(self) -> list[Item]:
        return self._dialogue.items

    # ------------------------------------------------------------ lifetime

    async def run(self) -> None:
        """Lives as long as the conversation; cancel it to end it. All its tasks end with it."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self._stop_timer()

    def attach(self, listener: Callable[[ev.Event], None] | None) -> None:
        """Events go to `listener` from now on (None: nowhere)."""
        self._listener = listener
        self._floor = None
        self._show_floor()

    def _emit(self, event: ev.Event) -> None:
        if self._listener is not None:
            self._listener(event)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        if self._group is None:
            work.close()
            return None
        return self._group.create_task(work, name=name)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    # --------------------------------------------------------------- sound

    def hear(self, chunk: AudioChunk) -> None:
        """20 ms of microphone, int16 mono 16 kHz, continuous. Silence must be fed when packets stop."""
        if self._group is None:
            return
        hearing, before = self._hearing, self._hearing.utterance
        self._handle(hearing.sense(chunk.samples))
        hearing.note_voice()
        if (
            hearing.utterance is not None and hearing.utterance is before
        ):  # a new one has this in its pre-roll
            hearing.feed(chunk.samples)
        if self._turns.phase is Phase.PAUSED:
            if self._prepared.is_due(hearing.silence_ms):
                self._prepare()
            self._encourage()
        self._mind_the_silence()

    def _mind_the_silence(self) -> None:
        """Nobody speaks: a nudge, at most two. Not in push-to-talk, where silence is the client's affair."""
        phase = self._turns.phase
        if phase in (Phase.HEARING, Phase.PAUSED):
            self._idle.person_spoke()
        elif phase is not Phase.LISTENING or self._turns.manual:
            self._idle.floor_taken()
        elif self.items and self._idle.due(self._hearing.now_ms):
            self._handle(turns.ReplyAsked())
            self._on_air(self._answers.words(self.call, "nudge"))

    def _encourage(self) -> None:
        """A listener's "mhm" in a long answer."""
        utterance, t = self._hearing.utterance, self._turns
        wanted = self.call.mode == "interview" if self.call.encourage is None else self.call.encourage
        if not wanted or utterance is None or t.patience_ms is None or t.why == "think":
            return
        now, silence = self._hearing.now_ms, self._hearing.silence_ms
        if self._encouragement.fits(now, now - utterance.started_ms, silence, t.patience_ms - silence):
            self._spawn(self._murmur(), "murmur")

    async def _murmur(self) -> None:
        aside = self._answers.text(self.call, "Mm-hm.")
        if aside.task is not None:
            await aside.task
        aside.reply.playout.duck(MURMUR_DB)
        if self._turns.phase in (Phase.PAUSED, Phase.HEARING):
            self._air.murmur(aside.reply.playout)

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice at VOICE_RATE, int16; None: silence (nothing to say)."""
        return self._air.read(count)

    # --------------------------------------------------------------- floor

    def _handle(self, event: turns.TurnEvent) -> None:
        for command in self._turns.handle(event):
            self._act(command)
        self._show_floor()

    def _act(self, command: turns.Command) -> None:
        match command:
            case turns.OpenUtterance(started_ms, over_reply):
                self._hearing.open(started_ms, self.call.language, over_reply=over_reply)
            case turns.Finalise():
                self._finalise()
            case turns.GoOn():
                self._prepared.drop()
                if self._hearing.utterance:
                    self._hearing.utterance.go_on(self._turns.last_pause_ms)
            case turns.EndUtterance(why, judged):
                self._end_utterance(why, judged)
            case turns.DropUtterance():
                self._prepared.drop()
                self._hearing.drop()
            case turns.BecomeTurn():
                self._hearing.become_turn(interrupted=False)
            case turns.Interrupt():
                self._interrupt()
            case turns.Withdraw():
                self._withdraw()
            case turns.Duck() if self._air.answer:
                self._air.answer.reply.playout.duck(self._settings.turns.duck_db)
            case turns.Hold() if self._air.answer:
                self._air.answer.reply.playout.hold()
            case turns.Resume() if self._air.answer:
                self._air.answer.reply.playout.resume()

    def _show_floor(self) -> None:
        t = self._turns
        pausing = t.phase is Phase.PAUSED and t.patience_ms is not None
        floor = ev.FloorChanged(
            t.phase.value,  # type: ignore[arg-type]
            patience_ms=t.patience_ms if pausing else None,
            why=t.why,
            audible=t.audible,
            ducked=t.ducked or t.held,
        )
        if floor != self._floor:
            self._floor = floor
            self._emit(replace(floor, spent_ms=t.spent_ms) if pausing else floor)

    # --------------------------------------------------------------- words

    def _finalise(self) -> None:
        utterance = self._hearing.utterance
        if utterance is None:
            return
        utterance.pause()
        self._timeline.begin(paused=self._clock())
        if self._turns.phase is Phase.PAUSED:
            self._judge(utterance)  # by the words so far; again when the transcript is final

    def _judge(self, utterance: Utterance) -> None:
        detection = self.call.turn_detection
        if detection.kind == "fixed":
            self._handle(turns.Judged(detection.silence_ms, "fixed"))
            return
        verdict = judge(utterance.join(utterance.text), self.call.language, self._ears.punctuates)
        settings: PatienceSettings = getattr(self._settings.turns, self.call.mode)
        patience = patience_ms(verdict, settings, self.call.patience, self._habit.patience_ms)
        self._handle(turns.Judged(patience, verdict.kind))
        if verdict.cue == "wait" and utterance.final is not None:
            self._handle(turns.Think())

    def _transcribed(self, utterance: Utterance, transcript: Transcript) -> None:
        """A recogniser's news."""
        if utterance is self._awaited:
            if self._known(utterance):
                self._give_answer(utterance)
        elif utterance is self._hearing.utterance and utterance.over_reply:
            self._weigh_words(transcript)
        elif utterance is self._hearing.utterance:
            self._emit(ev.Partial(utterance.item_id, utterance.shown(transcript)))
            if transcript.kind == "partial" or self._turns.phase is not Phase.PAUSED:
                return
            self._timeline.stamp("final", self._clock())
            if transcript.kind == "final":
                self._judge(utterance)
            if self._known(utterance):
                self._plan_preparation()

    def _recogniser_over(self, utterance: Utterance) -> None:
        """It failed, or has said all that it owes: nothing better will come."""
        if utterance is self._awaited:
            self._give_answer(utterance)

    def _weigh_words(self, transcript: Transcript) -> None:
        """Speech over a reply: does it want the floor?"""
        language = self.call.language
        sure = " ".join(word.text for word in transcript.words if word.confidence >= CONFIDENT)
        text = sure if transcript.words else transcript.text
        said = bool(fold(text, language))
        if transcript.kind == "partial":  # may change: only words that ask for the floor count
            interrupts = said and starts_with_interrupt(text, language)
        else:
            interrupts = said and not is_backchannel(text, language)
        self._handle(turns.WordsOverReply(interrupts, settled=transcript.kind != "partial"))

    def _known(self, utterance: Utterance) -> bool:
        """Its words are as good as they will get for an answer."""
        if utterance.failed is not None:
            return True
        if utterance.final is None:
            return False
        better = self._wants_full and self.call.mode == "interview" and bool(utterance.final.text)
        return utterance.full is not None or not better

    def _end_utterance(self, why: str, judged: str) -> None:
        silence_ms = self._turns.spent_ms
        utterance = self._hearing.end()
        utterance.ended_ms = self._hearing.now_ms - silence_ms
        self._habit.answered(utterance.longest_pause_ms)
        self._timeline.end_of_speech(self._clock(), silence_ms, why, judged)
        item = Item(utterance.item_id, "user", "completed", interrupted=utterance.interrupted)
        item.audio_ms = int(1000 * utterance.seconds)
        previous = self._dialogue.add(item)
        self._emit(ev.SpeechStopped(item.id, utterance.ended_ms))
        self._emit(ev.Committed(item.id, previous))
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        self._awaited = self._answered = utterance
        if self._known(utterance):
            self._give_answer(utterance)
        else:
            bound_s = self._settings.turns.no_words_after_ms / 1000
            if utterance.final is not None:  # only the better pass is missing
                bound_s = min(bound_s, FULL_WITHIN_S)
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(bound_s, self._give_answer, utterance)

    # -------------------------------------------------------------- answer

    def _plan_preparation(self) -> None:
        t = self._turns
        wanted = self._settings.turns.speculate and self.call.turn_detection.create_response
        if wanted and t.patience_ms is not None:
            self._prepared.plan(t.patience_ms, t.why, self._clock())
            if self._prepared.is_due(self._hearing.silence_ms):
                self._prepare()

    def _prepare(self) -> None:
        utterance = self._hearing.utterance
        if utterance is None:
            return
        text = utterance.words
        if not fold(text, self.call.language) or self._prepared.holds(text):
            return
        said = Message("user", (INTERRUPTED if utterance.interrupted else "") + text)
        self._prepared.put(self._answers.begin(self.call, said=text, ahead=said), self._clock())

    def _give_answer(self, utterance: Utterance) -> None:
        """The person's turn is over and its words are known (or never will be)."""
        if self._awaited is not utterance:
            return
        self._awaited = None
        self._stop_timer()
        text = utterance.words
        self._keep_words(utterance)
        self._timeline.stamp("final", self._clock())
        if not fold(text, self.call.language):
            self._prepared.drop()
            self._dialogue.remove(utterance.item_id)
            self._emit(ev.ItemDeleted(utterance.item_id))
            if utterance.voiced_ms < WORDLESS_MS and utterance.failed is None:
                self._no_answer()
            else:
                self._on_air(self._answers.words(self.call, "not_caught"))
        elif not self.call.turn_detection.create_response:
            self._prepared.drop()
            self._no_answer()
        else:
            answer = self._prepared.take(text)
            self._timeline.note(prepared=answer is not None)
            if answer is None:
                answer = self._answers.begin(self.call, said=text)
            answer.to = utterance.item_id
            self._on_air(answer)

    def _keep_words(self, utterance: Utterance) -> None:
        item = self._dialogue.find(utterance.item_id)
        item.text = utterance.words
        if utterance.failed is not None and not item.text:
            self._emit(ev.TranscriptionFailed(item.id, utterance.failed.message))
        else:
            self._emit(ev.Transcribed(item.id, item.text, utterance.seconds))

    def _no_answer(self) -> None:
        self._answered = None
        self._handle(turns.ReplyEnded())

    def _on_air(self, answer: Answer) -> None:
        self._timeline.stamp("released", self._clock())
        self._air.put(answer, held=self._turns.held)

    def _reply_audible(self) -> None:
        self._timeline.stamp("first_sample", self._clock())
        self._handle(turns.ReplyAudible())

    def _reply_over(self, answer: Answer) -> None:
        self._answered = None
        self._measured(answer)
        self._handle(turns.ReplyEnded())
        note = answer.reply.note
        if note and "ended" in note:
            self._emit(ev.Ended(str(note["ended"])))

    def _interrupt(self) -> None:
        self._stop_waiting()
        self._answered = None
        answer = self._air.answer
        self._hearing.become_turn(interrupted=answer is not None and answer.audible)
        self._cut("turn_detected")

    def _cut(self, reason: str) -> None:
        answer = self._air.cut(reason)
        if answer is not None:
            item = answer.item
            self._timeline.note(interrupted_after_words=len((item.text or "").split()))
            self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))
            self._measured(answer)

    def _withdraw(self) -> None:
        """It was not their end: no trace of the reply, and what they say continues the same turn."""
        before, self._answered = self._answered, None
        self._stop_waiting()
        answer = self._air.cut("turn_detected")
        if answer is not None:
            self._forget(answer.item.id)
        self._prepared.drop()
        self._timeline.note(withdrawn=True)
        if before is not None and self._hearing.utterance is not None:
            self._forget(before.item_id)
            self._hearing.stop(before)
            pause_ms = self._hearing.utterance.started_ms - before.ended_ms
            self._hearing.utterance.continues(before, pause_ms)
            self._hearing.become_turn(interrupted=before.interrupted)

    def _forget(self, item_id: str) -> None:
        self._dialogue.remove(item_id)
        self._emit(ev.ItemDeleted(item_id))

    def _stop_waiting(self) -> None:
        """For words that are still owed: what came of them is kept."""
        self._stop_timer()
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            self._keep_words(awaited)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measured(self, answer: Answer) -> None:
        if answer.to is not None:
            self._timeline.note(wasted_tokens=self._prepared.wasted_tokens)
            self._prepared.wasted_tokens = 0
            figures = self._timeline.figures(answer.reply.stamps)
            self._emit(ev.TurnMeasured(answer.to, answer.response_id, figures))

    # ------------------------------------------------------------- commands

    def greet(self) -> None:
        """The client is ready: the mind speaks first, if the call's settings say so. Only once."""
        if self._greeted or self._group is None:
            return
        self._greeted = True
        if self.call.greet and self._turns.phase is Phase.LISTENING:
            self.reply()

    def update(self, patch: dict[str, Any]) -> CallSettings:
        """Merges `patch` into the call's settings. Raises CallError naming the field."""
        try:
            self.call = self.call.merged(patch)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise CallError("invalid_value", f"{place}: {first['msg']}", place) from error
        self._idle = Idle(modes.load().modes[self.call.mode].nudges_ms, self._settings.turns.nudges)
        self._turns.manual = self.call.turn_detection.kind == "none"
        self._turns.interruptible = self.call.turn_detection.interrupt_response
        return self.call

    def say(
        self, text: str, item_id: str | None = None, previous_id: str | None = None, *, role: Role = "user"
    ) -> Item:
        """Adds a typed message to the history (no reply by itself). Raises CallError."""
        if not text.strip():
            raise CallError("empty_text", "a message needs some text", "item.content")
        item = Item(item_id or new_id("item"), role, "completed", text, spoken=False)
        previous = self._dialogue.add(item, previous_id)
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        return item

    def reply(self, metadata: dict[str, Any] | None = None, instructions: str | None = None) -> None:
        """Asks for a reply now. Raises CallError if one is being given."""
        if self._turns.phase in (Phase.ANSWERING, Phase.DOUBTING):
            raise CallError(
                "conversation_already_has_active_response",
                "a reply is being given: wait for response.done, or send response.cancel first",
            )
        speaking = self._turns.phase is not Phase.LISTENING
        self._handle(turns.ReplyAsked())
        if not speaking:  # else what was being said has become the turn to answer
            self._timeline.begin()
            answer = self._answers.begin(self.call, instructions=instructions)
            answer.metadata = metadata
            self._on_air(answer)

    def cancel(self, response_id: str | None = None) -> None:
        """Ends the reply being given. Raises CallError if there is none."""
        answer = self._air.answer
        if answer is None or (response_id and response_id != answer.response_id):
            raise CallError("response_cancel_not_active", "there is no such reply to cancel")
        self.clear_output()

    def clear_output(self) -> None:
        """Silences the reply and truncates its item to what was heard."""
        if self._air.answer is not None:
            self._answered = None
            self._cut("client_cancelled")
            self._handle(turns.ReplyEnded())

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was said."""
        if self._hearing.utterance is None:
            raise CallError("input_audio_buffer_commit_empty", "nothing has been said since the last turn")
        self._handle(turns.Commit())

    def clear_input(self) -> None:
        """Forgets what the person is saying."""
        if self._hearing.utterance is None:
            self._emit(ev.InputCleared())
        self._handle(turns.ClearInput())

    def think(self) -> None:
        """ "Let me think": stops patience for a while."""
        self._handle(turns.Think())

    def retrieve(self, item_id: str) -> Item:
        """Raises CallError."""
        return self._dialogue.find(item_id)

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Cuts a reply's item to what was heard by then. Raises CallError."""
        item = self._dialogue.find(item_id)
        if item.role != "assistant":
            raise CallError("invalid_value", "only a reply's item can be truncated", "item_id")
        if self._air.answer is not None and self._air.answer.item is item:
            self.clear_output()
            return
        self._dialogue.shorten(item, audio_end_ms)
        self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))

    def delete(self, item_id: str) -> None:
        """Raises CallError."""
        if self._air.answer is not None and self._air.answer.item.id == item_id:
            self.clear_output()
        self._forget(item_id)

    def repeat(self) -> None:
        """Says the last reply once more (nothing new in the history). Raises CallError."""
        last = next((i for i in reversed(self.items) if i.role == "assistant" and i.text), None)
        if last is None or last.text is None:
            raise CallError("nothing_to_repeat", "nothing has been said yet")
        self.clear_output()
        if self._turns.phase is not Phase.LISTENING:
            raise CallError("busy", "not while you speak")
        self._handle(turns.ReplyAsked())
        answer = self._answers.text(self.call, last.text.strip())
        answer.passing = True
        self._on_air(answer)
