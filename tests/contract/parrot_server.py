"""The stand-in of the parrot's vendor, see `pipeline.contract.vendor.Vendor`."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract.vendor import Behaviour, Outcome, paced
from pipeline.settings import Settings

KEY = "cracker-very-secret"
WORDS = "we moved the bridge to a new river last summer indeed".split()


@dataclass
class Seen:
    question: str
    outcome: Outcome = "open"
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ParrotServer:
    def __init__(self) -> None:
        self.work = Behaviour()
        self.seen: list[Seen] = []
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ParrotServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *what: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def settings(self) -> Settings:
        return Settings(plugins={"parrot": {"address": self.address, "key": KEY}})

    async def request(self, number: int = 0) -> Seen:
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.seen) > number)
        return self.seen[number]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened_s = time.monotonic()
        line = await reader.readline()
        while line:
            seen = Seen(json.loads(line)["question"])
            async with self._arrived:
                self.seen.append(seen)
                self._arrived.notify_all()
            if opened_s < self.work.drops_opened_before_s:
                seen.outcome = "cut"
                seen.ended.set()
                break
            answering = asyncio.create_task(self._answer(seen, writer), name="answer")
            next_line = asyncio.create_task(reader.readline(), name="next line")
            await asyncio.wait({answering, next_line}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                seen.outcome = "closed_by_client"
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            seen.ended.set()
            try:
                line = await next_line
            except ConnectionError:
                break
        writer.close()

    async def _answer(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        how = self.work
        head: dict[str, Any] = {"status": how.status, "retry_after_s": how.retry_after_s}
        if how.garbage:
            seen.outcome = "served"
            writer.write({"html": b"<!doctype html>\n", "json": b'{"status": \n'}[how.garbage])
            await writer.drain()
            return
        writer.write(json.dumps(head).encode() + b"\n")
        if how.status != 200:
            seen.outcome = "failed"
            await writer.drain()
            return
        async for piece in paced(how, [json.dumps({"word": word}) + "\n" for word in WORDS]):
            writer.write(piece)
            await writer.drain()
        seen.outcome = "served"
        if how.cut_after is not None:
            seen.outcome = "cut"
            writer.transport.abort()
            return
        writer.write(b'{"word": null}\n')
        await writer.drain()
