"""These tests are synchronous; Playwright keeps an event loop of its own running."""

import pytest


@pytest.fixture(autouse=True)
def _no_leaked_task() -> None:
    """No tasks of ours here; the one of `tests/conftest.py` needs a thread without a running loop."""
