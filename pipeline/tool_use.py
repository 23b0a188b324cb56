"""A mind that uses the server's own tools: it calls, is told what came out, and goes on, in one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from pipeline.providers import Message, Mind, Piece, ReplyOptions, Token, ToolCall
from pipeline.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Working:
    """Tools are about to run: they do as soon as the next piece is asked for, and not before."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class Worked:
    """What they were asked and what came out, for the history."""

    messages: tuple[Message, ...]


MindStream = AsyncIterator[Piece | Working | Worked]


async def thinking(
    mind: Mind, messages: Sequence[Message], options: ReplyOptions, toolbox: Toolbox
) -> MindStream:
    """The mind's reply. Calls of the client's tools are passed on, all others carried out in it, also one of
    a function that nobody has: with an error. Where both are wanted, the client's outputs will continue it.
    Raises ProviderError."""
    theirs = {tool.name for tool in options.tools}  # by the same name, the client's take precedence
    own = {tool.name: tool for tool in toolbox.tools if tool.name not in theirs}
    options = replace(options, tools=(*options.tools, *own.values()))
    messages = list(messages)
    for rounds_left in range(toolbox.rounds, -1, -1):
        calls: dict[str, ToolCall] = {}
        said, handed_on = "", False
        async with aclosing(mind.reply(messages, options)) as stream:  # type: ignore[type-var]
            async for piece in stream:
                if isinstance(piece, ToolCall) and piece.name not in theirs:
                    before = calls[piece.id].arguments if piece.id in calls else ""
                    calls[piece.id] = replace(piece, arguments=before + piece.arguments)
                    continue
                said += piece.text if isinstance(piece, Token) else piece if isinstance(piece, str) else ""
                handed_on = handed_on or isinstance(piece, ToolCall)
                yield piece
        if not calls or not rounds_left:
            return
        asked = tuple(calls.values())
        yield Working(asked)
        outputs = await asyncio.gather(*(toolbox.run(call) for call in asked))
        answers = [
            Message("tool", output, call_id=call.id) for call, output in zip(asked, outputs, strict=True)
        ]
        yield Worked((Message("assistant", "", calls=asked), *answers))
        if handed_on:
            return
        messages += [Message("assistant", said, calls=asked), *answers]
        options = replace(options, tool_choice="auto" if rounds_left > 1 else "none")
