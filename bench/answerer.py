"""A server of its own process for measuring: the real one, with what it is told for ears, mind and voice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from pipeline.choice import Chosen, choose

ZERO = "zero"  # every model answers at once
OWN = "own"  # what the configuration takes
STREAMING = "streaming"  # the same, with a recogniser that has listened all along
FINAL_S = 0.05  # after a pause it has its words


def main(kind: str) -> int:
    """Serves on a free port until SIGTERM; says CPU seconds and peak memory at the end."""
    from bench.zero import ZeroEars, ZeroMind, ZeroVoice
    from server.__main__ import serve
    from server.config import load
    from server.engines import Engines

    config = load(None)
    config = replace(config, server=config.server.model_copy(update={"port": 0, "max_calls": 64}))
    engines = None
    if kind == ZERO:
        parts = (("stt", ZeroEars()), ("llm", ZeroMind()), ("tts", ZeroVoice()))
        engines = Engines(
            config.pipeline, [Chosen(stage, ZERO, "for measuring", part) for stage, part in parts]
        )
    elif kind == STREAMING:
        ears = Chosen("stt", STREAMING, "for measuring", ZeroEars(final_s=FINAL_S))
        engines = Engines(
            config.pipeline, [ears, *(choose(stage, config.pipeline) for stage in ("llm", "tts"))]
        )
    return asyncio.run(serve(config, engines))


class Answerer:
    """That server as a child process."""

    def __init__(self, kind: str, **environment: str) -> None:
        self._kind = kind
        self._environment = {**os.environ, **environment}
        self.url = ""

    async def __aenter__(self) -> Answerer:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.answerer",
            self._kind,
            env=self._environment,
            cwd=Path(__file__).parent.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert self._process.stdout
        async with asyncio.timeout(30):
            first = (await self._process.stdout.readline()).decode()
        self.url = first.split()[-1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def cpu_s(self) -> float:
        """User and system seconds of the process so far (its children's not counted)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
