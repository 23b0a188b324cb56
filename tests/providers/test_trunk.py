"""A process that forks: what becomes of whoever needs it while it does not start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pipeline.errors import ProviderError
from pipeline.trunk import Trunk


async def test_one_that_does_not_start_keeps_nobody_waiting_and_is_started_again(tmp_path: Path) -> None:
    allowed = tmp_path / "memory"
    trunk = Trunk("stt", "stumbler", "tests.providers.stumbling_worker", str(allowed), again_after_s=0.1)
    try:
        with pytest.raises(ProviderError, match="does not start"):
            await trunk.start()
        with pytest.raises(ProviderError, match="does not start"):
            await trunk.fork()
        allowed.touch()
        async with asyncio.timeout(20):
            while True:
                try:
                    reader, writer = await trunk.fork()
                    break
                except ProviderError:
                    await asyncio.sleep(0.05)
            assert await reader.read() == b"here"
        writer.close()
    finally:
        await trunk.close()
