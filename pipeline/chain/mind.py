"""Several minds as one. One that breaks off in mid-reply is followed by the next, which goes on from the last
whole word that was handed on: nothing of the reply is lost or said twice.

A mind that cannot go on from another's words (`continues` is False) says what it has to say after a word of
excuse. What has been called stays called: after a whole function's call nobody is asked again, and the half
of one is never handed on.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from pipeline.chain.links import Chain, Link, Links
from pipeline.chain.relay import Attempt, Relay
from pipeline.errors import ProviderError
from pipeline.languages import language_of, say
from pipeline.providers import CutShort, Message, Note, Piece, ReplyOptions, Token, ToolCall, Usage

GO_ON = (
    "(Your reply was cut off by a broken connection after the words above, which were heard. Go on from"
    " exactly there: begin with the next word, repeat nothing, and say nothing about it.)"
)
ENDS = ".!?…。！？।؟"  # of sentences
CLOSING = ",;:)”’»" + ENDS  # follow a word without a space
LAST_WORD = re.compile(r"(.*?)(\s*\S+)\Z", re.DOTALL)  # it may go on in the next piece
FAST_PER_S = 20.0  # characters: no voice speaks faster
MIND = "mind"  # in a note: whose reply it came with


class ChainMind(Chain):
    """See `pipeline.providers.Mind`. Whether it wants the full pass is for the first one to say."""

    def __init__(self, links: Links) -> None:
        super().__init__(links)
        self.wants_full = bool(links.all[0].provider.wants_full)

    @property
    def context_tokens(self) -> int | None:
        """Of the one that is preferred; the others know themselves what is too much for them."""
        tokens: int | None = getattr(self._links.all[0].provider, "context_tokens", None)
        return tokens

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncGenerator[Piece, None]:
        """A side task goes to those only that read words, one after the other."""
        side = options.task == "side"
        readers = any(_continues(link) for link in self._links.all)
        order = self._links.order(lambda link: not (side and readers) or _continues(link))
        said = _Said(language_of(options.language).spaces)

        def begin(link: Link) -> AsyncIterator[Piece]:
            stream: AsyncIterator[Piece]
            if said.text and _continues(link):
                so_far = [Message("assistant", said.text), Message("user", GO_ON)]
                stream = link.provider.reply([*messages, *so_far], options)
            else:
                stream = link.provider.reply(messages, options)
            return stream

        relay = _Reply(self._links, self._links.all[0], order, begin)
        relay.options, relay.said = options, said
        noted = _last_note(messages)
        speaker: Link | None = None
        try:
            async with aclosing(relay.pieces()) as pieces:
                async for piece in pieces:
                    assert relay.at_work is not None, "it has just said something"
                    if relay.at_work.link is not speaker:
                        speaker = relay.at_work.link
                        excuse = "" if _continues(speaker) else say("lost_thread", options.language)[0]
                        said.taken_over(excuse)
                        if noted and _continues(speaker) and noted.get(MIND) != speaker.name:
                            yield Note({**noted, MIND: speaker.name})
                    if isinstance(piece, Note):
                        piece = Note({**piece.data, MIND: speaker.name})
                    for one in said.take(piece):
                        yield one
                    if said.called or (side and said.text):
                        relay.nobody_else()
        except ProviderError:
            if not said.called:
                raise
        else:
            for one in said.end():
                yield one


class _Reply(Relay[Piece]):
    options: ReplyOptions
    said: _Said

    def decides(self, piece: Piece) -> bool:
        return not isinstance(piece, Note | Usage)

    def owed_since_s(self, asked_s: float) -> float | None:
        """Not before what was said can have been heard. For a side task nobody waits."""
        heard_by_s = self.begun_s + len(self.said.text) / FAST_PER_S
        since_s = max(asked_s, heard_by_s - self._links.least_late_s)
        return None if self.options.task == "side" else since_s

    def late_after_s(self, late: Attempt[Piece], following: Link) -> float:
        """One that goes on from nothing would win every race and change the subject: it waits much longer.
        So do all where there are functions: some servers are silent until a call is whole."""
        after_s = super().late_after_s(late, following)
        hurries = _continues(following) and not self.options.tools
        return after_s if hurries else max(after_s, self._links.untried_late_s)


def _continues(link: Link) -> bool:
    return getattr(link.provider, "continues", True)


def _last_note(messages: Sequence[Message]) -> Mapping[str, Any]:
    """What was noted last, by whichever mind: one that notes nothing itself hands it on, but not that the
    conversation has ended."""
    note = next((message.note for message in reversed(messages) if message.note), {})
    return {key: value for key, value in note.items() if key != "ended"}


class _Said:
    """What of one reply was handed on. Args: spaces: the language has some between its words."""

    def __init__(self, spaces: bool) -> None:
        self.text = ""  # handed on, up to a whole word
        self.called = False  # a function's call was handed on, whole
        self._spaces = spaces
        self._held: list[Piece] = []  # the word, or the call, whose end is still to come
        self._joint: str | None = None  # what comes between `text` and the next word; None: nothing
        self._before: list[str] = []  # what one that goes on may say again, the longest first
        self._again = ""  # that it may be saying again

    def taken_over(self, excuse: str) -> None:
        """Another mind goes on: with an excuse, or from the last word."""
        self._held.clear()
        self._again = ""
        if not self.text:
            return
        gap = " " if self._spaces else ""
        ended = self.text.rstrip().endswith(tuple(ENDS))
        self._joint = f"…{gap}{excuse}{gap}" if excuse and not ended else gap
        self._before = [] if excuse or ended else self._endings()

    def _endings(self) -> list[str]:
        """Of the sentence that was broken off, from two words (or four letters) up."""
        sentence = re.split(f"[{re.escape(ENDS)}]", self.text)[-1].strip()
        if not self._spaces:
            return [sentence[at:] for at in range(len(sentence) - 3)]
        starts = [match.start() for match in re.finditer(r"\S+", sentence)]
        return [sentence[at:] for at in starts[:-1]]

    def take(self, piece: Piece) -> list[Piece]:
        """The pieces that can be handed on now."""
        if isinstance(piece, ToolCall):
            before = self._held[-1] if self._held else None
            ready = [] if isinstance(before, ToolCall) and before.id == piece.id else self.rest()
            self._held.append(piece)
            return ready
        if isinstance(piece, CutShort):
            return [*self.rest(), piece]
        if not isinstance(piece, Token | str):
            return [piece]
        text = self._joined(piece.text if isinstance(piece, Token) else piece)
        if not text:
            return []
        last = LAST_WORD.search(text) if self._spaces else None
        if last is None:
            self._held.append(Token(text))
            return self.rest()
        ready = []
        if last[1] or last[2][0].isspace():  # what was held before ends here
            self._held += [Token(last[1])] if last[1] else []
            ready = self.rest()
        self._held.append(Token(last[2]))
        return ready

    def rest(self) -> list[Piece]:
        """What is held: its end has come."""
        held, self._held = self._held, []
        for piece in held:
            if isinstance(piece, ToolCall):
                self.called = True
            elif isinstance(piece, Token):
                self.text += piece.text
        return held

    def end(self) -> list[Piece]:
        """What is held, where the stream has ended well."""
        ready: list[Piece] = []
        if self._again.rstrip() not in self._before:  # it only began like what was said before
            self._before = []
            ready = self.take("")
        return ready + self.rest()

    def _joined(self, text: str) -> str:
        """Of the next words of one that took over: what fits behind what was said, and is new."""
        if self._joint is None:
            return text
        self._again = (self._again + text).lstrip()
        if any(ending.startswith(self._again.rstrip()) for ending in self._before):
            return ""  # it may be saying again what was said
        new = next(
            (
                self._again[len(ending) :]
                for ending in self._before
                if self._again.startswith(ending) and not self._again[len(ending)].isalnum()
            ),
            self._again,
        ).lstrip()
        if not new:
            return ""
        joint, self._joint = self._joint, None
        attached = self.text[-1].isspace() or (new[0] in CLOSING and joint.isspace())
        return (joint.lstrip() if attached else joint) + new
