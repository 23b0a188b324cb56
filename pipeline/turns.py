"""Who has the floor: one pure state machine. Events in, commands out; no clock but the microphone's.

LISTENING ──voice──▶ HEARING ──short pause──▶ PAUSED ──patience over──▶ ANSWERING ──drained──▶ LISTENING
                        ▲                        │                        │   ▲
                        └────────voice again─────┘                  voice │   │ only a cough, an "mhm"
                        ▲                                                 ▼   │
                        └────────interruption or withdrawal──────────── DOUBTING

A reply that may not be interrupted goes on beside HEARING and PAUSED; they lead back to ANSWERING.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pipeline.commands import (
    BecomeTurn,
    Command,
    DropUtterance,
    Duck,
    EndUtterance,
    Finalise,
    GoOn,
    Hold,
    Interrupt,
    OpenUtterance,
    Resume,
    Withdraw,
)
from pipeline.settings import TurnSettings

RESUME_AFTER_MS = 200  # of silence over a reply: it goes on within 300 ms of the person's last sound
ASK_EVERY_MS = 480  # of voice over a reply: what words are in it so far?
WORDLESS = 2  # times interrupt_after_ms: known to hold no word that interrupts, it may be laughter
UNSURE_VOICE_MS = 500  # shorter voice without a word in it is taken for a backchannel
POLITE_MS = 2_500  # of a reply that ends a turn by its length: nobody is heard over these words
WORDS_WITHIN_MS = 1_000  # for so long the words of a slow recogniser may still end a reply that goes on


class Phase(StrEnum):
    LISTENING = "listening"
    HEARING = "hearing"
    PAUSED = "paused"
    ANSWERING = "answering"
    DOUBTING = "doubting"


# ---------------------------------------------------------------- events


class Tick(NamedTuple):  # made 50 times a second: a third of a dataclass's cost
    """20 ms of microphone went by; what the gate makes of it."""

    now_ms: int  # of the microphone's clock
    onset: bool = False  # webrtcvad alone hears voice
    open: bool = False  # confirmed speech
    started_ms: int = 0  # of its first voiced sample
    voiced_ms: int = 0  # of confirmed voice since the gate opened
    silence_ms: int = 0  # since the last voiced sample


@dataclass(frozen=True, slots=True)
class Judged:
    """What the words so far say about this pause."""

    patience_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class WordsOverReply:
    """What the recogniser makes of speech over a reply."""

    interrupts: bool  # a word that is no backchannel, or an interrupt word
    settled: bool  # it will say no more about this stretch
    pending: bool = False  # a better look at it is on its way


@dataclass(frozen=True, slots=True)
class Commit:
    """ "I'm done", by button, by word or by the client's protocol."""


@dataclass(frozen=True, slots=True)
class ClearInput:
    pass


@dataclass(frozen=True, slots=True)
class Think:
    """ "Let me think": patience rests."""


@dataclass(frozen=True, slots=True)
class ReplyAsked:
    """A reply that no turn of the person's leads to: greeting, typed text, the client's request."""


@dataclass(frozen=True, slots=True)
class ReplyAudible:
    """Its first sample has been handed out."""


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """Drained, failed, cancelled, or not wanted at all."""


TurnEvent = (
    Tick | Judged | WordsOverReply | Commit | ClearInput | Think | ReplyAsked | ReplyAudible | ReplyEnded
)


