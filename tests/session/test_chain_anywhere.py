"""Wherever one breaks off: no word of what its chain hands on is lost or comes twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio import MIC_RATE, AudioChunk
from pipeline.providers import (
    Message,
    Pause,
    ReplyOptions,
    Speech,
    Token,
    Transcript,
    VoiceStyle,
    VoiceWord,
)
from tests import virtual
from tests.session.call import Ears, Mind, Voice
from tests.session.chains import DOWN, counted, ears, mind, voice
from tests.sounds import silence

TEXTS = st.lists(
    st.sampled_from("so a cache, keeps what it knows. and then? well".split()), min_size=1, unique=True
).map(" ".join)
CUTS = st.lists(st.integers(1, 6), min_size=1, max_size=8)
RATE = 16_000
LETTER = RATE // 20  # samples of sound for each character


def pieces(text: str, lengths: Sequence[int]) -> list[str]:
    """The text cut up, into pieces of those lengths over and over."""
    cut, number = [], 0
    while text:
        length = lengths[number % len(lengths)]
        cut.append(text[:length])
        text, number = text[length:], number + 1
    return cut


class Telling(Mind):
    """Says a text in such pieces, from where it is told to go on, and dies after some of them."""

    def __init__(self, text: str, lengths: Sequence[int], dies_after: int | None = None) -> None:
        super().__init__([])
        self.text, self.lengths, self.dies_after = text, lengths, dies_after

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Token]:
        said = messages[-2].text if len(messages) > 2 else ""
        for number, piece in enumerate(
            pieces(self.text[len(said) :].lstrip() if said else self.text, self.lengths)
        ):
            if number == self.dies_after:
                raise DOWN
            yield Token(piece)
        if self.dies_after is not None:
            raise DOWN


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, first=CUTS, second=CUTS, dies_after=st.integers(0, 30))
def test_a_reply_is_whole(text: str, first: list[int], second: list[int], dies_after: int) -> None:
    async def reply() -> str:
        chain = mind(Telling(text, first, dies_after), Telling(text, second, 3), Telling(text, first))
        asked = [Message("system", "Be kind."), Message("user", "what is a cache")]
        said = [piece async for piece in chain.reply(asked, ReplyOptions("en", "chat"))]
        return "".join(piece.text for piece in said if isinstance(piece, Token))

    assert virtual.run(reply()) == text


class Speaking(Voice):
    """Each character is a tone of its own, each word marked where it begins; dies after some samples."""

    def __init__(self, block: int, dies_after: int | None = None) -> None:
        super().__init__()
        self.block, self.dies_after = block, dies_after

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncIterator[Speech]:
        sound = np.repeat(np.array([ord(letter) for letter in text], np.int16), LETTER)
        starts = [at for at in range(len(text)) if at == 0 or text[at - 1] == " "]
        for at in range(0, len(sound), self.block):
            if self.dies_after is not None and at >= self.dies_after:
                raise DOWN
            end = at + self.block
            marks = tuple(
                VoiceWord(start * LETTER, start, len(text[start:].split(" ")[0]) + start)
                for start in starts
                if at <= start * LETTER < end
            )
            yield Speech(sound[at:end], RATE, marks)
        if self.dies_after is not None:
            raise DOWN


@settings(max_examples=60, deadline=None)
@given(
    text=TEXTS,
    first=st.integers(100, 9000),
    second=st.integers(100, 9000),
    dies_after=st.integers(0, 60_000),
)
def test_the_sound_of_a_phrase_is_whole(text: str, first: int, second: int, dies_after: int) -> None:
    async def speak() -> tuple[str, list[Any]]:
        chain: Any = voice(Speaking(first, dies_after), Speaking(second))
        spoken = [one async for one in chain.speak(text, language="en", style=VoiceStyle())]
        sound = np.concatenate([one.samples for one in spoken])
        heard = "".join(chr(letter) for letter in sound[LETTER // 2 :: LETTER])
        return heard, [word for one in spoken for word in one.words]

    heard, marks = virtual.run(speak())
    assert heard == text
    assert [text[mark.start : mark.end] for mark in marks] == text.split(" ")
    assert [mark.at for mark in marks] == [mark.start * LETTER for mark in marks]


class Counting(Ears):
    """Its final of a pause is how many pieces of sound it heard; dies after some pieces of anything."""

    def __init__(self, dies_after: int | None = None) -> None:
        super().__init__([])
        self.dies_after = dies_after

    async def transcribe(self, audio: Any, **how: Any) -> AsyncIterator[Transcript]:
        chunks = 0
        async for number, piece in counted(audio):
            if number == self.dies_after:
                raise DOWN
            if isinstance(piece, Pause):
                await asyncio.sleep(0.05)
                yield Transcript("final", str(chunks))
            chunks += isinstance(piece, AudioChunk)


@settings(max_examples=60, deadline=None)
@given(
    pauses=st.lists(st.booleans(), min_size=2, max_size=20),
    first=st.integers(0, 24),
    second=st.integers(0, 24),
)
def test_every_pause_is_answered_once_by_all_that_was_said_before_it(
    pauses: list[bool], first: int, second: int
) -> None:
    async def sound() -> AsyncIterator[AudioChunk | Pause]:
        for pause in [False, *pauses, True]:
            yield Pause() if pause else AudioChunk(silence(20), MIC_RATE, 0)
            await asyncio.sleep(0.02)

    async def finals() -> list[int]:
        chain = ears(Counting(first), Counting(second), Counting())
        heard = [one async for one in chain.transcribe(sound(), language="en")]
        return [sum(map(int, one.text.split())) for one in heard if one.kind == "final"]

    pieces_before = [[False, *pauses][: at + 1].count(False) for at, one in enumerate([*pauses, True]) if one]
    assert virtual.run(finals()) == pieces_before
