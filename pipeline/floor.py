"""What a call hears and says: microphone in, voice out, and the floor between them.

`hear` decides synchronously (gate, then turns) and acts; models run in tasks of the call's own group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import commands, modes, turns
from pipeline import events as ev
from pipeline.answering import Answering
from pipeline.answers import Answers, Spawn
from pipeline.audio import AudioChunk
from pipeline.coach.hints import hints
from pipeline.dialogue import Dialogue
from pipeline.echo_guard import EchoGuard
from pipeline.errors import CallError
from pipeline.gate import Gate
from pipeline.habit import Encouragement, Idle, PauseHabit
from pipeline.hearing import Hearing
from pipeline.items import new_id
from pipeline.languages import asks_for_nothing, fold, starts_with_interrupt
from pipeline.listening import Utterance
from pipeline.memory import Memory
from pipeline.patience import judge, patience_ms
from pipeline.providers import Mind, Recognizer, Transcript, Voice
from pipeline.settings import CallSettings, PatienceSettings, Settings
from pipeline.silero import SileroModel, SileroStream
from pipeline.toolbox import NONE, Toolbox
from pipeline.turns import Phase, Turns

CONFIDENT = 0.3  # a word over a reply of which the recogniser is less sure may be a cough
OWN_WORDS = 200  # characters of a reply that may come back as somebody's words
MURMUR = "Mm-hm."
COMMITTED_MS = 100  # of sound, at least
TOO_SMALL = (  # in OpenAI's words, which clients look for
    "Error committing input audio buffer: buffer too small. "
    f"Expected at least {COMMITTED_MS}ms of audio, but buffer only has {{:.2f}}ms of audio."
)
SHOWN_BY_MS = 160  # of silence; then a pause is shown by what is known
SLOWER, SLOWEST = 0.85, 0.6  # times the voice's pace, when asked to speak more slowly


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session is given; shared by all calls."""

    ears: Recognizer
    mind: Mind
    voice: Voice
    silero: SileroModel
    toolbox: Toolbox = NONE


