"""Several recognisers as one.

The sound of an utterance is kept until it is over: whoever takes over hears what came after the last pause
that was answered, and says the words of that answer before its own. So partials may change, and no final
comes twice.

One that costs nothing hears along with a vendor: what is said in one go for so long that it could not soon
catch up, and what ends in a pause that the vendor is about to be late with. Nobody listens to it before its
turn.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.chain.links import Chain, Link, Links
from pipeline.chain.relay import Attempt, Relay
from pipeline.languages import UNSPACED
from pipeline.providers import Pause, Transcript

AHEAD_S = 0.35  # before its turn
ALONG_S = 4.0  # of speech without an answer; an embedded recogniser needs half a second for that
LATEST_S = 5.0  # however slow it usually is: the next one needs time before the floor gives the turn up


class ChainEars(Chain):
    """See `pipeline.providers.Recognizer`.

    It has a full pass if one of them has: for the others the final stands as the full one. It says that it
    punctuates if one of them does: of one that does not, no text ends in a stop that could be misread."""

    def __init__(self, links: Links) -> None:
        super().__init__(links)
        self.full_pass = any(link.provider.full_pass for link in links.all)
        self.punctuates = any(link.provider.punctuates for link in links.all)

    def knows(self, language: str) -> bool:
        return any(link.provider.knows(language) for link in self._links.all)

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncGenerator[Transcript, None]:
        """One that does not know the language is passed over."""
        hearing = _Hearing(self._links, language, hints)
        listening = asyncio.create_task(hearing.listen(audio), name="stt chain")
        try:
            async with aclosing(hearing.pieces()) as transcripts:
                async for transcript in transcripts:
                    for one in hearing.answers(transcript, self.full_pass):
                        yield one
            await listening  # what it raises is the microphone's
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """A pause, or another place in an utterance."""

    at: int  # pieces of sound and pauses before it, itself included
    heard_ms: int  # of sound before it
    came_s: float  # by the loop's clock


class _Hearing(Relay[Transcript]):
    """One utterance."""

    early = True

    def __init__(self, links: Links, language: str, hints: Sequence[str]) -> None:
        self._language = language
        self._hints = hints
        self._sound: list[AudioChunk | Pause | None] = []  # all of it so far; None: the end
        self._grown = asyncio.Event()
        self._pauses: list[_Place] = []  # without one, the sound's end
        self._heard_ms = 0  # of sound
        self._finals = 0  # pauses that are answered
        self._answer = Transcript("final", "")  # to the last of them
        self._before: dict[Link, tuple[Transcript, int]] = {}  # what each stands behind: words, ms of sound
        self._shown = 0  # characters of the newest partial
        self._catches_up: Attempt[Transcript] | None = None  # it took over, and has not heard so much yet
        self._heard: Attempt[Transcript] | None = None  # whose words were the newest
        super().__init__(links, *links.of_language(language), self._transcribe)

    # ------------------------------------------------------------ sound

    async def listen(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        """Takes the sound as it comes, whoever is at work."""
        try:
            async for piece in audio:
                long = self._unanswered_s() >= ALONG_S
                self._add(piece)
                if isinstance(piece, Pause) or (not long and self._unanswered_s() >= ALONG_S):
                    await self.look_again()
        finally:
            if self._sound and not self._pauses:
                self._pauses.append(self._here())
            self._add(None)
        await self.look_again()

    def _add(self, piece: AudioChunk | Pause | None) -> None:
        self._sound.append(piece)
        if isinstance(piece, Pause):
            self._pauses.append(self._here())
        elif piece is not None:
            self._heard_ms += 1000 * len(piece.samples) // MIC_RATE
        self._grown.set()
        self._grown = asyncio.Event()

    def _here(self) -> _Place:
        return _Place(len(self._sound), self._heard_ms, asyncio.get_running_loop().time())

    def _answered(self) -> _Place:
        """The last pause that was answered, or the beginning."""
        return self._pauses[self._finals - 1] if self._finals else _Place(0, 0, 0.0)

    def _unanswered_s(self) -> float:
        """Of sound."""
        return (self._heard_ms - self._answered().heard_ms) / 1000

    def _transcribe(self, link: Link) -> AsyncIterator[Transcript]:
        answered = self._answered()
        self._before[link] = self._answer, answered.heard_ms
        audio = self._sound_from(answered.at)
        stream: AsyncIterator[Transcript] = link.provider.transcribe(
            audio, language=self._language, hints=self._hints
        )
        return stream

    async def _sound_from(self, at: int) -> AsyncGenerator[AudioChunk | Pause, None]:
        while True:
            while at == len(self._sound):
                await self._grown.wait()
            piece = self._sound[at]
            at += 1
            if piece is None:
                return
            yield piece

    # ------------------------------------------------------------ words

    def decides(self, piece: Transcript) -> bool:
        return piece.kind == "final" and self._finals < len(self._pauses)

    def owed_since_s(self, asked_s: float) -> float | None:
        return self._pauses[self._finals].came_s if self._finals < len(self._pauses) else None

    def late_after_s(self, late: Attempt[Transcript], following: Link) -> float:
        return min(self._links.late_after_s(late.link), LATEST_S)  # each final is work of its own

    def ahead_s(self, late_s: float) -> float:
        """Beside one on this machine it would only be in its way."""
        at_work = self._running[-1].link
        if not _charged(at_work) or _charged(self._waiting[0]):
            return math.inf
        if self._unanswered_s() >= ALONG_S:
            return 0.0
        since_s = self.owed_since_s(0.0)
        return math.inf if since_s is None else max(since_s + at_work.pace.usual_s, late_s - AHEAD_S)

    def owes(self) -> bool:
        return self._sound[-1:] != [None] or self._finals < len(self._pauses)

    def may_fail(self) -> bool:
        return not self.owes()

    def answers(self, transcript: Transcript, full_pass: bool) -> list[Transcript]:
        """What is said of it to whoever listens: partials do not shrink while one that took over catches up,
        and a full one is made where its link makes none."""
        assert self.at_work is not None, "it has just said something"
        if self._heard is not self.at_work:
            self._heard = self._catches_up = self.at_work
        transcript = _behind(*self._before[self.at_work.link], transcript)
        match transcript.kind:
            case "partial":
                if self._catches_up is not None and len(transcript.text) < self._shown:
                    return []
                self._shown, self._catches_up = len(transcript.text), None
                return [transcript]
            case "final":
                self._finals = min(self._finals + 1, len(self._pauses))
                self._shown, self._answer = 0, transcript
                if full_pass and not self.at_work.link.provider.full_pass:
                    return [transcript, replace(transcript, kind="full")]
                return [transcript]
            case "full":
                return [transcript]


def _charged(link: Link) -> bool:
    return getattr(link.provider, "charges", None) is not None


def _behind(before: Transcript, heard_ms: int, transcript: Transcript) -> Transcript:
    """With the words that were answered before, in so many ms of sound."""
    if not heard_ms:
        return transcript
    gap = " " if before.text and transcript.text and transcript.language not in UNSPACED else ""
    start = len(before.text + gap)
    words = tuple(
        replace(word, start_ms=word.start_ms + heard_ms, end_ms=word.end_ms + heard_ms)
        for word in transcript.words
    )
    return replace(
        transcript,
        text=before.text + gap + transcript.text,
        sure=start + transcript.sure if transcript.kind == "partial" else transcript.sure,
        words=(*before.words, *words),
    )