class Turns:
    """Feeds on events, answers with commands that are to be carried out at once and in order."""

    def __init__(self, settings: TurnSettings) -> None:
        self.settings = settings
        self.manual = False  # push-to-talk: only a Commit ends the person's turn, and no voice ends a reply
        self.interruptible = True
        self.phase = Phase.LISTENING
        self.patience_ms: int | None = None
        self.why = ""
        self.audible = False  # ANSWERING, DOUBTING: the reply's sound has begun
        self.ducked = False
        self.held = False
        self.overlaps = False  # HEARING, PAUSED: a reply is being given that may not be interrupted
        self.last_pause_ms = 0  # PAUSED, and after it: how long the pause has got
        self._now_ms = 0
        self._started_ms = 0
        self._silence_ms = 0
        self._think_until_ms = 0
        self._audible_ms = 0
        self._stops_them = False  # the reply begins while they may still be speaking: it was too long
        self._by_patience = False  # the reply answers a turn that only our judgement ended
        self._finalised = False  # DOUBTING: the recogniser was told of the pause
        self._settled = False  # DOUBTING: and has answered
        self._passed_ms = 0  # DOUBTING: of voice, after which the reply went on before its words were known
        self._asked_ms = 0  # DOUBTING: of voice, when it was last asked in mid-speech
        self._wordless = False  # DOUBTING: and it has found nothing that interrupts

    @property
    def spent_ms(self) -> int:
        """How much of the pause is over."""
        return self._silence_ms

    @property
    def thinking(self) -> bool:
        """The person has asked for time to think."""
        return self._now_ms < self._think_until_ms

    @property
    def _too_long(self) -> bool:
        return self._now_ms - self._started_ms >= 1000 * self.settings.longest_utterance_s

    @property
    def _deaf(self) -> bool:
        """What is said over the reply is nobody's turn."""
        polite = self._stops_them and not (self.audible and self._now_ms - self._audible_ms >= POLITE_MS)
        return self.manual or polite

    def handle(self, event: TurnEvent) -> list[Command]:
        """Raises KeyError for a pair that is not in the table (there is none: a test tries all)."""
        if isinstance(event, Tick):
            self._now_ms = event.now_ms
            self._silence_ms = event.silence_ms
        return TABLE[self.phase, type(event)](self, event)

    # ------------------------------------------------------ transitions

    def _nothing(self, event: TurnEvent) -> list[Command]:
        return []

    def _listening_tick(self, tick: Tick) -> list[Command]:
        if not tick.open:
            return []
        self._hear(tick.started_ms)
        return [OpenUtterance(tick.started_ms, over_reply=False)]

    def _hearing_tick(self, tick: Tick) -> list[Command]:
        if self._too_long:
            return self._end("longest")
        if tick.silence_ms < self.settings.short_pause_ms:
            return []
        self.phase = Phase.PAUSED
        self.patience_ms, self.why = None, ""
        return [Finalise()]

    def _paused_tick(self, tick: Tick) -> list[Command]:
        if tick.open and tick.silence_ms < self.settings.short_pause_ms:
            self.phase = Phase.HEARING
            self.patience_ms, self.why = None, ""
            self._think_until_ms = 0
            return [GoOn()]
        self.last_pause_ms = tick.silence_ms
        if self._too_long:
            return self._end("longest")
        if self.manual or self.thinking:
            return []
        if self.patience_ms is None:
            return self._end("no words") if tick.silence_ms >= self.settings.no_words_after_ms else []
        return self._end("patience") if tick.silence_ms >= self.patience_ms else []

    def _judged(self, judged: Judged) -> list[Command]:
        self.patience_ms, self.why = judged.patience_ms, judged.why
        if self.thinking:
            rest_ms = self._think_until_ms - self._now_ms
            self.patience_ms, self.why = max(judged.patience_ms, self._silence_ms + rest_ms), "think"
        return []

    def _think(self, event: Think) -> list[Command]:
        self._think_until_ms = self._now_ms + self.settings.think_ms
        if self.phase is Phase.PAUSED:
            self.patience_ms, self.why = self._silence_ms + self.settings.think_ms, "think"
        return []

    def _commit(self, event: Commit) -> list[Command]:
        return self._end("commit")

    def _asked_in_turn(self, event: ReplyAsked) -> list[Command]:
        return self._end("asked")

    def _asked(self, event: ReplyAsked) -> list[Command]:
        self._answer(by_patience=False)
        return []

    def _clear(self, event: ClearInput) -> list[Command]:
        if self.overlaps:
            self._go_on_answering()
        else:
            self._listen()
        return [DropUtterance()]

    def _reply_audible(self, event: ReplyAudible) -> list[Command]:
        self.audible, self._audible_ms = True, self._now_ms
        return []

    def _reply_ended(self, event: ReplyEnded) -> list[Command]:
        self._listen()
        return []

    def _overlapped_reply_audible(self, event: ReplyAudible) -> list[Command]:
        return self._reply_audible(event) if self.overlaps else []

    def _overlapped_reply_ended(self, event: ReplyEnded) -> list[Command]:
        self.overlaps = self.audible = False
        return []

    def _answering_tick(self, tick: Tick) -> list[Command]:
        if self._deaf:
            return self._leave_alone(tick)
        if tick.open:
            self.phase = Phase.DOUBTING
            self._started_ms = tick.started_ms
            self._finalised = self._settled = self._wordless = False
            self._asked_ms = self._passed_ms = 0
            return [OpenUtterance(tick.started_ms, over_reply=True), *self._doubting_tick(tick)]
        ducked = tick.onset and self.interruptible
        if self.audible and ducked != self.ducked:
            self.ducked = ducked
            return [Duck() if ducked else Resume()]
        return []

    def _leave_alone(self, tick: Tick) -> list[Command]:
        """Nobody is heard over the reply, nor is what they go on with after its end."""
        self.phase = Phase.ANSWERING
        return [*([DropUtterance()] if tick.open else []), *self._resume()]

    def _doubting_tick(self, tick: Tick) -> list[Command]:
        s = self.settings
        if self._deaf:  # since a moment
            return self._leave_alone(tick)
        voiced_ms = tick.voiced_ms - self._passed_ms
        fresh = not self.audible or self._now_ms - self._audible_ms <= s.withdraw_within_ms
        if self.interruptible and fresh and voiced_ms >= s.withdraw_voice_ms and s.withdraw_within_ms:
            if self._by_patience:
                self._hear(self._started_ms)
                return [Withdraw()]
            if not self.audible:
                return self._take_floor()
        if voiced_ms >= s.interrupt_after_ms * (WORDLESS if self._wordless else 1):
            return self._take_floor()
        speaks = tick.silence_ms < s.short_pause_ms
        commands = self._touch(speaks, voiced_ms) if self.interruptible else self._resume()
        if speaks:
            self._finalised = False
            if voiced_ms >= self._asked_ms + ASK_EVERY_MS:
                self._asked_ms = voiced_ms
                commands.append(Finalise())
        elif not self._finalised:
            self._finalised, self._settled = True, False
            commands.append(Finalise())
        if tick.silence_ms >= RESUME_AFTER_MS:
            commands += self._pass(tick)
        return commands

    def _touch(self, speaks: bool, voiced_ms: int) -> list[Command]:
        """The reply under a voice: ducked at once, then held."""
        if not self.held and (voiced_ms >= self.settings.mute_after_ms or (speaks and not self.audible)):
            self.held = True
            return [Hold()]
        if speaks and not self.ducked and not self.held:
            self.ducked = True
            return [Duck()]
        return []

    def _pass(self, tick: Tick) -> list[Command]:
        """They are silent, and the reply goes on. Where only words tell what was said from a laugh, these may
        still end it for a while; beside one that may not be interrupted they have as long as any turn's."""
        if self.interruptible:
            short, within_ms = tick.voiced_ms < UNSURE_VOICE_MS, WORDS_WITHIN_MS
        else:
            short, within_ms = False, self.settings.no_words_after_ms
        if self._settled or short or tick.silence_ms >= within_ms:
            self.phase = Phase.ANSWERING
            return [DropUtterance(), *self._resume()]
        self._passed_ms, self._asked_ms, self._wordless = tick.voiced_ms, 0, False
        return self._resume()

    def _resume(self) -> list[Command]:
        touched, self.ducked, self.held = self.ducked or self.held, False, False
        return [Resume()] if touched else []

    def _words(self, words: WordsOverReply) -> list[Command]:
        if words.interrupts:
            return self._take_floor()
        self._settled = words.settled
        self._wordless = self._wordless or words.settled or words.pending
        return []

    def _doubting_reply_ended(self, event: ReplyEnded) -> list[Command]:
        self._hear(self._started_ms)
        return [BecomeTurn(beside=self._silence_ms >= RESUME_AFTER_MS)]

    def _doubting_commit(self, event: Commit) -> list[Command]:
        return [*self._take_floor(), *self._end("commit")]

    def _doubting_clear(self, event: ClearInput) -> list[Command]:
        self.phase = Phase.ANSWERING
        return [DropUtterance(), *self._resume()]

    # ----------------------------------------------------------- phases

    def _listen(self) -> None:
        self.phase = Phase.LISTENING
        self._leave_reply()

    def _hear(self, started_ms: int) -> None:
        self.phase = Phase.HEARING
        self._started_ms = started_ms
        self._think_until_ms = 0
        self._leave_reply()

    def _leave_reply(self) -> None:
        self.patience_ms, self.why = None, ""
        self.audible = self.ducked = self.held = self.overlaps = False

    def _end(self, why: str) -> list[Command]:
        ended = EndUtterance(why, self.why, overlaps=self.overlaps)
        if self.overlaps:
            self._go_on_answering()
        else:
            self._answer(by_patience=why == "patience")
            self._stops_them = why == "longest"
        return [ended]

    def _answer(self, *, by_patience: bool) -> None:
        self.phase = Phase.ANSWERING
        self._by_patience = by_patience
        self._stops_them = False
        self._think_until_ms = 0
        self._leave_reply()

    def _go_on_answering(self) -> None:
        """The turn beside the reply is over, the reply is not."""
        self.phase = Phase.ANSWERING
        self.patience_ms, self.why, self.overlaps = None, "", False
        self._think_until_ms = 0

    def _take_floor(self) -> list[Command]:
        """What began over the reply is a turn."""
        audible, commands = self.audible, self._resume() if not self.interruptible else []
        self._hear(self._started_ms)
        if self.interruptible:
            return [Interrupt()]
        self.overlaps, self.audible = True, audible
        return [*commands, BecomeTurn()]


