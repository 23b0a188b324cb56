"""A test of a browser that fails tells what was on its pages and in its consoles."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

from tests.real import browser

CONSOLE = ":CONSOLE"  # in Chromium's log, before what a page has written


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        browser.look()
        report.sections += [("Page", text) for text in browser.seen]
        report.sections += [("Console", text) for text in _consoles(since=time.time() - call.duration)]
    browser.seen.clear()
    return report


def _consoles(since: float) -> list[str]:
    """Of the browsers that have written something since then (s since 1970)."""
    logs = [log for log in sorted(browser.CONSOLES.iterdir()) if log.stat().st_mtime >= since]
    lines = [log.read_text(errors="replace").splitlines() for log in logs]
    written = ["\n".join([line for line in of_one if CONSOLE in line][-50:]) for of_one in lines]
    return [text for text in written if text]
