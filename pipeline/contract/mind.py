"""What a mind owes, see `pipeline.providers.Mind`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, get_args

from pipeline.contract.bench import OPTIONS, TALK, Bench, all_of, expect, first_of
from pipeline.contract.checks import check
from pipeline.providers import CutShort, Message, Note, Token, ToolCall, Usage
from pipeline.settings import Language, Mode, Tool

SYSTEM = TALK[:1]
WEATHER = Tool(
    name="weather",
    description="The weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
CALLED = ToolCall("call_1", "weather", '{"city": "Rome"}')
TOGETHER = 4


@check("llm")
async def it_greets_where_nobody_has_spoken_yet(bench: Bench) -> None:
    _well_formed(await all_of(bench.reply(SYSTEM)))


@check("llm")
async def it_answers_what_was_said(bench: Bench) -> None:
    _well_formed(await all_of(bench.reply(TALK)))


@check("llm")
async def it_answers_after_an_interruption(bench: Bench) -> None:
    """A reply of which nothing was heard is empty; what cut it short is marked."""
    talk = [*TALK, Message("assistant", ""), Message("user", "[INTERRUPTED] Stop, another question.")]
    _well_formed(await all_of(bench.reply(talk)))


@check("llm")
async def it_answers_late_in_a_long_talk(bench: Bench) -> None:
    said = [Message("user", "I see."), Message("assistant", "Go on, please.")]
    _well_formed(await all_of(bench.reply([*SYSTEM, *(20 * said), Message("user", "What did I say?")])))


@check("llm")
async def it_answers_in_every_mode(bench: Bench) -> None:
    for mode in get_args(Mode):
        _well_formed(await all_of(bench.reply(TALK, replace(OPTIONS, mode=mode))))


@check("llm")
async def it_answers_in_every_language(bench: Bench) -> None:
    for language in get_args(Language):
        _well_formed(await all_of(bench.reply(TALK, replace(OPTIONS, language=language))))


@check("llm")
async def tools_are_called_or_passed_over(bench: Bench) -> None:
    """A call has an id and a name, and its pieces make up JSON; a mind without tools just answers."""
    pieces = await all_of(bench.reply(TALK, replace(OPTIONS, tools=(WEATHER,))))
    arguments: dict[str, str] = {}
    for piece in pieces:
        if isinstance(piece, ToolCall):
            expect(piece.id and piece.name == WEATHER.name, f"a call of nothing that there is: {piece}")
            arguments[piece.id] = arguments.get(piece.id, "") + piece.arguments
    for written in arguments.values():
        expect(_is_object(written), f"the arguments of a call are no JSON object: {written!r}")
    if not arguments:
        _well_formed(pieces)


@check("llm")
async def what_a_tool_answered_is_taken(bench: Bench) -> None:
    talk = [*TALK, Message("assistant", "", calls=(CALLED,)), Message("tool", "sunny", call_id=CALLED.id)]
    _well_formed(await all_of(bench.reply(talk, replace(OPTIONS, tools=(WEATHER,)))))


@check("llm")
async def its_own_notes_are_taken_back(bench: Bench) -> None:
    """A mind finds its state in the note of its last reply, or nowhere at all."""
    pieces = await all_of(bench.reply(SYSTEM))
    note = next((piece.data for piece in reversed(pieces) if isinstance(piece, Note)), None)
    for state in (note, None, {"of": "another mind"}):
        talk = [*SYSTEM, Message("assistant", _text(pieces), note=state), Message("user", "I like bridges.")]
        _well_formed(await all_of(bench.reply(talk)))


@check("llm")
async def a_reply_that_is_closed_half_way_harms_nobody(bench: Bench) -> None:
    async with aclosing(bench.reply(TALK)) as stream:  # type: ignore[type-var]
        await first_of(stream)
    _well_formed(await all_of(bench.reply(TALK)))


@check("llm")
async def it_answers_many_at_once(bench: Bench) -> None:
    for pieces in await asyncio.gather(*(all_of(bench.reply(TALK)) for _ in range(TOGETHER))):
        _well_formed(pieces)


def _well_formed(pieces: Sequence[Any]) -> None:
    """Text, and everything beside it as the Protocol has it."""
    for number, piece in enumerate(pieces):
        match piece:
            case str() | Token() | ToolCall():
                pass
            case Note(data):
                expect(_is_object(_json(data)), f"a note is no JSON: {data!r}")
            case Usage(asked, answered, cached):
                expect(min(asked, answered, cached) >= 0, f"it used less than nothing: {piece}")
                expect(cached <= asked, f"more tokens were cached than asked: {piece}")
            case CutShort():
                expect(number == len(pieces) - 1, "something follows where it was cut short")
            case _:
                expect(False, f"{type(piece).__name__} is no piece of a reply")
    expect(_text(pieces).strip(), "it said nothing")


def _text(pieces: Sequence[Any]) -> str:
    words = (piece.text if isinstance(piece, Token) else piece for piece in pieces)
    return "".join(word for word in words if isinstance(word, str))


def _json(data: object) -> str:
    try:
        return json.dumps(dict(data))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return ""


def _is_object(written: str) -> bool:
    try:
        return isinstance(json.loads(written), dict)
    except ValueError:
        return False