_L, _H, _P, _A, _D = Phase.LISTENING, Phase.HEARING, Phase.PAUSED, Phase.ANSWERING, Phase.DOUBTING
_t = Turns
# What happens when; a pair that only says `_nothing` is one that comes late and means nothing any more.
TABLE: dict[tuple[Phase, type], Callable[..., list[Command]]] = {
    (_L, Tick): _t._listening_tick,
    (_L, Judged): _t._nothing,
    (_L, WordsOverReply): _t._nothing,
    (_L, Commit): _t._nothing,
    (_L, ClearInput): _t._nothing,
    (_L, Think): _t._think,
    (_L, ReplyAsked): _t._asked,
    (_L, ReplyAudible): _t._nothing,
    (_L, ReplyEnded): _t._nothing,
    (_H, Tick): _t._hearing_tick,
    (_H, Judged): _t._nothing,
    (_H, WordsOverReply): _t._nothing,
    (_H, Commit): _t._commit,
    (_H, ClearInput): _t._clear,
    (_H, Think): _t._think,
    (_H, ReplyAsked): _t._asked_in_turn,
    (_H, ReplyAudible): _t._overlapped_reply_audible,
    (_H, ReplyEnded): _t._overlapped_reply_ended,
    (_P, Tick): _t._paused_tick,
    (_P, Judged): _t._judged,
    (_P, WordsOverReply): _t._nothing,
    (_P, Commit): _t._commit,
    (_P, ClearInput): _t._clear,
    (_P, Think): _t._think,
    (_P, ReplyAsked): _t._asked_in_turn,
    (_P, ReplyAudible): _t._overlapped_reply_audible,
    (_P, ReplyEnded): _t._overlapped_reply_ended,
    (_A, Tick): _t._answering_tick,
    (_A, Judged): _t._nothing,
    (_A, WordsOverReply): _t._nothing,
    (_A, Commit): _t._nothing,
    (_A, ClearInput): _t._nothing,
    (_A, Think): _t._nothing,
    (_A, ReplyAsked): _t._nothing,
    (_A, ReplyAudible): _t._reply_audible,
    (_A, ReplyEnded): _t._reply_ended,
    (_D, Tick): _t._doubting_tick,
    (_D, Judged): _t._nothing,
    (_D, WordsOverReply): _t._words,
    (_D, Commit): _t._doubting_commit,
    (_D, ClearInput): _t._doubting_clear,
    (_D, Think): _t._nothing,
    (_D, ReplyAsked): _t._nothing,
    (_D, ReplyAudible): _t._reply_audible,
    (_D, ReplyEnded): _t._doubting_reply_ended,
}
