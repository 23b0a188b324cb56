"""A session with the real vendor plug-ins against a local server of their protocol, on the real clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from pydantic import SecretStr

from pipeline import events as ev
from pipeline.audio import VOICE_CHUNK
from pipeline.choice import plugin
from pipeline.notices import Spent
from pipeline.providers import Recognizer
from pipeline.session import Parts, Session
from pipeline.settings import CallSettings, Secrets, Settings
from tests.session.call import silero
from tests.sounds import chunks, padded, silence, speech
from tests.vendors.deepgram_server import DeepgramServer
from tests.vendors.openai_server import OpenAIServer

QUESTION = "what is a cache"
INTERRUPTION = "wait i have another question about that"
LONG = " ".join(f"This is sentence number {number} of a long answer." for number in range(40))


class Line:
    """Feeds a session in real time and notes what comes of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[ev.Event] = []
        session.attach(self.events.append)

    async def speak(self, sound: np.ndarray) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for chunk in chunks(sound):
            self.session.hear(chunk)
            self.session.read(VOICE_CHUNK)
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))

    def seen(self, kind: type) -> bool:
        return any(isinstance(event, kind) for event in self.events)

    async def listen_until(self, kind: type, within_ms: int = 8_000) -> None:
        for _ in range(within_ms // 20):
            if self.seen(kind):
                return
            await self.speak(silence(20))
        raise AssertionError(f"no {kind.__name__} in {within_ms} ms")


@asynccontextmanager
async def vendor_call(ears: Recognizer | None = None) -> AsyncIterator[tuple[OpenAIServer, Line]]:
    """With OpenAI's ears, mind and voice, or other ears."""
    async with OpenAIServer() as vendor:
        secrets = Secrets(openai_api_key=SecretStr("sk-test"), openai_base_url=vendor.base_url)
        settings = Settings(secrets=secrets)
        mind, voice = (plugin(stage, "openai").create(settings) for stage in ("llm", "tts"))
        ears = ears or plugin("stt", "openai").create(settings)
        session = Session(
            Parts(ears, mind, voice, silero()), settings, CallSettings(mode="chat", greet=False)
        )
        for part in (ears, mind, voice):
            await part.start()
        life = asyncio.create_task(session.run(), name="session")
        await asyncio.sleep(0)
        try:
            yield vendor, Line(session)
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            for part in (ears, mind, voice):
                await part.close()


@pytest.mark.real
async def test_breaking_in_closes_the_streams_at_the_vendor() -> None:
    async with vendor_call() as (vendor, line):
        vendor.heard, vendor.reply = QUESTION, LONG
        vendor.chat.each_ms = 40  # still writing, and
        vendor.sound, vendor.speech.each_ms = 20 * vendor.sound, 80  # still speaking, when someone breaks in
        await line.speak(padded(speech(QUESTION), after_ms=400))
        await line.listen_until(ev.AudioStarted)
        await line.speak(silence(1_000))
        chat, spoken = vendor.requests("chat")[-1], vendor.requests("speech")[-1]
        assert chat.outcome == "open"
        vendor.heard = INTERRUPTION
        await line.speak(speech(INTERRUPTION))
        assert line.seen(ev.AudioCleared)
        async with asyncio.timeout(5):
            await chat.ended.wait()
            await spoken.ended.wait()
        assert chat.outcome == "closed_by_client"
        assert spoken.outcome == "closed_by_client"


@pytest.mark.real
async def test_a_reply_prepared_for_nothing_is_closed_at_the_vendor_too() -> None:
    async with vendor_call() as (vendor, line):
        vendor.heard, vendor.reply = "i would put it in memory", LONG
        vendor.chat.each_ms = 40
        await line.speak(padded(speech("i would put it in memory"), after_ms=450))
        chat = vendor.requests("chat")[-1]
        assert chat.outcome == "open"
        assert not line.seen(ev.ReplyCreated)
        await line.speak(speech("and in the browser too"))
        async with asyncio.timeout(5):
            await chat.ended.wait()
        assert chat.outcome == "closed_by_client"


@pytest.mark.real
async def test_two_turns_are_heard_while_they_are_spoken_over_one_line() -> None:
    async with DeepgramServer() as hearing:
        hearing.heard, hearing.word_ms = QUESTION, 150
        async with vendor_call(plugin("stt", "deepgram").create(hearing.settings())) as (vendor, line):
            vendor.reply = "It keeps things near."
            for _ in range(2):
                line.events.clear()
                await line.speak(padded(speech(QUESTION), 200, 60))
                assert line.seen(ev.Partial), "before the pause"
                await line.listen_until(ev.AudioStopped)
                said = [event.text for event in line.events if isinstance(event, ev.Transcribed)]
                assert said[0].startswith(QUESTION)
                spent = [event for event in line.events if isinstance(event, Spent)]
                assert "deepgram" in {event.provider for event in spent}
            assert len({id(seen.headers) for seen in hearing.seen}) == 1
