"""What a stranger sends cannot forge a line of the log."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.logs import OneLine, OneObject, about, escaped


def entry(
    message: str, *arguments: object, failed: bool = False, form: type[logging.Formatter] = OneLine
) -> str:
    record = logging.LogRecord("viva", logging.ERROR, "x.py", 1, message, arguments, None)
    if failed:
        try:
            raise ValueError(*arguments)
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
    return form().format(record)


@pytest.mark.parametrize(
    "path",
    [
        "/x\n2026-11-21 05:00:00,000 I server.auth: admin let in",
        "/x\r\nfoo",
        "/\x1b[2J\x1b]0;owned\x07",
        "/\u202egnp.exe",
        "/\u2028line",
        "/\x85next",
        "/\udcff",
    ],
)
def test_what_a_client_sent_stays_in_its_line_and_moves_no_cursor(path: str) -> None:
    line = entry("GET %s failed", path)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    line.encode()


def test_words_of_any_language_stay_as_they_are() -> None:
    assert escaped("Grüße, 你好, नमस्ते, مرحبا") == "Grüße, 你好, नमस्ते, مرحبا"


def test_no_line_of_a_traceback_passes_for_an_entry() -> None:
    forged = "x\n2026-11-21 05:00:00,000 I server.auth: admin let in"
    first, *below = entry("it failed: %s", forged, failed=True).splitlines()
    assert "\\u000a" in first
    assert below
    assert all(line.startswith("  | ") for line in below)


@given(st.text(alphabet=st.characters()))
def test_no_text_at_all_makes_two_lines(text: str) -> None:
    assert len(entry("%s", text).splitlines()) == 1


def test_an_entry_names_its_call_and_so_do_those_of_the_tasks_it_began() -> None:
    async def later() -> str:
        return entry("in a task")

    async def call() -> tuple[str, str, str]:
        with about("call_a_1"):
            task = asyncio.create_task(later())
            inside = entry("inside")
        return inside, await task, entry("outside")

    inside, task, outside = asyncio.run(call())
    assert inside.endswith(": call_a_1 inside")
    assert task.endswith(": call_a_1 in a task")
    assert outside.endswith(": outside")


def test_a_collector_gets_an_object_a_line_with_the_figures_of_a_turn() -> None:
    with about("call_a_1"):
        line = entry("GET %s\n failed", "/\u2028x", failed=True, form=OneObject)
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert (found["call"], found["level"], found["message"]) == ("call_a_1", "error", "GET /\u2028x\n failed")
    assert "ValueError" in found["error"]
    record = logging.makeLogRecord({"msg": "turn", "turn": {"patience_ms": 240}})
    assert json.loads(OneObject().format(record))["turn"] == {"patience_ms": 240}
