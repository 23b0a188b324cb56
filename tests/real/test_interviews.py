"""Interviews over WebRTC in the languages that the embedded recogniser does not know, with embedded parts.

So the answers are typed, as the page offers; the questions are heard all the same: their sound is measured
where it arrives. English is spoken, by a synthetic caller, in test_talk.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack

from pipeline.languages import fold, languages
from tests.real.served import Caller, Served, caller, served

pytestmark = pytest.mark.real

BANK = tomllib.loads(
    (Path(__file__).parents[2] / "pipeline" / "llm" / "partner.toml").read_text(encoding="utf-8")
)
ANSWERS = {
    "es": "Soy ingeniera de software y trabajo desde hace cinco años en una empresa de Madrid.",
    "fr": "Je suis ingénieur en informatique et je travaille à Lyon depuis cinq ans.",
    "de": "Ich bin Softwareentwickler und arbeite seit fünf Jahren in einer Firma in Köln.",
    "zh": "我是一名软件工程师，在一家公司做了五年后端开发。",
    "hi": "मैं एक सॉफ़्टवेयर इंजीनियर हूँ और पिछले पाँच साल से एक कंपनी में काम करता हूँ।",
    "ja": "私は東京の会社で五年間、ソフトウェアの開発をしています。",
    "ko": "저는 소프트웨어 개발자이고 서울의 회사에서 오 년 동안 일했습니다.",
    "pt": "Sou engenheira de software e trabalho há cinco anos em uma empresa de São Paulo.",
    "ar": "أنا أعمل في شركة برمجيات منذ خمس سنوات وأحب العمل مع الفريق.",
    "ru": "Я работаю программистом в компании в Москве уже пять лет.",
    "it": "Sono un ingegnere del software e lavoro da cinque anni in un'azienda di Torino.",
    "nl": "Ik ben softwareontwikkelaar en werk al vijf jaar bij een bedrijf in Utrecht.",
}
AUDIBLE = 330  # of 32768: -40 dBFS
WITHIN_S = 30.0  # a greeting takes 6 to 9 s to say, and the machine may be busy with other things
AT_ONCE = 6  # calls; with both ends in one process more would starve each other on a busy machine


class Listener:
    """How much of what arrives is audible."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self.audible_ms = 0
        self._track = track

    async def run(self) -> None:
        while True:
            frame = await self._track.recv()
            assert isinstance(frame, av.AudioFrame)
            samples = frame.to_ndarray().astype(np.float64)
            if np.sqrt(np.mean(samples**2)) > AUDIBLE:
                self.audible_ms += 1000 * frame.samples // frame.sample_rate


def spoken(call: Caller) -> list[str]:
    """What was heard of each reply so far."""
    said: dict[str, str] = {}
    for event in call.events:
        if event["type"] == "response.output_audio_transcript.delta":
            said[event["item_id"]] = said.get(event["item_id"], "") + event["delta"]
    return list(said.values())


async def reached(call: Caller, kind: str, count: int) -> None:
    """Waits until that has come so many times."""
    async with asyncio.timeout(WITHIN_S):
        while sum(event["type"] == kind for event in call.events) < count:
            call.arrived.clear()
            await call.arrived.wait()


async def interview(server: Served, language: str) -> tuple[list[str], list[int]]:
    """The replies, and how long each was audible."""
    async with caller(server, direction="recvonly") as call:
        await call.until("session.created", WITHIN_S)
        listener = Listener(call.pc.getReceivers()[0].track)
        listening = asyncio.create_task(listener.run(), name="listen")
        try:
            viva: dict[str, Any] = {"mode": "interview", "language": language, "greet": True}
            call.send("session.update", session={"type": "realtime", "viva": viva})
            await reached(call, "output_audio_buffer.stopped", 1)
            greeting_ms = listener.audible_ms
            content = [{"type": "input_text", "text": ANSWERS[language]}]
            message = {"type": "message", "role": "user", "content": content}
            call.send("conversation.item.create", item=message)
            call.send("response.create")
            await reached(call, "output_audio_buffer.stopped", 2)
            return spoken(call), [greeting_ms, listener.audible_ms - greeting_ms]
        finally:
            listening.cancel()
            await asyncio.wait({listening})


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served(embedded=True, max_calls=len(ANSWERS), call={"speed": 1.5}) as one:  # done sooner
        yield one


async def test_an_interview_is_held_in_each_language(server: Served) -> None:
    assert {"en", *ANSWERS} == set(languages())
    places = asyncio.Semaphore(AT_ONCE)

    async def held_in(language: str) -> tuple[list[str], list[int]]:
        async with places:
            return await interview(server, language)

    held = await asyncio.gather(*map(held_in, ANSWERS))
    for code, (replies, audible) in zip(ANSWERS, held, strict=True):
        assert all(ms > 800 for ms in audible), f"{code}: {audible} ms of sound"
        for question, reply in zip(BANK[code]["interview"][:2], replies, strict=True):
            assert fold(question, code) in fold(reply, code)
