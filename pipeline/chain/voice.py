"""Several voices as one. One that breaks off in mid-phrase is followed by the next, with its own style, from
the first word that was not handed on whole.

Where a voice marks its words, the sound of a word is handed on when all of it is there, so that no word is
lost or said twice. Where it does not, the place is an estimate, by how fast that voice has spoken until now;
it is rounded down to the beginning of a word, as a word said twice is better than one lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from pipeline import modes
from pipeline.caption import word_starts
from pipeline.chain.links import Chain, Link, Links
from pipeline.chain.relay import Attempt, Relay
from pipeline.providers import Expecting, Speech, VoicePhoneme, VoiceStyle, VoiceWord

# Of a voice that has not been heard yet, at its normal pace: a slow one's.
CHARACTERS_PER_S = 11.0
SYLLABLES_PER_S = 4.0  # where a character is one
SYLLABIC = ("zh", "ja", "ko")
TELLING = 20  # characters of a phrase that shows how fast a voice speaks
NEWER = 0.3  # share of the newest phrase in that


class ChainVoice(Chain):
    """See `pipeline.providers.Voice`. A style is that of the first one: the others get theirs from its mode
    and persona, at the same speed."""

    def __init__(self, links: Links) -> None:
        super().__init__(links)
        self._paces: dict[tuple[str, str], float] = {}  # (link, language) -> characters/s at a rate of 1.0

    def knows(self, language: str) -> bool:
        return any(link.provider.knows(language) for link in self._links.all)

    def expect(self, *, language: str, style: VoiceStyle) -> None:
        """See `pipeline.providers.Expecting`: for whoever would speak now."""
        _, (link, *_) = self._links.of_language(language)
        if isinstance(link.provider, Expecting):
            own = style_of(link, self._links.all[0], style, language)
            link.provider.expect(language=language, style=own)

    async def speak(self, text: str, *, language: str, style: VoiceStyle) -> AsyncGenerator[Speech, None]:
        """One that does not know the language is passed over."""
        phrase = _Phrase(self._links, self._paces, text, language, style)
        async with aclosing(phrase.pieces()) as pieces:
            async for speech in pieces:
                for whole in phrase.take(speech):
                    yield whole
        for whole in phrase.end():
            yield whole


def style_of(link: Link, first: Link, style: VoiceStyle, language: str) -> VoiceStyle:
    """For that link, where `style` is the first one's: the same persona's, at the call's own speed."""
    if link is first:
        return style
    if not style.mode:
        return VoiceStyle(rate=style.rate)
    usual = modes.style(style.mode, style.persona, first.name, language).rate
    own = modes.style(style.mode, style.persona, link.name, language)
    return replace(own, rate=own.rate * style.rate / usual)


@dataclass
class _Part:
    """What one link says of a phrase. Samples are at its rate, since its first one."""

    link: Link
    start: int  # character of the phrase at which it begins
    begins_s: float  # of the phrase's sound, at which it begins
    rate: int = 0  # Hz
    held: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    given: int = 0  # samples
    marked: bool = False  # the words are the voice's own, not guessed
    words: list[VoiceWord] = field(default_factory=list)  # all that are known so far
    told: int = 0  # of them
    phonemes: list[VoicePhoneme] = field(default_factory=list)  # that were not told


