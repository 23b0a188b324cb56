"""The embedded mind: a scripted interviewer and conversation partner. It is not a language model.

An interview in English has a question bank and scores answers by key points; everything else is a bank of
openers for talking. All that it remembers travels in the notes of its replies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from pipeline.languages import cue
from pipeline.llm import scripted_interview
from pipeline.llm.scripted_partner import partner
from pipeline.llm.scripted_state import State
from pipeline.providers import Message, Note, ReplyOptions, Token, Usage
from pipeline.settings import Settings

NAME = "scripted"
INTERRUPTED = "[INTERRUPTED]"
WARM_UP = (
    Message("assistant", "", State(asked=["databases.index"], topics=["databases"]).note()),
    Message(
        "user", "An index is a structure in which a database finds rows without reading the whole table."
    ),
)


def missing(settings: Settings) -> str | None:
    """Nothing: it can always run."""
    return None


def create(settings: Settings) -> ScriptedMind:
    return ScriptedMind(settings)


class ScriptedMind:
    """See pipeline.providers.Mind."""

    name = NAME
    detail = "Scripted interviewer. Not a language model."
    wants_full = True  # key points need the words right
    continues = False  # it reads no words but the person's

    def __init__(self, settings: Settings) -> None:
        self._questions = settings.llm.scripted.questions

    async def start(self) -> None:
        """Reads the question bank and warms the matching (about 0.3 s)."""
        await asyncio.to_thread(self._answer, WARM_UP, ReplyOptions("en", "interview"))

    async def close(self) -> None:
        """There is nothing to end."""

    async def reply(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncIterator[Token | Note | Usage]:
        """The next message, word by word, then what to remember."""
        if options.task == "side":
            return
        # Scoring a long answer takes 10 to 30 ms, in which no call's sound may stand still.
        text, note = await asyncio.to_thread(self._answer, messages, options)
        for token in re.findall(r"\s*\S+", text):
            yield Token(token)
        yield Note(note)

    def _answer(self, messages: Sequence[Message], options: ReplyOptions) -> tuple[str, dict[str, object]]:
        last, heard = _last_and_heard(messages, options.language)
        spoken = [message for message in messages if message.role == "assistant" and message.text]
        note = last.note or {} if last is not None else {}
        ours = last is not None and note.get("mind", NAME) == NAME  # a chain notes whose reply it was
        if options.mode != "interview" or options.language != "en":
            return partner(last, heard, options, takes_over=bool(spoken) and not ours)
        if "theta" in note:
            state = State.read(note)
        elif ours or not spoken:
            text, state = scripted_interview.opening(options.persona_name, options.topic, options.seed)
            return text, state.note()
        else:
            ours, state = False, scripted_interview.under_way(options.topic, options.seed)
        if last is not None and ours:
            text = scripted_interview.react(state, heard, last.text, self._questions)
        else:
            text = scripted_interview.take_over(state, heard, self._questions)
        return text, state.note()


def _last_and_heard(messages: Sequence[Message], language: str) -> tuple[Message | None, str]:
    """The last reply that has a note, and what the person said since, without the tag of an interruption.
    Where none has one: since the last reply."""
    replies = [place for place, message in enumerate(messages) if message.role == "assistant"]
    place = next((place for place in reversed(replies) if messages[place].note), None)
    since = messages[max(replies[-1:] if place is None else [place], default=-1) + 1 :]
    said = [message.text.removeprefix(INTERRUPTED).strip() for message in since if message.role == "user"]
    # A session may have granted "let me think" by itself: it is no part of the answer that follows.
    spoken = [text for text in said[:-1] if cue(text, language) != "wait"] + said[-1:]
    return (messages[place] if place is not None else None), " ".join(filter(None, spoken))
