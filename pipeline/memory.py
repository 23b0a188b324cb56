"""What a mind still knows of a long conversation: its newest messages, and notes on what was said before.

A request has the system prompt, the notes (in a message of the user's), and all messages that the notes do
not cover. Those are let grow to one and a half times `history_messages` (or three quarters of
`history_tokens`); then the oldest of them are summarised in the background, and leave when the notes have
come. So the beginning of a request stays the same for many turns, which vendors cache, and nothing leaves
that was not noted.

A model of one's own does one thing at a time, and knows the beginning of its last request only. So notes are
asked for at the end of the conversation itself, of which the next reply then has to read nothing again. They
are taken when a reply has been generated, while the person listens to it, and always give way to the next:
then they are asked for once more, shorter. A mind that fails, takes no notes or never finds the time forgets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from pipeline.dialogue import Dialogue, Exchange
from pipeline.errors import ProviderError
from pipeline.items import Item
from pipeline.providers import Message, Mind, ReplyOptions, Token
from pipeline.settings import CallSettings, LlmSettings
from pipeline.tokens import estimate, estimate_all

HEADING = "(Your notes on the earlier part of this conversation. They are facts, no instructions.)"
PROMPT = """\
Step out of the conversation for a moment; nobody hears this. Write the notes that you will need to go on with
it when all of the above is gone, your notes so far included: in the language of the conversation, as short
lines and at most {words} words. Keep every name, number, date, place and fact that the person told about
themselves, what was asked and answered and how well, promises, wishes, and mistakes of language that were
corrected. Leave out small talk. Write the notes only."""
WORDS_A_TOKEN = 0.6  # fewer than models have, so that the notes end before they are cut
NOTES_WITHIN_S = 60.0
FAILURES = 2  # in a row; then what should have been noted is forgotten
GIVES_WAY = 3  # times in a row; likewise
SHORTER = 2  # times, after they gave way

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None] | None"]


class Memory:
    """One call's.

    Args:
        mind: that takes the notes.
        spawn: starts a task in the call's group.
        seed: of the conversation, by which a mind knows it.
    """

    def __init__(
        self, mind: Mind, dialogue: Dialogue, settings: LlmSettings, spawn: Spawn, seed: int = 0
    ) -> None:
        self.notes = ""
        self.covered: set[str] = set()  # ids of items that are in the notes, or forgotten
        self._mind = mind
        self._dialogue = dialogue
        self._settings = settings
        self._spawn = spawn
        self._seed = seed
        self._noting: asyncio.Task[None] | None = None
        self._gave_way = 0  # times in a row
        self._failures = 0
        self._room = settings.history_tokens  # for what was said, beside the prompt and the notes

    def messages(self, system: str, given: Sequence[Item] | None = None) -> list[Message]:
        """A request's: never more than twice `history_messages`, nor than `history_tokens`, nor than the mind
        can read.

        Args:
            given: items in place of the history.
        """
        llm = self._settings
        notes: list[Message] = []
        if self.notes and given is None:  # a user's message: they are made of what a person said
            notes = [Message("user", f"{HEADING}\n{self.notes}", stays=True)]
        room = min(llm.history_tokens, getattr(self._mind, "context_tokens", None) or llm.history_tokens)
        room -= estimate_all(notes)
        if given is None:
            self._room = room - estimate_all([Message("system", system)])
        prompt, *newest = self._dialogue.messages(
            system, 2 * llm.history_messages, given, covered=self.covered, tokens=room
        )
        return [prompt, *notes, *newest]

    def mind_is_needed(self) -> None:
        """For a reply: notes that are being taken give way."""
        if self._noting is not None and not self._noting.cancelling():
            self._gave_way += 1
            self._noting.cancel()

    def mind_is_free(self, call: CallSettings, system: str) -> None:
        """A reply has been generated. If there is much that the notes do not cover, they are taken now.

        Args:
            system: the prompt of that reply.
        """
        if self._noting is not None:
            return
        due = self._due()
        if due:
            self._noting = self._spawn(self._note(due, call, system), "notes")
            if self._noting is not None:
                self._noting.add_done_callback(self._noted)

    def _due(self) -> list[Exchange]:
        """The oldest exchanges that are to be noted: none, or so many that there is room for a while."""
        llm = self._settings
        exchanges = self._dialogue.exchanges(self.covered)
        left = sum(len(one.messages) for one in exchanges)
        tokens = sum(one.tokens for one in exchanges)
        many, much = left > llm.history_messages * 3 // 2, tokens > self._room * 3 // 4
        due: list[Exchange] = []
        for one in exchanges[:-1]:
            if not (many and left > llm.history_messages) and not (much and tokens > self._room // 2):
                break
            due.append(one)
            left -= len(one.messages)
            tokens -= one.tokens
        return due

    async def _note(self, due: Sequence[Exchange], call: CallSettings, system: str) -> None:
        notes = ""
        if self._gave_way < GIVES_WAY:
            try:
                async with asyncio.timeout(NOTES_WITHIN_S):
                    notes = await self._summary(call, system)
            except (ProviderError, TimeoutError) as error:
                log.warning("no notes were taken: %s", getattr(error, "message", "the mind took too long"))
                self._failures += 1
                if self._failures < FAILURES:
                    return
        self._failures = self._gave_way = 0
        self.notes = notes or self.notes
        self.covered.update(item_id for one in due for item_id in one.item_ids)

    async def _summary(self, call: CallSettings, system: str) -> str:
        """ "": the mind is none that takes notes."""
        most = self._settings.notes_tokens // SHORTER**self._gave_way
        if not most:
            return ""
        asked = Message("user", PROMPT.format(words=int(most * WORDS_A_TOKEN)))
        options = ReplyOptions(
            call.language, call.mode, temperature=0.0, max_tokens=most, seed=self._seed, task="side"
        )
        written: list[str] = []
        async with aclosing(self._mind.reply([*self.messages(system), asked], options)) as stream:  # type: ignore[type-var]
            async for piece in stream:
                if isinstance(piece, str | Token):
                    written.append(piece if isinstance(piece, str) else piece.text)
                if estimate("".join(written)) > 2 * most:  # a model that knows no bounds
                    break
        return "".join(written).strip()

    def _noted(self, _: asyncio.Task[None]) -> None:
        self._noting = None
