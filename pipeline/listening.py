"""One utterance on its way through the recogniser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.errors import ProviderError
from pipeline.languages import UNSPACED
from pipeline.providers import Pause, Recognizer, Transcript


class Utterance:
    """Takes the sound of one turn as it comes and keeps the newest transcript of it.

    `on_change(utterance, transcript)` is called for each transcript, on the event loop.
    """

    def __init__(
        self,
        item_id: str,
        started_ms: int,
        ears: Recognizer,
        language: str,
        on_change: Callable[[Utterance, Transcript], None],
        hints: Sequence[str] = (),
    ) -> None:
        self.item_id = item_id
        self.started_ms = started_ms  # of the microphone's clock
        self.recorded = False  # a client's, and nobody's turn
        self.announced = False  # the world was told that somebody speaks
        self.over_reply = False  # not (yet) a turn
        self.interrupted = False  # it broke into a reply
        self.ended_ms = started_ms  # of the microphone's clock, its last voiced sample
        self.failed: ProviderError | None = None
        self.over = False  # the recogniser has said all that it owes, or failed
        self.before: Utterance | None = None  # the same turn's first part, see `continues`
        self.cue: str | None = None  # that has been understood and acted on
        self.voiced_ms = 0
        self.began_over_reply = False  # and was no interruption of it
        self.beside_ms = 0  # of its voice, that was over before that reply was
        self.longest_pause_ms = 0  # that turned out to be inside it
        self.text = ""  # newest
        self.final: Transcript | None = None  # of all sound up to the last pause
        self.full: Transcript | None = None
        self._ears = ears
        self._language = language
        self._on_change = on_change
        self._hints = hints  # words that it is likely to hold
        self._samples = 0
        self._pauses = 0
        self._went_on = False
        self._answered = 0
        # Bounded by the longest utterance: the floor ends one after `turns.longest_utterance_s`.
        self._queue: asyncio.Queue[AudioChunk | Pause | None] = asyncio.Queue()

    @property
    def seconds(self) -> float:
        """Length of its sound."""
        return self._samples / MIC_RATE

    @property
    def words(self) -> str:
        """The best there is of all that was said in this turn."""
        best = self.full or self.final
        return self.join(best.text if best else self.text)

    @property
    def asked(self) -> bool:
        """A final transcript of all its sound has been asked for."""
        return self._pauses > 0 and not self._went_on

    @property
    def settled(self) -> bool:
        """The last pause has been answered."""
        return self._pauses > 0 and self._answered == self._pauses

    def continues(self, before: Utterance, pause_ms: int) -> None:
        """A reply to `before` was withdrawn: this is the same turn's second half, after that pause.

        Words of the first half may still be on their way."""
        self.longest_pause_ms = max(before.longest_pause_ms, pause_ms)
        self.before = before
        self.started_ms = before.started_ms
        self.voiced_ms += before.voiced_ms

    def includes(self, other: Utterance) -> bool:
        """Whether `other` is this, or an earlier part of the same turn."""
        return other is self or (self.before is not None and self.before.includes(other))

    def join(self, text: str) -> str:
        """`text` behind what the turn began with."""
        before = self.before.words if self.before is not None else ""
        space = "" if self._language in UNSPACED else " "
        return before + (space if before and text else "") + text

    def shown(self, transcript: Transcript) -> Transcript:
        """The transcript of the whole turn, for captions; what is final is sure."""
        text = self.join(transcript.text)
        sure = transcript.sure if transcript.kind == "partial" else len(transcript.text)
        return replace(transcript, text=text, sure=sure + len(text) - len(transcript.text))

    def push(self, samples: np.ndarray) -> None:
        """int16 at MIC_RATE. Voids what was final."""
        self._queue.put_nowait(AudioChunk(samples, MIC_RATE, self._samples))
        self._samples += len(samples)

    def pause(self) -> None:
        """Asks for a final transcript of what is there."""
        self._pauses += 1
        self._went_on = False
        self.final = self.full = None
        self._queue.put_nowait(Pause())

    def go_on(self, pause_ms: int) -> None:
        """Speech again after that pause: finals of the pause are void."""
        self.longest_pause_ms = max(self.longest_pause_ms, pause_ms)
        self._went_on = True
        self.final = self.full = None

    def end(self) -> None:
        """No more sound will come."""
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Until `end` and all that is owed has come. Raises ProviderError."""
        stream = self._ears.transcribe(self._audio(), language=self._language, hints=self._hints)
        async with aclosing(stream):  # type: ignore[type-var]
            async for transcript in stream:
                self._take(transcript)

    async def _audio(self) -> AsyncIterator[AudioChunk | Pause]:
        while (piece := await self._queue.get()) is not None:
            yield piece

    def _take(self, transcript: Transcript) -> None:
        if transcript.kind == "final":
            self._answered = min(self._answered + 1, self._pauses)
            if not self.settled:
                return  # of an earlier pause: speech has gone on since
            self.final = transcript
        elif transcript.kind == "full":
            if not self.settled:
                return
            self.full = transcript
        self.text = transcript.text
        self._on_change(self, transcript)
