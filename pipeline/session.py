"""The conductor: microphone in, voice out, events to the world.

`hear` decides synchronously (gate, then turns) and acts; models run in tasks of the call's own group.
"""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from pipeline import events as ev
from pipeline import modes, turns
from pipeline.answering import Answering
from pipeline.answers import Answers
from pipeline.audio import AudioChunk
from pipeline.dialogue import Dialogue
from pipeline.echo_guard import EchoGuard
from pipeline.errors import CallError
from pipeline.gate import Gate
from pipeline.habit import Encouragement, Idle, PauseHabit
from pipeline.hearing import Hearing
from pipeline.items import Item, Role, new_id
from pipeline.languages import fold, is_backchannel, is_fragment, starts_with_interrupt
from pipeline.listening import Utterance
from pipeline.patience import judge, patience_ms
from pipeline.providers import Mind, Recognizer, Transcript, Voice
from pipeline.settings import CallSettings, PatienceSettings, Settings
from pipeline.silero import SileroModel, SileroStream
from pipeline.turns import Phase, Turns

log = logging.getLogger(__name__)

END_WITHIN_S = 5.0  # a call's tasks, once it is over
CONFIDENT = 0.3  # a word over a reply of which the recogniser is less sure may be a cough
OWN_WORDS = 200  # characters of a reply that may come back as somebody's words
MURMUR = "Mm-hm."
SHOWN_BY_MS = 160  # of silence; then a pause is shown by what is known
SLOWER, SLOWEST = 0.85, 0.6  # times the voice's pace, when asked to speak more slowly


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
        self._settings = settings
        self._turns = Turns(settings.turns)
        self._dialogue = Dialogue()
        gate = Gate(settings.gate, SileroStream(parts.silero))
        guard = EchoGuard() if settings.turns.echo_guard else None
        self._hearing = Hearing(
            gate, guard, parts.ears, self._spawn, self._emit, self._transcribed, self._recogniser_over
        )
        seed = zlib.crc32(self.id.encode())
        self._answering = Answering(
            Answers(parts.mind, parts.voice, self._dialogue, settings, self._spawn, self._clock, seed),
            self._dialogue,
            settings,
            wants_full=parts.mind.wants_full and parts.ears.full_pass,
            call=lambda: self.call,
            held=lambda: self._turns.held,
            handle=self._handle,
            emit=self._emit,
            stop_words=self._hearing.stop,
            clock=self._clock,
        )
        self._air = self._answering.air
        self._habit = PauseHabit()
        self._idle = self._new_idle()
        self._encouragement = Encouragement()
        self._listener: Callable[[ev.Event], None] | None = None
        self._tasks: set[asyncio.Task[None]] | None = None  # None: does not run
        self._floor: ev.FloorChanged | None = None
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
            self._answering.stop_timers()
            for task in tasks:
                task.cancel()
            if tasks:
                _, left = await asyncio.wait(tasks, timeout=END_WITHIN_S)
                for task in left:
                    log.error("%s of %s does not end: a plug-in ignores that it was closed", task, self.id)

    def attach(self, listener: Callable[[ev.Event], None] | None) -> None:
        """Events go to `listener` from now on (None: nowhere)."""
        self._listener = listener
        self._floor = None
        self._show_floor()

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

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    # --------------------------------------------------------------- sound

    def hear(self, chunk: AudioChunk) -> None:
        """20 ms of microphone, int16 mono 16 kHz, continuous. Silence must be fed when packets stop."""
        if self._tasks is None:
            return
        hearing, before = self._hearing, self._hearing.utterance
        self._handle(hearing.sense(chunk.samples))
        hearing.note_voice()
        if hearing.utterance is before:  # a new one has this in its pre-roll
            hearing.feed()
        if self._turns.phase is Phase.PAUSED:
            if hearing.utterance is not None:
                self._answering.prepare_if_due(hearing.utterance, hearing.silence_ms)
            self._encourage()
        self._mind_the_silence()

    def _mind_the_silence(self) -> None:
        """Nobody speaks: a nudge, at most two. Not where a client decides when to answer."""
        phase = self._turns.phase
        if phase in (Phase.HEARING, Phase.PAUSED):
            self._idle.person_spoke()
        elif phase is not Phase.LISTENING or self._turns.thinking or not self.call.answers_by_itself:
            self._idle.floor_taken()
        elif self.items and self._idle.due(self._hearing.now_ms):
            self._handle(turns.ReplyAsked())
            self._answering.say("nudge")

    def _encourage(self) -> None:
        """A listener's "mhm" in a long answer."""
        utterance, t = self._hearing.utterance, self._turns
        wanted = self.call.mode == "interview" if self.call.encourage is None else self.call.encourage
        if not wanted or utterance is None or t.patience_ms is None or t.why == "think":
            return
        now, silence = self._hearing.now_ms, self._hearing.silence_ms
        if self._encouragement.fits(now, now - utterance.started_ms, silence, t.patience_ms - silence):
            self._spawn(self._answering.murmur(MURMUR, self._person_speaks), "murmur")

    def _person_speaks(self) -> bool:
        return self._turns.phase in (Phase.PAUSED, Phase.HEARING)

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice at VOICE_RATE, int16; None: silence (nothing to say)."""
        samples = self._air.read(count)
        self._hearing.played(samples, count)
        return samples

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
                self._answering.unprepare()
                if self._hearing.utterance:
                    self._hearing.utterance.go_on(self._turns.last_pause_ms)
            case turns.EndUtterance(why, judged):
                self._end_utterance(why, judged)
            case turns.DropUtterance():
                self._answering.unprepare()
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
        utterance = self._hearing.utterance
        if pausing and utterance is not None and not utterance.settled and t.spent_ms < SHOWN_BY_MS:
            return  # most recognisers say within that time what will change the judgement
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
        if utterance.over_reply:  # the figures are still those of the reply's turn
            return
        self._answering.timeline.begin(paused=self._clock())
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
        if utterance.final is None or verdict.cue is None or verdict.cue == utterance.cue:
            return
        utterance.cue = verdict.cue
        if verdict.cue == "wait":
            self._handle(turns.Think())
        elif verdict.cue == "slower":
            self.update({"speed": max(SLOWEST, self.call.speed * SLOWER)})

    def _transcribed(self, utterance: Utterance, transcript: Transcript) -> None:
        """A recogniser's news."""
        current = self._hearing.utterance
        if self._answering.words_came(utterance) or current is None or not current.includes(utterance):
            return
        if current.over_reply:
            self._weigh_words(transcript)
            return
        if utterance is current:
            self._emit(ev.Partial(utterance.item_id, utterance.shown(transcript)))
        if transcript.kind == "partial" or self._turns.phase is not Phase.PAUSED:
            return
        self._answering.timeline.stamp("final", self._clock())
        if transcript.kind == "final":
            self._judge(current)
        if self._answering.known(current):
            t = self._turns
            self._answering.plan(t.patience_ms, t.why, current, self._hearing.silence_ms)

    def _recogniser_over(self, utterance: Utterance) -> None:
        self._answering.words_came(utterance)

    def _weigh_words(self, transcript: Transcript) -> None:
        """Speech over a reply: does it want the floor?"""
        language = self.call.language
        sure = " ".join(word.text for word in transcript.words if word.confidence >= CONFIDENT)
        text = sure if transcript.words else transcript.text
        words = fold(text, language)
        said = bool(words) and not self._hearing.is_own_voice(words, self._just_said())
        # A first look may hear words in a laugh: where a better one follows, only words that ask for the
        # floor count before it.
        settled = transcript.kind == "full" or (transcript.kind == "final" and not self._ears.full_pass)
        if settled:
            interrupts = said and not is_backchannel(text, language) and not is_fragment(words, language)
        else:
            interrupts = said and starts_with_interrupt(text, language)
        pending = transcript.kind == "final" and not settled
        self._handle(turns.WordsOverReply(interrupts, settled, pending))

    def _just_said(self) -> str:
        """The reply's last words, folded."""
        answer = self._air.answer
        return fold((answer.item.text or "")[-OWN_WORDS:], self.call.language) if answer else ""

    def _end_utterance(self, why: str, judged: str) -> None:
        silence_ms = self._turns.spent_ms
        utterance = self._hearing.end()
        utterance.ended_ms = self._hearing.now_ms - silence_ms
        self._habit.answered(utterance.longest_pause_ms)
        self._answering.turn_ended(utterance, why, judged, silence_ms)

    def _interrupt(self) -> None:
        answer = self._air.answer
        self._hearing.become_turn(interrupted=answer is not None and answer.audible)
        if self._hearing.utterance is not None:
            self._hearing.utterance.go_on(0)  # what was asked in mid-speech is not all of it
        self._answering.cut("turn_detected")

    def _withdraw(self) -> None:
        before = self._answering.withdraw()
        if before is not None and self._hearing.utterance is not None:
            pause_ms = self._hearing.utterance.started_ms - before.ended_ms
            self._hearing.utterance.continues(before, pause_ms)
        self._hearing.become_turn(interrupted=before is not None and before.interrupted)

    # ------------------------------------------------------------- commands

    def greet(self) -> None:
        """The client is ready: the mind speaks first, if the call's settings say so. Only once."""
        if self._greeted or self._tasks is None:
            return
        self._greeted = True
        if self.call.greet and self._turns.phase is Phase.LISTENING:
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
        if self.call != old:
            self._answering.unprepare()
        if self.call.mode != old.mode:
            self._idle = self._new_idle()
        self._turns.manual = self.call.turn_detection.kind == "none"
        self._turns.interruptible = self.call.turn_detection.interrupt_response
        return self.call

    def _new_idle(self) -> Idle:
        return Idle(modes.load().modes[self.call.mode].nudges_ms, self._settings.turns.nudges)

    def say(
        self, text: str, item_id: str | None = None, previous_id: str | None = None, *, role: Role = "user"
    ) -> Item:
        """Adds a typed message to the history (no reply by itself). Raises CallError."""
        if not text.strip():
            raise CallError("empty_text", "a message needs some text", "item.content")
        utterance = self._hearing.utterance
        if utterance is not None and item_id == utterance.item_id:
            raise CallError("item_id_taken", f"there is an item {item_id!r} already", "item.id")
        item = Item(item_id or new_id("item"), role, "completed", text, spoken=False)
        previous = self._dialogue.add(item, previous_id)
        self._answering.unprepare()
        self._emit(ev.ItemAdded(item, previous))
        self._emit(ev.ItemDone(item, previous))
        return item

    def reply(self, metadata: dict[str, Any] | None = None, instructions: str | None = None) -> None:
        """Asks for a reply now, or as soon as the words are known to which it is one.

        Raises CallError if one is being given."""
        if self._air.answer is not None:
            raise CallError(
                "conversation_already_has_active_response",
                "a reply is being given: wait for response.done, or send response.cancel first",
            )
        if self._turns.phase is Phase.LISTENING:
            self._handle(turns.ReplyAsked())
            self._answering.begin(metadata, instructions)
        else:  # what is being said becomes the turn to answer, if it is not that already
            self._answering.ask(metadata, instructions)
            self._handle(turns.ReplyAsked())

    def cancel(self, response_id: str | None = None) -> None:
        """Ends the reply being given. Raises CallError if there is none."""
        answer = self._air.answer
        if answer is None or (response_id and response_id != answer.response_id):
            raise CallError("response_cancel_not_active", "there is no such reply to cancel")
        self.clear_output()

    def clear_output(self) -> None:
        """Silences the reply and truncates its item to what was heard."""
        if self._air.answer is not None:
            self._answering.cut("client_cancelled")
            self._handle(turns.ReplyEnded())

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was said."""
        if self._hearing.utterance is None:
            raise CallError("input_audio_buffer_commit_empty", "nothing has been said since the last turn")
        self._handle(turns.Commit())

    def clear_input(self) -> None:
        """Forgets what the person is saying."""
        utterance = self._hearing.utterance
        if utterance is None or utterance.over_reply:  # nothing that the world was told of
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
        self._answering.unprepare()
        self._emit(ev.ItemTruncated(item.id, item.audio_ms, item.text or ""))

    def delete(self, item_id: str) -> None:
        """Raises CallError."""
        self._dialogue.find(item_id)
        if self._air.answer is not None and self._air.answer.item.id == item_id:
            self.clear_output()
        self._answering.forget(item_id)
        self._answering.unprepare()

    def repeat(self) -> None:
        """Says the last reply once more (nothing new in the history). Raises CallError."""
        last = next((i for i in reversed(self.items) if i.role == "assistant" and i.text), None)
        if last is None or last.text is None:
            raise CallError("nothing_to_repeat", "nothing has been said yet")
        self.clear_output()
        if self._turns.phase is not Phase.LISTENING:
            raise CallError("busy", "not while you speak")
        self._handle(turns.ReplyAsked())
        self._answering.repeat(last.text.strip())
