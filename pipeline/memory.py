"""What a mind still knows of a long conversation: its newest messages, and notes on what was said before.

A request has the system prompt, the notes (in a message of the user's), and all messages that the notes do
not cover. Those are let grow to one and a half times `history_messages` (or three quarters of
`history_tokens`); then the oldest of them are summarised in the background, and leave when the notes have
come. So the beginning of a request stays the same for many turns, which vendors cache, and nothing leaves
that was not noted.

Notes are taken when a reply has been generated, while the person listens to it: a model of one's own does one
thing at a time. They give way to the next reply once; a mind that fails or takes no notes forgets.
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
You keep the notes of a spoken conversation in progress. You are given the notes so far and what was said
since. Write the new notes, in the language of the conversation, as short lines and at most {words} words.
Keep every name, number, date, place and fact that a speaker told about themselves, what was asked and
answered and how well, promises, wishes, and mistakes of language that were corrected. Leave out small talk.
Write the notes only."""
WORDS_A_TOKEN = 0.6  # fewer than models have, so that the notes end before they are cut
NOTES_WITHIN_S = 60.0
FAILURES = 2  # in a row; then what should have been noted is forgotten
SPEAKERS = {"user": "Person", "assistant": "You", "tool": "Tool"}

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None] | None"]


class Memory:
    """One call's.

    Args:
        mind: that takes the notes.
        spawn: starts a task in the call's group.
    """

    def __init__(self, mind: Mind, dialogue: Dialogue, settings: LlmSettings, spawn: Spawn) -> None:
        self.notes = ""
        self.covered: set[str] = set()  # ids of items that are in the notes, or forgotten
        self._mind = mind
        self._dialogue = dialogue
        self._settings = settings
        self._spawn = spawn
        self._noting: asyncio.Task[None] | None = None
        self._gave_way = False
        self._failures = 0

    def messages(self, system: str, given: Sequence[Item] | None = None) -> list[Message]:
        """A request's: never more than twice `history_messages`, nor than `history_tokens`.

        Args:
            given: items in place of the history.
        """
        llm = self._settings
        notes: list[Message] = []
        if self.notes and given is None:  # a user's message: they are made of what a person said
            notes = [Message("user", f"{HEADING}\n{self.notes}")]
        room = llm.history_tokens - estimate_all(notes)
        prompt, *newest = self._dialogue.messages(
            system, 2 * llm.history_messages, given, covered=self.covered, tokens=room
        )
        return [prompt, *notes, *newest]

    def mind_is_needed(self) -> None:
        """For a reply: notes that are being taken give way, once."""
        if self._noting is not None and not self._gave_way:
            self._gave_way = True
            self._noting.cancel()

    def mind_is_free(self, call: CallSettings) -> None:
        """A reply has been generated. If there is much that the notes do not cover, they are taken now."""
        if self._noting is not None:
            return
        due = self._due()
        if due:
            self._noting = self._spawn(self._note(due, call), "notes")
            if self._noting is not None:
                self._noting.add_done_callback(self._noted)

    def _due(self) -> list[Exchange]:
        """The oldest exchanges that are to be noted: none, or so many that there is room for a while."""
        llm = self._settings
        exchanges = self._dialogue.exchanges(self.covered)
        left = sum(len(one.messages) for one in exchanges)
        tokens = sum(one.tokens for one in exchanges)
        many, much = left > llm.history_messages * 3 // 2, tokens > llm.history_tokens * 3 // 4
        due: list[Exchange] = []
        for one in exchanges[:-1]:
            if not (many and left > llm.history_messages) and not (much and tokens > llm.history_tokens // 2):
                break
            due.append(one)
            left -= len(one.messages)
            tokens -= one.tokens
        return due

    async def _note(self, due: Sequence[Exchange], call: CallSettings) -> None:
        try:
            async with asyncio.timeout(NOTES_WITHIN_S):
                notes = await self._summary(due, call)
        except (ProviderError, TimeoutError) as error:
            log.warning("no notes were taken: %s", getattr(error, "message", "the mind took too long"))
            self._failures += 1
            if self._failures < FAILURES:
                return
            notes = ""
        self._failures, self._gave_way = 0, False
        self.notes = notes or self.notes
        self.covered.update(item_id for one in due for item_id in one.item_ids)

    async def _summary(self, due: Sequence[Exchange], call: CallSettings) -> str:
        """ "": the mind is none that takes notes."""
        most = self._settings.notes_tokens
        if not most:
            return ""
        said = "\n".join(
            f"{SPEAKERS[message.role]}: {message.text}"
            for one in due
            for message in one.messages
            if message.role in SPEAKERS and message.text
        )
        before = f"Notes so far:\n{self.notes or '(none)'}\n\nSaid since:\n"
        messages = [
            Message("system", PROMPT.format(words=int(most * WORDS_A_TOKEN))),
            Message("user", before + said),
        ]
        options = ReplyOptions(call.language, call.mode, temperature=0.0, max_tokens=most, task="side")
        written: list[str] = []
        async with aclosing(self._mind.reply(messages, options)) as stream:  # type: ignore[type-var]
            async for piece in stream:
                if isinstance(piece, str | Token):
                    written.append(piece if isinstance(piece, str) else piece.text)
                if estimate("".join(written)) > 2 * most:  # a model that knows no bounds
                    break
        return "".join(written).strip()

    def _noted(self, _: asyncio.Task[None]) -> None:
        self._noting = None
