"""Who has the floor: one pure state machine. Events in, commands out; no clock but the microphone's.

LISTENING ──voice──▶ HEARING ──short pause──▶ PAUSED ──patience over──▶ ANSWERING ──drained──▶ LISTENING
                        ▲                        │                        │   ▲
                        └────────voice again─────┘                  voice │   │ only a cough, an "mhm"
                        ▲                                                 ▼   │
                        └────────interruption or withdrawal──────────── DOUBTING
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.settings import TurnSettings

RESUME_AFTER_MS = 200  # of silence over a held reply: it goes on within 300 ms of the person's last sound
ASK_EVERY_MS = 480  # of voice over a reply: what words are in it so far?
WORDLESS = 2  # times interrupt_after_ms: known to hold no word that interrupts, it may be laughter
UNSURE_VOICE_MS = 500  # shorter voice without a word in it is taken for a backchannel
POLITE_MS = 2_500  # of a reply that ends a turn by its length: nobody is heard over these words
WORDS_WITHIN_MS = 1_000  # how long a held reply waits for a slow recogniser


class Phase(StrEnum):
    LISTENING = "listening"
    HEARING = "hearing"
    PAUSED = "paused"
    ANSWERING = "answering"
    DOUBTING = "doubting"


# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Tick:
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

# -------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class OpenUtterance:
    started_ms: int
    over_reply: bool  # not yet a turn: nothing is said about it to the world


@dataclass(frozen=True, slots=True)
class Finalise:
    """A first short pause: have the transcript made final, judge the pause, prepare a reply."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Speech again after a short pause: what was prepared is void."""


@dataclass(frozen=True, slots=True)
class EndUtterance:
    why: str  # "patience", "commit", "longest", "asked", "no words"
    judged: str = ""  # of the last pause: "complete", "neutral", "hanging", ...


@dataclass(frozen=True, slots=True)
class DropUtterance:
    pass


@dataclass(frozen=True, slots=True)
class BecomeTurn:
    """What began over a reply is the person's turn now (the reply is over)."""


@dataclass(frozen=True, slots=True)
class Duck:
    pass


@dataclass(frozen=True, slots=True)
class Hold:
    """Muted and held; nothing is cleared, no stream is closed."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Full level again; what was held goes on from the last word boundary."""


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The reply is over: silence, streams closed, history cut to what was heard."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The person had not finished: the reply never was, and their turn goes on."""


Command = (
    OpenUtterance
    | Finalise
    | GoOn
    | EndUtterance
    | DropUtterance
    | BecomeTurn
    | Duck
    | Hold
    | Resume
    | Interrupt
    | Withdraw
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
    def _untouchable(self) -> bool:
        """No voice may touch the reply."""
        polite = self._stops_them and not (self.audible and self._now_ms - self._audible_ms >= POLITE_MS)
        return self.manual or not self.interruptible or polite

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
            self._hear(self._started_ms)
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
        self._listen()
        return [DropUtterance()]

    def _reply_audible(self, event: ReplyAudible) -> list[Command]:
        self.audible, self._audible_ms = True, self._now_ms
        return []

    def _reply_ended(self, event: ReplyEnded) -> list[Command]:
        self._listen()
        return []

    def _answering_tick(self, tick: Tick) -> list[Command]:
        if self._untouchable:
            return self._leave_alone(tick)
        if tick.open:
            self.phase = Phase.DOUBTING
            self._started_ms = tick.started_ms
            self._finalised = self._settled = self._wordless = False
            self._asked_ms = 0
            commands: list[Command] = [OpenUtterance(tick.started_ms, over_reply=True)]
            if not self.audible:
                self.held = True
                commands.append(Hold())
            elif not self.ducked:
                self.ducked = True
                commands.append(Duck())
            return commands + self._doubting_tick(tick)
        if self.audible and tick.onset != self.ducked:
            self.ducked = tick.onset
            return [Duck() if tick.onset else Resume()]
        return []

    def _leave_alone(self, tick: Tick) -> list[Command]:
        """No voice may touch the reply: what is said over it is nobody's turn, also after its end."""
        commands: list[Command] = []
        if tick.open:
            commands.append(DropUtterance())
        if self.ducked or self.held:
            commands.append(Resume())
        self.phase = Phase.ANSWERING
        self.ducked = self.held = False
        return commands

    def _doubting_tick(self, tick: Tick) -> list[Command]:
        s = self.settings
        if self._untouchable:  # since a moment
            return self._leave_alone(tick)
        fresh = not self.audible or self._now_ms - self._audible_ms <= s.withdraw_within_ms
        if fresh and tick.voiced_ms >= s.withdraw_voice_ms and s.withdraw_within_ms:
            if self._by_patience:
                self._hear(self._started_ms)
                return [Withdraw()]
            if not self.audible:
                return self._interrupt()
        if tick.voiced_ms >= s.interrupt_after_ms * (WORDLESS if self._wordless else 1):
            return self._interrupt()
        commands: list[Command] = []
        if tick.voiced_ms >= s.mute_after_ms and not self.held:
            self.held = True
            commands.append(Hold())
        if tick.silence_ms >= s.short_pause_ms and not self._finalised:
            self._finalised, self._settled = True, False
            commands.append(Finalise())
        elif tick.silence_ms < s.short_pause_ms:
            self._finalised = False
            if tick.voiced_ms >= self._asked_ms + ASK_EVERY_MS:
                self._asked_ms = tick.voiced_ms
                commands.append(Finalise())
        known = self._settled or tick.voiced_ms < UNSURE_VOICE_MS or tick.silence_ms >= WORDS_WITHIN_MS
        if tick.silence_ms >= RESUME_AFTER_MS and known:
            self.phase = Phase.ANSWERING
            self.ducked = self.held = False
            commands += [DropUtterance(), Resume()]
        return commands

    def _words(self, words: WordsOverReply) -> list[Command]:
        if words.interrupts:
            return self._interrupt()
        self._settled = words.settled
        self._wordless = self._wordless or words.settled or words.pending
        return []

    def _doubting_reply_ended(self, event: ReplyEnded) -> list[Command]:
        self._hear(self._started_ms)
        return [BecomeTurn()]

    def _doubting_commit(self, event: Commit) -> list[Command]:
        return [*self._interrupt(), *self._end("commit")]

    def _doubting_clear(self, event: ClearInput) -> list[Command]:
        self.phase = Phase.ANSWERING
        self.ducked = self.held = False
        return [DropUtterance(), Resume()]

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
        self.audible = self.ducked = self.held = False

    def _end(self, why: str) -> list[Command]:
        judged = self.why
        self._answer(by_patience=why == "patience")
        self._stops_them = why == "longest"
        return [EndUtterance(why, judged)]

    def _answer(self, *, by_patience: bool) -> None:
        self.phase = Phase.ANSWERING
        self._by_patience = by_patience
        self._stops_them = False
        self._think_until_ms = 0
        self._leave_reply()

    def _interrupt(self) -> list[Command]:
        self._hear(self._started_ms)
        return [Interrupt()]


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
    (_H, ReplyAudible): _t._nothing,
    (_H, ReplyEnded): _t._nothing,
    (_P, Tick): _t._paused_tick,
    (_P, Judged): _t._judged,
    (_P, WordsOverReply): _t._nothing,
    (_P, Commit): _t._commit,
    (_P, ClearInput): _t._clear,
    (_P, Think): _t._think,
    (_P, ReplyAsked): _t._asked_in_turn,
    (_P, ReplyAudible): _t._nothing,
    (_P, ReplyEnded): _t._nothing,
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