class Floor:
    """One call's. Carries out what `turns` commands, and tells it what the words and the replies become.

    Args:
        call: the call's settings as they are now.
        update: changes them.
        spawn: starts a task in the call's group.
        seed: of the conversation, for minds that vary their words by themselves.
    """

    def __init__(
        self,
        parts: Parts,
        settings: Settings,
        dialogue: Dialogue,
        *,
        call: Callable[[], CallSettings],
        update: Callable[[dict[str, Any]], object],
        spawn: Spawn,
        emit: Callable[[ev.Event], None],
        seed: int,
    ) -> None:
        self.turns = Turns(settings.turns)
        self._ears = parts.ears
        self._settings = settings
        self._dialogue = dialogue
        self._call = call
        self._update = update
        self._spawn = spawn
        self._emit = emit
        gate = Gate(settings.gate, SileroStream(parts.silero))
        guard = EchoGuard() if settings.turns.echo_guard else None
        self.hearing = Hearing(gate, guard, parts.ears, spawn, emit, self._transcribed, self._recogniser_over)
        self.memory = Memory(parts.mind, dialogue, settings.llm, spawn, seed)
        self.answering = Answering(
            Answers(parts.mind, parts.voice, self.memory, settings, spawn, self._clock, parts.toolbox, seed),
            dialogue,
            settings,
            wants_full=parts.mind.wants_full and parts.ears.full_pass,
            call=call,
            held=lambda: self.turns.held,
            handle=self.handle,
            emit=emit,
            stop_words=self.hearing.stop,
            clock=self._clock,
        )
        self.air = self.answering.air
        self._habit = PauseHabit()
        self._idle = self._new_idle()
        self._encouragement = Encouragement()
        self._shown: tuple[Phase, int | None, str, bool, bool] | None = None

    def settings_changed(self, old: CallSettings) -> None:
        """The call's settings are no longer `old`."""
        call = self._call()
        if call != old:
            self.answering.unprepare()
            self.answering.expect()
        if (call.mode, call.turn_detection.idle_ms) != (old.mode, old.turn_detection.idle_ms):
            self._idle = self._new_idle()
        self.turns.manual = call.turn_detection.kind == "none"
        self.hearing.keep(self._settings.turns.longest_utterance_s if self.turns.manual else None)
        self.turns.interruptible = call.turn_detection.interrupt_response

    def _new_idle(self) -> Idle:
        most, idle_ms = self._settings.turns.nudges, self._call().turn_detection.idle_ms
        nudges_ms = modes.load().modes[self._call().mode].nudges_ms
        return Idle(nudges_ms if idle_ms is None else [idle_ms] * most, most)

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    # --------------------------------------------------------------- sound

    def hear(self, chunk: AudioChunk) -> None:
        """20 ms of microphone, int16 mono 16 kHz, continuous. Silence must be fed when packets stop."""
        hearing, before = self.hearing, self.hearing.utterance
        self.handle(hearing.sense(chunk.samples))
        hearing.note_voice()
        if hearing.utterance is before:  # a new one has this in its pre-roll
            hearing.feed()
        if self.turns.phase is Phase.PAUSED and not self.turns.overlaps:
            if hearing.utterance is not None:
                self.answering.prepare_if_due(hearing.utterance, hearing.silence_ms)
            self._encourage()
        self._mind_the_silence()

    def _mind_the_silence(self) -> None:
        """Nobody speaks: a nudge, at most two. Not where a client decides when to answer."""
        phase = self.turns.phase
        busy = phase is not Phase.LISTENING or bool(self.air.asides)
        if phase in (Phase.HEARING, Phase.PAUSED):
            self._idle.person_spoke()
        elif busy or self.turns.thinking or not self._call().answers_by_itself:
            self._idle.floor_taken()
        elif self._dialogue.items and self._idle.due(self.hearing.now_ms):
            self.handle(turns.ReplyAsked())
            idle_ms = self._call().turn_detection.idle_ms
            if idle_ms is None:
                self.answering.say("nudge")
            else:
                self.answering.timed_out(self.hearing.now_ms - idle_ms, self.hearing.now_ms)

    def _encourage(self) -> None:
        """A listener's "mhm" in a long answer."""
        utterance, t = self.hearing.utterance, self.turns
        wanted = (
            self._call().mode == "interview" if self._call().encourage is None else self._call().encourage
        )
        if not wanted or utterance is None or t.patience_ms is None or t.why == "think":
            return
        now, silence = self.hearing.now_ms, self.hearing.silence_ms
        if self._encouragement.fits(now, now - utterance.started_ms, silence, t.patience_ms - silence):
            self._spawn(self.answering.murmur(MURMUR, self._person_speaks), "murmur")

    def _person_speaks(self) -> bool:
        return self.turns.phase in (Phase.PAUSED, Phase.HEARING)

    def read(self, count: int) -> np.ndarray | None:
        """The next `count` samples of the voice at VOICE_RATE, int16; None: silence (nothing to say)."""
        samples = self.air.read(count)
        self.hearing.played(samples, count)
        return samples

    # --------------------------------------------------------------- floor

    def handle(self, event: turns.TurnEvent) -> None:
        for command in self.turns.handle(event):
            self._act(command)
        if isinstance(event, turns.ReplyEnded):
            self._follow()
        self.show()

    def _follow(self) -> None:
        """A reply that was asked for behind another, or to what was said beside that: it has its turn after
        whoever has the floor now."""
        request = self.answering.take_next()
        if request is not None and self.turns.phase is Phase.LISTENING:
            self.handle(turns.ReplyAsked())
            self.answering.begin(request)
        elif request is not None:
            self.answering.ask(request)
        elif self.answering.behind and self.turns.phase is Phase.LISTENING:
            self.handle(turns.ReplyAsked())
            self.answering.catch_up()

    def _act(self, command: commands.Command) -> None:
        match command:
            case commands.OpenUtterance(started_ms, over_reply):
                call = self._call()
                words = hints(call.mode, call.language, call.topic)
                self.hearing.open(started_ms, call.language, over_reply=over_reply, hints=words)
            case commands.Finalise():
                self._finalise()
            case commands.GoOn():
                self.answering.unprepare()
                if self.hearing.utterance:
                    self.hearing.utterance.go_on(self.turns.last_pause_ms)
            case commands.EndUtterance(why, judged, overlaps):
                self._end_utterance(why, judged, overlaps)
            case commands.DropUtterance():
                self.answering.unprepare()
                self.hearing.drop()
            case commands.BecomeTurn(beside):
                self.hearing.become_turn(interrupted=False)
                utterance = self.hearing.utterance
                if utterance is not None:
                    utterance.go_on(0)  # what was asked in mid-speech is not all of it
                    utterance.began_over_reply = True
                    utterance.beside_ms = utterance.voiced_ms if beside else 0
            case commands.Interrupt():
                self._interrupt()
            case commands.Withdraw():
                self._withdraw()
            case commands.Duck() if self.air.answer:
                self.air.answer.reply.playout.duck(self._settings.turns.duck_db)
            case commands.Hold() if self.air.answer:
                self.air.answer.reply.playout.hold()
            case commands.Resume() if self.air.answer:
                self.air.answer.reply.playout.resume()

    def commit(self) -> None:
        """ "I'm done": ends the person's turn now. Raises CallError if nothing was heard."""
        hearing = self.hearing
        if hearing.utterance is not None:
            self.handle(turns.Commit())
        elif hearing.kept_ms < COMMITTED_MS:
            raise CallError("input_audio_buffer_commit_empty", TOO_SMALL.format(hearing.kept_ms))
        else:  # push-to-talk, and no voice in it for the gate
            utterance = hearing.transcribe(new_id("item"), hearing.take_kept(), self._call().language)
            self.answering.recorded(utterance, heard=True)

    def clear_input(self) -> None:
        """Forgets what the person is saying."""
        utterance = self.hearing.utterance
        self.hearing.take_kept()
        if utterance is None or utterance.over_reply:  # nothing that the world was told of
            self._emit(ev.InputCleared())
        self.handle(turns.ClearInput())

    def show(self, *, again: bool = False) -> None:
        """Tells the world the phase if it has changed. `again`: also if not, to somebody new."""
        if again:
            self._shown = None
        t = self.turns
        pausing = t.phase is Phase.PAUSED and t.patience_ms is not None
        utterance = self.hearing.utterance
        if pausing and utterance is not None and not utterance.settled and t.spent_ms < SHOWN_BY_MS:
            return  # most recognisers say within that time what will change the judgement
        floor = (t.phase, t.patience_ms if pausing else None, t.why, t.audible, t.ducked or t.held)
        if floor == self._shown:
            return
        self._shown = floor
        phase, patience_ms, why, audible, ducked = floor
        self._emit(
            ev.FloorChanged(
                phase.value,  # type: ignore[arg-type]
                patience_ms=patience_ms,
                spent_ms=t.spent_ms if pausing else 0,
                why=why,
                audible=audible,
                ducked=ducked,
            )
        )

    # --------------------------------------------------------------- words

    def _finalise(self) -> None:
        utterance = self.hearing.utterance
        if utterance is None:
            return
        utterance.pause()
        if utterance.over_reply:
            return
        if not self.turns.overlaps:  # else the figures are still those of the reply's turn
            self.answering.timeline.begin(paused=self._clock())
        if self.turns.phase is Phase.PAUSED:
            self._judge(utterance)  # by the words so far; again when the transcript is final

    def _judge(self, utterance: Utterance) -> None:
        detection = self._call().turn_detection
        if detection.kind == "fixed":
            self.handle(turns.Judged(detection.silence_ms, "fixed"))
            return
        verdict = judge(utterance.join(utterance.text), self._call().language, self._ears.punctuates)
        settings: PatienceSettings = getattr(self._settings.turns, self._call().mode)
        patience = patience_ms(verdict, settings, self._call().patience, self._habit.patience_ms)
        self.handle(turns.Judged(patience, verdict.kind))
        if utterance.final is None or verdict.cue is None or verdict.cue == utterance.cue:
            return
        utterance.cue = verdict.cue
        if verdict.cue == "wait":
            self.handle(turns.Think())
        elif verdict.cue == "slower":
            self._update({"speed": max(SLOWEST, self._call().speed * SLOWER)})

    def _transcribed(self, utterance: Utterance, transcript: Transcript) -> None:
        """A recogniser's news."""
        current = self.hearing.utterance
        if self.answering.owed.came(utterance) or current is None or not current.includes(utterance):
            return
        if current.over_reply:
            self._weigh_words(transcript)
            return
        if utterance is current:
            self._emit(ev.Partial(utterance.item_id, utterance.shown(transcript)))
        if transcript.kind == "partial" or self.turns.phase is not Phase.PAUSED:
            return
        if transcript.kind == "final":
            self._judge(current)
        if self.turns.overlaps:
            return
        self.answering.timeline.stamp("final", self._clock())
        if self.answering.owed.known(current):
            t = self.turns
            self.answering.plan(t.patience_ms, t.why, current, self.hearing.silence_ms)

    def _recogniser_over(self, utterance: Utterance) -> None:
        self.answering.owed.came(utterance)

    def _weigh_words(self, transcript: Transcript) -> None:
        """Speech over a reply: does it want the floor?"""
        language = self._call().language
        sure = " ".join(word.text for word in transcript.words if word.confidence >= CONFIDENT)
        text = sure if transcript.words else transcript.text
        if transcript.kind == "partial":  # the rest may become another word: "but" has turned out an "uh huh"
            text = transcript.text[: transcript.sure]
        words = fold(text, language)
        said = bool(words) and not self.hearing.is_own_voice(words, self._just_said())
        # A first look may hear words in a laugh: where a better one follows, only words that ask for the
        # floor count before it.
        settled = transcript.kind == "full" or (transcript.kind == "final" and not self._ears.full_pass)
        if settled:
            interrupts = said and not asks_for_nothing(text, language)
        else:
            interrupts = said and starts_with_interrupt(text, language)
        pending = transcript.kind == "final" and not settled
        self.handle(turns.WordsOverReply(interrupts, settled, pending))

    def _just_said(self) -> str:
        """The reply's last words, folded."""
        answer = self.air.answer
        return fold((answer.item.text or "")[-OWN_WORDS:], self._call().language) if answer else ""

    def _end_utterance(self, why: str, judged: str, overlaps: bool) -> None:
        silence_ms = self.turns.spent_ms
        utterance = self.hearing.end()
        utterance.ended_ms = self.hearing.now_ms - silence_ms
        self._habit.answered(utterance.longest_pause_ms)
        if overlaps:
            self.answering.overlapping_turn_ended(utterance)
        else:
            self.answering.turn_ended(utterance, why, judged, silence_ms)

    def _interrupt(self) -> None:
        answer = self.air.answer
        self.hearing.become_turn(interrupted=answer is not None and answer.audible)
        if self.hearing.utterance is not None:
            self.hearing.utterance.go_on(0)  # what was asked in mid-speech is not all of it
        self.answering.cut("turn_detected", self.hearing.utterance)
        self._follow()

    def _withdraw(self) -> None:
        if self.air.answer is not None and self.air.answer.acted:
            self._interrupt()  # what has been done cannot be taken back
            return
        before = self.answering.withdraw()
        if before is not None and self.hearing.utterance is not None:
            pause_ms = self.hearing.utterance.started_ms - before.ended_ms
            self.hearing.utterance.continues(before, pause_ms)
        self.hearing.become_turn(interrupted=before is not None and before.interrupted)
