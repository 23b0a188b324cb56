"""A vendor that breaks its connection in the middle of a call, and what its client sees of it."""

from __future__ import annotations

import pytest

from pipeline.chain import chained
from pipeline.choice import Chosen, plugin
from pipeline.settings import Secrets, Settings
from tests.real.served import served
from tests.real.talker import talker
from tests.session.call import Mind, Voice
from tests.vendors.openai_server import OpenAIServer

ANSWER = "one two three four five"

pytestmark = pytest.mark.real


async def test_the_client_hears_the_whole_answer_and_is_told_once_who_says_it() -> None:
    async with OpenAIServer() as vendor:
        vendor.sound = b"\x00\x10\x00\xf0" * 12_000  # 1 s
        vendor.block_bytes, vendor.speech.cut_after = 4800, 5  # of 0.1 s
        settings = Settings(secrets=Secrets(openai_api_key="sk-test", openai_base_url=vendor.base_url))
        links = [
            Chosen("tts", "openai", "", plugin("tts", "openai").create(settings)),
            Chosen("tts", "fake", "", Voice()),
        ]
        voice = chained("tts", links, settings)
        async with (
            served(mind=Mind([ANSWER]), voice=voice, call={"greet": False}) as server,
            talker(server) as one,
        ):
            await one.until("session.created")
            await one.send("session.update", session={"type": "realtime", "viva": {}})
            for _ in range(2):
                before = len(one.events)
                await one.send("response.create")
                await one.until("response.done", after=before)
            (change,) = [event for event in one.events if event["type"] == "viva.provider"]
    assert (change["stage"], change["from"], change["to"]) == ("tts", "openai", "fake")
    assert "connection" in change["why"]
    said = [event for event in one.events if event["type"] == "response.output_audio_transcript.done"]
    assert [event["transcript"] for event in said] == [ANSWER, ANSWER]
