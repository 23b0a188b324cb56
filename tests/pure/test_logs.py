"""What a stranger sends cannot forge a line of the log."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.logs import OneLine, escaped


def entry(message: str, *arguments: object, failed: bool = False) -> str:
    record = logging.LogRecord("viva", logging.ERROR, "x.py", 1, message, arguments, None)
    if failed:
        try:
            raise ValueError(*arguments)
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
    return OneLine().format(record)


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
