"""The person's side: the gate, the utterance being spoken, and its way through the recogniser."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from pipeline import events as ev
from pipeline.answers import Spawn
from pipeline.audio import CHUNK_MS, MIC_RATE, AudioChunk
from pipeline.echo_guard import EchoGuard
from pipeline.errors import ProviderError
from pipeline.gate import Gate, Opened
from pipeline.items import new_id
from pipeline.listening import Utterance
from pipeline.providers import Recognizer, Transcript
from pipeline.turns import Tick

log = logging.getLogger(__name__)

RECORDED = MIC_RATE // 10  # samples of a recording that the recogniser is given at a time


class Hearing:
    """One call's. The clock of the call is here: samples of microphone.

    Args:
        guard: takes our own voice out of what is heard; None: nobody does.
        spawn: starts a task in the call's group.
        on_words: news of the recogniser.
        on_over: it has said all that it owes, or failed.
    """

    def __init__(
        self,
        gate: Gate,
        guard: EchoGuard | None,
        ears: Recognizer,
        spawn: Spawn,
        emit: Callable[[ev.Event], None],
        on_words: Callable[[Utterance, Transcript], None],
        on_over: Callable[[Utterance], None],
    ) -> None:
        self.utterance: Utterance | None = None  # being spoken
        self._kept: deque[np.ndarray] | None = None  # push-to-talk: all that was heard since the last turn
        self._gate = gate
        self._guard = guard
        self._cleaned = np.zeros(0, np.int16)  # the last 20 ms, without our own voice
        self._ears = ears
        self._spawn = spawn
        self._emit = emit
        self._on_words = on_words
        self._on_over = on_over
        self._samples = 0
        self._opened: Opened | None = None
        self._recognising: dict[Utterance, asyncio.Task[None]] = {}

    @property
    def now_ms(self) -> int:
        return 1000 * self._samples // MIC_RATE

    @property
    def silence_ms(self) -> int:
        """Since the last voiced sample."""
        return self._gate.silence_ms

    def played(self, samples: np.ndarray | None, count: int) -> None:
        """What was just handed out, int16 (count,) at VOICE_RATE; it may come back through the microphone."""
        if self._guard is not None:
            self._guard.played(samples, count)

    def sense(self, samples: np.ndarray) -> Tick:
        """What the gate makes of the next 20 ms."""
        gate, guard = self._gate, self._guard
        self._cleaned = samples if guard is None else guard.clean(samples)
        if guard is not None and guard.just_found:
            gate.forget()
        chunk = AudioChunk(self._cleaned, MIC_RATE, self._samples)
        self._samples += len(samples)
        if self._kept is not None:
            self._kept.append(self._cleaned)
        for event in gate.push(chunk):
            if isinstance(event, Opened):
                self._opened = event
        # What may be our own voice opens nothing until it is known; what goes on already is not stopped.
        withheld = guard is not None and guard.doubtful and self.utterance is None
        return Tick(
            now_ms=self.now_ms,
            onset=gate.onset and (guard is None or guard.hears_voice),
            open=gate.is_open and not withheld,
            started_ms=1000 * self._opened.at // MIC_RATE if self._opened else 0,
            voiced_ms=gate.voiced_ms,
            silence_ms=gate.silence_ms,
        )

    def feed(self) -> None:
        """The same 20 ms to the recogniser."""
        if self.utterance is not None:
            self.utterance.push(self._cleaned)

    def is_own_voice(self, words: str, said: str) -> bool:
        """Whether what was recognised is what we just said, where that comes back: both folded."""
        back = self._guard is not None and self._guard.found
        return back and " " in words and f" {words} " in f" {said} "

    def note_voice(self) -> None:
        if self.utterance is not None:
            self.utterance.voiced_ms = self._gate.voiced_ms

    def open(self, started_ms: int, language: str, *, over_reply: bool, hints: Sequence[str] = ()) -> None:
        """An utterance begins; its pre-roll holds everything up to now."""
        utterance = Utterance(new_id("item"), started_ms, self._ears, language, self._on_words, hints)
        utterance.over_reply = over_reply
        self.utterance = utterance
        if self._opened is not None:
            utterance.push(self._opened.preroll)
        self._start(utterance)
        if not over_reply:
            self._announce(utterance)

    def _announce(self, utterance: Utterance) -> None:
        if self._kept is None:  # in push-to-talk the client knows better
            utterance.announced = True
            self._emit(ev.SpeechStarted(utterance.item_id, utterance.started_ms))

    def keep(self, longest_s: int | None) -> None:
        """Push-to-talk: keeps what is heard, the last `longest_s` of it; None: does not."""
        if longest_s is None:
            self._kept = None
        elif self._kept is None:
            self._kept = deque(maxlen=1000 * longest_s // CHUNK_MS)

    @property
    def kept_ms(self) -> int:
        """How much has been heard since the last turn, in push-to-talk."""
        return CHUNK_MS * len(self._kept or ())

    def take_kept(self) -> np.ndarray:
        """It, int16 (n,) at MIC_RATE, and forgets it."""
        kept = np.concatenate([np.zeros(0, np.int16), *(self._kept or ())])
        self._forget_kept()
        return kept

    def _forget_kept(self) -> None:
        if self._kept is not None:
            self._kept.clear()

    def _start(self, utterance: Utterance) -> None:
        task = self._spawn(self._recognise(utterance), "recognise")
        if task is not None:
            self._recognising[utterance] = task
            task.add_done_callback(lambda _: self._recognising.pop(utterance, None))

    def transcribe(self, item_id: str, samples: np.ndarray, language: str) -> Utterance:
        """A recording, int16 at MIC_RATE, which is nobody's turn."""
        utterance = Utterance(item_id, self.now_ms, self._ears, language, self._on_words)
        utterance.recorded = True
        for start in range(0, len(samples), RECORDED):
            utterance.push(samples[start : start + RECORDED])
        utterance.pause()
        utterance.end()
        self._start(utterance)
        return utterance

    def become_turn(self, *, interrupted: bool) -> None:
        """What began over a reply is the person's turn."""
        if self.utterance is not None:
            self.utterance.over_reply, self.utterance.interrupted = False, interrupted
            self._announce(self.utterance)

    def end(self) -> Utterance:
        """The turn is over: its last words are asked for, the gate looks for the next one."""
        utterance, self.utterance = self.utterance, None
        assert utterance is not None, "the floor ends only an utterance that it opened"
        self._gate.close()
        self._forget_kept()
        if not utterance.asked:  # ended in mid-speech
            utterance.pause()
        utterance.end()
        return utterance

    def drop(self) -> None:
        """It was nothing: a cough, an "mhm", or unsaid by the client."""
        utterance, self.utterance = self.utterance, None
        self._gate.close()
        if utterance is not None:
            self.stop(utterance)
            if utterance.announced:
                self._emit(ev.SpeechStopped(utterance.item_id, self.now_ms))
            if not utterance.over_reply:
                self._emit(ev.InputCleared())

    def stop(self, utterance: Utterance) -> None:
        """Nobody waits for its words any more, nor for those of the parts before it."""
        part: Utterance | None = utterance
        while part is not None:
            task = self._recognising.pop(part, None)
            if task is not None:
                task.cancel()
            part.over, part = True, part.before

    def _failed(self, utterance: Utterance, error: ProviderError) -> None:
        utterance.failed = error
        self._emit(ev.Trouble(error.stage, error.code, error.message))

    async def _recognise(self, utterance: Utterance) -> None:
        try:
            await utterance.run()
        except ProviderError as error:
            self._failed(utterance, error)
        except Exception:
            log.exception("the recogniser %s failed in a way that it should not", self._ears.name)
            self._failed(utterance, ProviderError("stt", self._ears.name, "it crashed", "crashed"))
        utterance.over = True
        self._on_over(utterance)
