"""What the provider tests have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.vendors.openai_server import OpenAIServer


@pytest.fixture
async def vendor() -> AsyncIterator[OpenAIServer]:
    async with OpenAIServer() as server:
        yield server
