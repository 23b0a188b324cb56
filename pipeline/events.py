"""What a session tells the world, in the order in which it happens. `wire.realtime` puts it on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.items import Item
from pipeline.notices import FellOver, Spent
from pipeline.providers import Transcript, Usage
from pipeline.settings import CallSettings

ReplyStatus = Literal["completed", "cancelled", "incomplete", "failed"]
NOTHING_USED = Usage(0, 0)  # no mind was asked
Phase = Literal["listening", "hearing", "paused", "answering", "doubting"]


@dataclass(frozen=True, slots=True)
class FloorChanged:
    """The floor's phase, for the page (`viva.floor`). answering+thinking: nothing audible yet."""

    phase: Phase
    patience_ms: int | None = None  # paused: how long this pause may last in all
    spent_ms: int = 0  # paused: of it already over
    why: str = ""  # paused: "complete", "neutral", "hanging", "think", ...
    audible: bool = False  # answering: the reply's sound has begun
    ducked: bool = False


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    item_id: str  # of the user's item to come
    at_ms: int  # of the microphone's clock, pre-roll included


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    item_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody spoke for as long as the client gave them; a silent item follows, and a reply."""

    item_id: str
    from_ms: int  # of the microphone's clock
    to_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    item_id: str
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class InputCleared:
    pass


@dataclass(frozen=True, slots=True)
class ItemAdded:
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class ItemDone:
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class ItemDeleted:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncated:
    item_id: str
    audio_end_ms: int
    text: str  # what is left


@dataclass(frozen=True, slots=True)
class Partial:
    """What the person has said so far, while they speak."""

    item_id: str
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Transcribed:
    item_id: str
    text: str
    seconds: float  # of sound


@dataclass(frozen=True, slots=True)
class TranscriptionFailed:
    item_id: str
    message: str


@dataclass(frozen=True, slots=True)
class ReplyCreated:
    response_id: str
    call: CallSettings  # as they are for this reply
    metadata: Mapping[str, str] | None = None
    in_conversation: bool = True  # False: its items never enter the history


@dataclass(frozen=True, slots=True)
class ReplyItemAdded:
    """The reply's next item exists: what it says (with its one content part), or a function's call."""

    response_id: str
    index: int  # of the reply's items
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of the arguments of a function's call."""

    response_id: str
    index: int
    item: Item
    text: str


@dataclass(frozen=True, slots=True)
class ReplyItemDone:
    response_id: str
    index: int
    item: Item
    previous_id: str | None


@dataclass(frozen=True, slots=True)
class PhraseStarted:
    """A phrase begins to be heard: its words, for captions (`viva.phrase`)."""

    response_id: str
    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """More of the reply's text has begun to be heard: the next word, with its space."""

    response_id: str
    item_id: str
    text: str
    phrase_start: int  # where in the phrase's text this word begins


@dataclass(frozen=True, slots=True)
class Shapes:
    """Mouth shapes about to be heard (`viva.viseme`)."""

    out_at: int  # samples at VOICE_RATE that the playout has handed out before these
    shapes: tuple[tuple[int, str, float], ...]  # ms after out_at, shape, weight


@dataclass(frozen=True, slots=True)
class AudioStarted:
    response_id: str


@dataclass(frozen=True, slots=True)
class AudioStopped:
    """Everything of the reply has been handed out."""

    response_id: str


@dataclass(frozen=True, slots=True)
class AudioCleared:
    """The reply was silenced; what had not been heard never will be."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ReplyDone:
    """Always comes after ReplyCreated, and after ReplyItemDone of all items."""

    response_id: str
    status: ReplyStatus
    reason: str | None = None  # "turn_detected", "client_cancelled", "max_output_tokens", error's text
    items: tuple[Item, ...] = ()
    usage: Usage = NOTHING_USED


@dataclass(frozen=True, slots=True)
class TurnMeasured:
    """How one answer came about (`viva.turn_metrics`); ms since the end of speech, None: did not happen."""

    item_id: str
    response_id: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something failed; the call goes on (`error`, and a line on the page)."""

    stage: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation came to its end by itself (the person said stop, the interview is over)."""

    why: str


Event = (
    FloorChanged
    | SpeechStarted
    | SpeechStopped
    | TimedOut
    | Committed
    | InputCleared
    | ItemAdded
    | ItemDone
    | ItemDeleted
    | ItemTruncated
    | Partial
    | Transcribed
    | TranscriptionFailed
    | ReplyCreated
    | ReplyItemAdded
    | CallArguments
    | ReplyItemDone
    | PhraseStarted
    | Heard
    | Shapes
    | AudioStarted
    | AudioStopped
    | AudioCleared
    | ReplyDone
    | TurnMeasured
    | Trouble
    | Ended
    | Spent
    | FellOver
)
