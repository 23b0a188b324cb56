"""What a recogniser, a mind and a voice have to do. `pipeline.choice` loads them by name.

A plug-in is one file, `pipeline/<stage>/<name>.py`, with two functions:

    def missing(settings: Settings) -> str | None    what it lacks to run here, in words; None: nothing
    def create(settings: Settings) -> Recognizer     (or Mind, or Voice); must return at once
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from pipeline.audio import AudioChunk
from pipeline.settings import NamedTool, Tool


class Provider(Protocol):
    """What all three have in common. One object serves all calls at once.

    One that a vendor charges for also has `charges`, see `pipeline.notices.Spent`."""

    name: str  # the plug-in's name, e.g. "pocketsphinx"
    detail: str  # for a person, e.g. "small.en, int8, on this server"

    async def start(self) -> None:
        """Loads what is slow, off the event loop. Raises ProviderError. Calls made before wait for it."""

    async def close(self) -> None:
        """Ends threads, processes and connections."""


# ------------------------------------------------------------------ ears


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_ms: int  # since the utterance's first sample
    end_ms: int
    confidence: float  # 0..1; 1.0 where the recogniser does not say


@dataclass(frozen=True, slots=True)
class Pause:
    """In a stream of audio: the person paused. Say now what was said so far."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said from the utterance's first sample on, always the whole of it.

    partial: may change. final: the answer to a Pause (or the end), as fast as possible.
    full: a better second look at the same audio, where the recogniser has one.
    """

    kind: Literal["partial", "final", "full"]
    text: str
    sure: int = 0  # partial: the first `sure` characters will not change
    words: tuple[Word, ...] = ()
    language: str = "en"


class Recognizer(Provider, Protocol):
    full_pass: bool  # True: each Pause (or the end) brings a `full` after its `final`
    punctuates: bool  # True: it writes full stops and question marks

    def knows(self, language: str) -> bool:
        """Whether it can transcribe that language (ISO 639-1)."""

    def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        """One utterance. Each Pause is answered by one `final` (and by one `full` if `full_pass`, unless
        more audio made it useless); more audio may follow a Pause. After the audio's end (with no audio
        since the last Pause nothing new is owed) the iterator ends when all that is owed was yielded.
        Audio is 16 kHz mono. Raises ProviderError. Closing the iterator frees everything at once."""


# ------------------------------------------------------------------ mind


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the mind wants called, or more of it: the same id again adds to the arguments."""

    id: str
    name: str
    arguments: str  # JSON


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant", "tool"]
    text: str  # a user's interrupted-the-reply message begins with "[INTERRUPTED] "; a tool's: what came out
    note: Mapping[str, Any] | None = None  # what the mind noted with this reply of its own, see Note
    calls: tuple[ToolCall, ...] = ()  # assistant: the outputs of all of them follow at once
    call_id: str = ""  # tool: whose output it is
    stays: bool = False  # stands for older ones, and is among the last to be left out where not all fit


@dataclass(frozen=True, slots=True)
class Token:
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """State a mind wants to find again: JSON values, kept with the reply if that was ever heard.

    A reply may be prepared and thrown away, so a mind must keep no state of a conversation itself."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the vendor counts them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0  # of the input

    def __add__(self, more: Usage) -> Usage:
        return Usage(
            self.input_tokens + more.input_tokens,
            self.output_tokens + more.output_tokens,
            self.cached_tokens + more.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class CutShort:
    """The reply ends here, although the mind had more to say."""

    reason: Literal["max_output_tokens", "content_filter"]


Piece = str | Token | Note | Usage | ToolCall | CutShort  # of a reply; a plain str is a Token


@dataclass(frozen=True, slots=True)
class ReplyOptions:
    language: str  # ISO 639-1
    mode: str  # "interview", "language", "chat"
    topic: str | None = None  # id of a topic of the question bank
    temperature: float = 0.9
    max_tokens: int = 150
    persona_name: str = ""  # for a mind that does not read the system prompt
    seed: int = 0  # the same for the whole conversation, by which it is known; 0: it is beside one
    tools: tuple[Tool, ...] = ()  # functions that it may call
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    # "side": work beside the conversation, such as notes on it: nothing comes of a mind that is no model
    task: Literal["talk", "side"] = "talk"


class Mind(Provider, Protocol):
    wants_full: bool  # True: give it the recogniser's full pass rather than the fast one
    # It may say `continues = False`: it cannot go on in the middle of a reply that another mind has begun.
    # It may have `context_tokens`, estimated: what a request may have at most; None: it is not known.

    def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        """The next message of the assistant, streamed. With no user or assistant message yet: the greeting.

        A mind that knows no tools passes over `options.tools`, and over the messages about them. A call does
        nothing by itself: whoever reads the stream decides whether, and when, it is carried out.
        Raises ProviderError. Closing the iterator closes the stream at the vendor."""


# ------------------------------------------------------------------ voice


@dataclass(frozen=True, slots=True)
class VoiceWord:
    at: int  # samples at the speech's rate since the phrase's first sample
    start: int  # characters of the phrase's text
    end: int


@dataclass(frozen=True, slots=True)
class VoicePhoneme:
    at: int  # samples, likewise
    length: int  # samples
    mnemonic: str  # espeak-ng's


@dataclass(frozen=True, slots=True)
class Speech:
    """The next piece of a phrase's sound. Marks may point into this piece or into a later one."""

    samples: np.ndarray  # int16, shape (n,), mono
    rate: int  # Hz
    words: tuple[VoiceWord, ...] = ()
    phonemes: tuple[VoicePhoneme, ...] = ()


@dataclass(frozen=True, slots=True)
class VoiceStyle:
    voice: str = ""  # the vendor's name of a voice; "": the provider's own choice for the language
    instructions: str = ""  # how to speak, where the vendor takes that
    rate: float = 1.0  # 1.0: the voice's normal pace
    pitch: float = 1.0  # 1.0: the voice's normal pitch, where the provider can
    mode: str = ""  # whose style this is, so that another provider can be given its own: see modes.style
    persona: str = ""


@runtime_checkable
class Expecting(Protocol):
    """A voice that opens beforehand what takes time. No voice has to be one."""

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        """A phrase is likely to follow soon. Returns at once, raises nothing, costs nothing at a vendor."""


class Voice(Provider, Protocol):
    # It may say `unhurried = True`: when it is late, it has much to do, and another one takes over later.

    def knows(self, language: str) -> bool:
        """Whether it can speak that language (ISO 639-1)."""

    def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        """One phrase of speakable text (no Markdown, no emoji), streamed, silence before it trimmed.
        Raises ProviderError. Closing the iterator stops the synthesis."""
