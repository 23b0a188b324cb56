"""What the tests of calls on virtual time have in common."""

from __future__ import annotations

import pytest

from tests.session.chains import END, talk


@pytest.fixture(scope="session")
def wait_ms() -> int:
    """From the end of speech to the answer, where nothing fails."""
    return talk().first_sound_ms() - END