class _Phrase(Relay[Speech]):
    """One of them, on its way."""

    def __init__(
        self,
        links: Links,
        paces: dict[tuple[str, str], float],
        text: str,
        language: str,
        style: VoiceStyle,
    ) -> None:
        self._text = text
        self._language = language
        self._style = style
        self._paces = paces
        self._part: _Part | None = None
        self._marked = True  # its first sound had marks, so that the rest needs some too
        self._given_s = 0.0  # of sound, in all
        self._since_s = 0.0  # when the first of it was handed on
        super().__init__(links, *links.of_language(language), self._speak)

    def _speak(self, link: Link) -> AsyncIterator[Speech]:
        stream: AsyncIterator[Speech] = link.provider.speak(
            self._text[self._left() :], language=self._language, style=self._style_of(link)
        )
        return stream

    def _style_of(self, link: Link) -> VoiceStyle:
        return style_of(link, self._links.all[0], self._style, self._language)

    # ------------------------------------------------------------ relaying

    def may_fail(self) -> bool:
        return self._part is not None and not any(letter.isalnum() for letter in self._text[self._left() :])

    def owed_since_s(self, asked_s: float) -> float | None:
        """Not before what was handed on can have been heard."""
        heard_by_s = self._since_s + self._given_s if self._given_s else 0.0
        return max(asked_s, heard_by_s - self._links.least_late_s)

    def late_after_s(self, late: Attempt[Speech], following: Link) -> float:
        """A model on this machine that is late seldom hangs: it has much to do, a longer sentence, another
        call. In the middle of a talk a pause is better than another's voice."""
        after_s = super().late_after_s(late, following)
        unhurried = getattr(late.link.provider, "unhurried", False)
        return max(after_s, self._links.untried_late_s) if unhurried else after_s

    # ------------------------------------------------------------ sound

    def take(self, speech: Speech) -> list[Speech]:
        """Of a piece that has come, and of those before it, what can be handed on."""
        assert self.at_work is not None, "it has just spoken"
        if self._part is None or self._part.link is not self.at_work.link:
            self._part = self._new_part(self.at_work.link, speech)
        part = self._part
        part.words += speech.words
        part.marked = part.marked or bool(speech.words)
        part.phonemes += speech.phonemes
        part.held = np.concatenate([part.held, speech.samples])
        there = part.given + len(part.held)
        if not part.marked:
            return self._hand_on(there)
        return self._hand_on(max((word.at for word in part.words if word.at <= there), default=0))

    def end(self) -> list[Speech]:
        """What was held, where the stream has ended well."""
        part = self._part
        if part is None:
            return []
        speech = self._hand_on(part.given + len(part.held))
        said = len(self._text) - part.start
        if said >= TELLING and part.given:
            pace = said * part.rate / part.given / self._style_of(part.link).rate
            key = part.link.name, self._language
            self._paces[key] = (1 - NEWER) * self._paces.get(key, pace) + NEWER * pace
        return speech

    def _new_part(self, link: Link, speech: Speech) -> _Part:
        part = _Part(link, self._left(), self._given_s, speech.rate)
        if self._part is None:
            self._marked = bool(speech.words)
            self._since_s = asyncio.get_running_loop().time()
        elif self._marked and not speech.words:
            part.words = self._guessed(part)
        return part

    def _guessed(self, part: _Part) -> list[VoiceWord]:
        text, pace = self._text[part.start :], self._pace(part.link)
        starts = [*word_starts(text, self._language), len(text)]
        return [VoiceWord(int(first / pace * part.rate), first, last) for first, last in pairwise(starts)]

    def _hand_on(self, until: int) -> list[Speech]:
        """The sound up to there, with the marks in it."""
        part = self._part
        assert part is not None
        count = until - part.given
        if count <= 0:
            return []
        shift = round(part.begins_s * part.rate)
        ready = [word for word in part.words[part.told :] if word.at < until]
        phonemes = [each for each in part.phonemes if each.at < until]
        speech = Speech(
            part.held[:count],
            part.rate,
            tuple(VoiceWord(shift + one.at, part.start + one.start, part.start + one.end) for one in ready),
            tuple(replace(each, at=shift + each.at) for each in phonemes),
        )
        part.held = part.held[count:]
        part.given = until
        part.told += len(ready)
        part.phonemes = part.phonemes[len(phonemes) :]
        self._given_s += count / part.rate
        return [speech]

    def _left(self) -> int:
        """The first character of what is still to be said."""
        part = self._part
        if part is None:
            return 0
        if part.marked:
            begun = [word.start for word in part.words if word.at >= part.given]
            return part.start + min(begun, default=len(self._text) - part.start)
        said = int(part.given / part.rate * self._pace(part.link))
        starts = word_starts(self._text[part.start :], self._language)
        if said >= len(self._text) - part.start:
            return len(self._text)
        return part.start + max((start for start in starts if start <= said), default=0)

    def _pace(self, link: Link) -> float:
        """Characters a second."""
        slow = SYLLABLES_PER_S if self._language in SYLLABIC else CHARACTERS_PER_S
        usual = self._paces.get((link.name, self._language), slow)
        return usual * self._style_of(link).rate
