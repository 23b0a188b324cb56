"""These tests are synchronous, as Playwright's simple interface is; it keeps an event loop of its own running."""

import pytest


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """There are no tasks of ours here to leak; the one of `tests/conftest.py` needs a loop that is not running."""
