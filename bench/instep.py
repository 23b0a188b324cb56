"""A real recogniser in a call on virtual time: the clock stands still while it works on an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from pipeline.audio import AudioChunk
from pipeline.providers import Pause, Recognizer, Transcript

FINAL_MS = 20.0  # of virtual time after a pause, as measured by bench.ears on an idle machine
FULL_MS = 250.0


class InStep:
    """Answers come as late after their pause as on an idle machine, however busy this one is."""

    def __init__(self, ears: Recognizer) -> None:
        self._ears = ears
        self.name, self.detail = ears.name, ears.detail
        self.full_pass, self.punctuates = ears.full_pass, ears.punctuates
        self._starts_or_ends = False
        self._owed: dict[object, set[str]] = {}  # by stream, since its last pause

    def owes(self) -> bool:
        return self._starts_or_ends or any(self._owed.values())

    async def start(self) -> None:
        self._starts_or_ends = True
        await self._ears.start()
        self._starts_or_ends = False

    async def close(self) -> None:
        self._starts_or_ends = True
        await self._ears.close()
        self._starts_or_ends = False

    def knows(self, language: str) -> bool:
        return self._ears.knows(language)

    async def transcribe(
        self, audio: AsyncIterator[AudioChunk | Pause], *, language: str, hints: Sequence[str] = ()
    ) -> AsyncIterator[Transcript]:
        stream, loop, paused_s = object(), asyncio.get_running_loop(), 0.0

        async def noted() -> AsyncIterator[AudioChunk | Pause]:
            nonlocal paused_s
            async for piece in audio:
                if isinstance(piece, Pause):
                    paused_s = loop.time()
                    self._owed[stream] = {"final", "full"} if self.full_pass else {"final"}
                yield piece

        said: asyncio.Queue[Transcript | None] = asyncio.Queue()  # bounded by what a recogniser says

        async def listen() -> None:
            try:
                transcripts = self._ears.transcribe(noted(), language=language, hints=hints)
                async with aclosing(transcripts) as heard:  # type: ignore[type-var]
                    async for transcript in heard:
                        self._owed.get(stream, set()).discard(transcript.kind)
                        said.put_nowait(transcript)
            finally:
                said.put_nowait(None)

        listening = asyncio.create_task(listen(), name="listen-in-step")
        try:
            while (transcript := await said.get()) is not None:
                after_s = {"final": FINAL_MS, "full": FULL_MS}.get(transcript.kind, 0.0) / 1000
                await asyncio.sleep(max(0.0, paused_s + after_s - loop.time()))
                yield transcript
            await listening
        finally:
            self._owed.pop(stream, None)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
