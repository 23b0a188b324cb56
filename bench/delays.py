"""Voice to voice with vendors that take their time: one call, then eight at once, each heard to its end.

The vendors are a local server under the real SDK: recognition 200 ms, first token 250 ms and 15 ms a token,
first voice byte 150 ms at 0.3 x real time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np

from bench.answerer import OWN, Answerer
from bench.caller import Caller
from bench.phrases import flite, last_voiced_ms, silence
from bench.talk import CHAT, QUESTION, SETTLE_MS, VOICES, figures
from pipeline.audio import VOICE_RATE
from tests.vendors.openai_server import OpenAIServer

WORD_S = 0.25
REPLY = (
    "A cache keeps what was used. "  # six words: 690 ms in a chain
    "It gives that back the next time it is asked for. "
    "So the slow store behind it has less to do."
)
SOUND_S = len(REPLY.split()) * WORD_S
WHOLE_S = 0.06  # how much of it may be missing or too long: three packets


@asynccontextmanager
async def vendors() -> AsyncIterator[OpenAIServer]:
    """A server with those delays."""
    async with OpenAIServer() as server:
        server.heard = QUESTION
        server.reply = REPLY
        server.transcriptions.first_ms = 200
        server.chat.first_ms, server.chat.each_ms = 250, 15
        block_s = 0.02
        server.block_bytes = int(block_s * VOICE_RATE) * 2
        server.speech.first_ms, server.speech.each_ms = 150, 0.3 * 1000 * block_s
        server.sound = _tone
        yield server


def environment(vendor: OpenAIServer) -> dict[str, str]:
    return {"OPENAI_API_KEY": "for-measuring", "OPENAI_BASE_URL": vendor.base_url}


async def talk(caller: Caller, voices: list[str], start_s: float = 0.0) -> list[dict[str, float]]:
    """A question in each voice; waits until its answer has been heard. Times in ms and s."""
    await asyncio.sleep(start_s)
    rows = []
    for voice in voices:
        sound = flite(QUESTION, voice)
        caller.say(silence(SETTLE_MS))
        first = caller.say(sound)
        caller.say(silence(2_000 + int(1000 * SOUND_S) + 1_500))
        await caller.sent()
        ended = caller.sent_at(first, last_voiced_ms(sound))
        came = caller.audible(ended)
        if came:
            spread_s, heard_s = came[-1] - came[0] + 0.02, 0.02 * len(came)
            rows.append({"wait_ms": 1000 * (came[0] - ended), "spread_s": spread_s, "heard_s": heard_s})
        else:
            rows.append({"wait_ms": float("inf"), "spread_s": 0.0, "heard_s": 0.0})
    return rows


def summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    heard, spread = [row["heard_s"] for row in rows], [row["spread_s"] for row in rows]
    return {
        **figures([row["wait_ms"] for row in rows]),
        "sound_s": SOUND_S,
        "whole": sum(abs(SOUND_S - each) <= WHOLE_S for each in heard),
        "shortest_s": round(min(heard), 2),
        "longest_s": round(max(spread), 2),
    }


async def run(count: int = 24, calls: int = 8) -> dict[str, Any]:
    """One call with `count` questions, then `calls` with a few each; about seven minutes."""
    table: dict[str, Any] = {}
    voices = [VOICES[index % len(VOICES)] for index in range(count)]
    async with vendors() as vendor, Answerer(OWN, **environment(vendor)) as server:
        async with Caller(server.url, CHAT) as caller:
            await talk(caller, voices[:1])  # connections to the vendor are made by the first answer
            rows = await talk(caller, voices)
        table["one call"] = summary(rows)
        each = voices[: max(2, count // 6)]
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(Caller(server.url, CHAT)) for _ in range(calls)]
            apart_s = 0.37  # they do not all ask at the same moment
            tasks = [talk(caller, each, apart_s * index) for index, caller in enumerate(callers)]
            before, load = server.cpu_s(), os.getloadavg()[0]
            several = [row for rows in await asyncio.gather(*tasks) for row in rows]
            seconds = len(each) * (SETTLE_MS / 1000 + SOUND_S + 5)
        table[f"{calls} calls"] = {
            **summary(several),
            "server_cores": round((server.cpu_s() - before) / seconds, 2),
            "load": load,
        }
    return table


def _tone(body: dict[str, Any]) -> bytes:
    count = int(len(body["input"].split()) * WORD_S * VOICE_RATE)
    return (6000 * np.sin(np.arange(count) * 2 * np.pi * 300 / VOICE_RATE)).astype("<i2").tobytes()


if __name__ == "__main__":
    for name, row in asyncio.run(run()).items():
        print(f"{name:16} {row}")
