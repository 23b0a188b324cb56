"""Several recognisers as one.

The sound of an utterance is kept until it is over: whoever takes over hears all of it, and answers the pauses
that nobody has answered yet. So partials may change, and no final comes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from pipeline.audio import AudioChunk
from pipeline.chain.links import Chain, Link, Links
from pipeline.chain.relay import Attempt, Relay
from pipeline.providers import Pause, Transcript


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


class _Hearing(Relay[Transcript]):
    """One utterance."""

    early = True

    def __init__(self, links: Links, language: str, hints: Sequence[str]) -> None:
        self._language = language
        self._hints = hints
        self._sound: list[AudioChunk | Pause | None] = []  # all of it so far; None: the end
        self._grown = asyncio.Event()
        self._pauses_s: list[float] = []  # when each Pause came; without one, when the sound ended
        self._finals = 0  # of them that are answered
        self._shown = 0  # characters of the newest partial
        self._catches_up: Attempt[Transcript] | None = None  # it took over, and has not heard so much yet
        self._heard: Attempt[Transcript] | None = None  # whose words were the newest
        super().__init__(links, *links.of_language(language), self._transcribe)

    # ------------------------------------------------------------ sound

    async def listen(self, audio: AsyncIterator[AudioChunk | Pause]) -> None:
        """Takes the sound as it comes, whoever is at work."""
        loop = asyncio.get_running_loop()
        try:
            async for piece in audio:
                self._add(piece)
                if isinstance(piece, Pause):
                    self._pauses_s.append(loop.time())
                    await self.look_again()
        finally:
            if self._sound and not self._pauses_s:
                self._pauses_s.append(loop.time())
            self._add(None)
        await self.look_again()

    def _add(self, piece: AudioChunk | Pause | None) -> None:
        self._sound.append(piece)
        self._grown.set()
        self._grown = asyncio.Event()

    def _transcribe(self, link: Link) -> AsyncIterator[Transcript]:
        audio = self._from_the_start(self._finals)
        stream: AsyncIterator[Transcript] = link.provider.transcribe(
            audio, language=self._language, hints=self._hints
        )
        return stream

    async def _from_the_start(self, answered: int) -> AsyncGenerator[AudioChunk | Pause, None]:
        """All the sound, and of the pauses those that were not answered before."""
        at = pauses = 0
        while True:
            while at == len(self._sound):
                await self._grown.wait()
            piece = self._sound[at]
            at += 1
            if piece is None:
                return
            if isinstance(piece, Pause):
                pauses += 1
                if pauses <= answered:
                    continue
            yield piece

    # ------------------------------------------------------------ words

    def decides(self, piece: Transcript) -> bool:
        return piece.kind == "final" and self._finals < len(self._pauses_s)

    def owed_since_s(self, asked_s: float) -> float | None:
        return self._pauses_s[self._finals] if self._finals < len(self._pauses_s) else None

    def late_after_s(self, late: Attempt[Transcript], following: Link) -> float:
        return self._links.late_after_s(late.link)  # each final is work of its own

    def owes(self) -> bool:
        return self._sound[-1:] != [None] or self._finals < len(self._pauses_s)

    def may_fail(self) -> bool:
        return not self.owes()

    def answers(self, transcript: Transcript, full_pass: bool) -> list[Transcript]:
        """What is said of it to whoever listens: partials do not shrink while one that took over catches up,
        and a full one is made where its link makes none."""
        assert self.at_work is not None, "it has just said something"
        if self._heard is not self.at_work:
            self._heard = self._catches_up = self.at_work
        match transcript.kind:
            case "partial":
                if self._catches_up is not None and len(transcript.text) < self._shown:
                    return []
                self._shown, self._catches_up = len(transcript.text), None
                return [transcript]
            case "final":
                self._finals = min(self._finals + 1, len(self._pauses_s))
                self._shown = 0
                if full_pass and not self.at_work.link.provider.full_pass:
                    return [transcript, replace(transcript, kind="full")]
                return [transcript]
            case "full":
                return [transcript]
