"""Voice to voice with vendors that take their time: one call, then eight at once, each heard to its end.

The vendors are a local server under the real SDK: recognition 200 ms, first token 250 ms and 15 ms a token,
first voice byte 150 ms at 0.3 x real time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import numpy as np

from bench.answerer import OWN, STREAMING, Answerer
from bench.caller import Caller
from bench.phrases import flite, last_voiced_ms, silence
from bench.talk import CHAT, QUESTION, SETTLE_MS, VOICES, figures, stages
from pipeline.audio import VOICE_RATE
from tests.vendors.openai_server import OpenAIServer

WORD_S = 0.25
REPLY = (
    "A cache keeps what was used. "  # six words: 690 ms in a chain
    "It gives that back the next time it is asked for. "
    "So the slow store behind it has less to do."
)
SOUND_S = len(REPLY.split()) * WORD_S
LATEST_MS = 4_000  # after a question its answer has begun, or the next question comes in its way
APART_S = 0.37  # callers do not all ask at the same moment
WHOLE_S = 0.06  # how much of it may be missing or too long: three packets


@asynccontextmanager
async def vendors() -> AsyncIterator[OpenAIServer]:
    """A server with those delays."""
    async with OpenAIServer() as server:
        server.heard = QUESTION
        server.reply = REPLY
        server.transcriptions.first_ms = 200
        server.chat.first_ms, server.chat.each_ms = 250, 15
        block_s = 0.1
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
        caller.say(silence(int(1000 * SOUND_S) + LATEST_MS))
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
        "rows": rows,
    }


async def at_once(server: Answerer, voices: list[str], calls: int) -> dict[str, Any]:
    """Several callers, each with all of these questions."""
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller(server.url, CHAT)) for _ in range(calls)]
        began, of_server, of_us, load = time.monotonic(), server.cpu_s(), time.process_time(), os.getloadavg()
        found = await asyncio.gather(
            *(talk(caller, voices, APART_S * index) for index, caller in enumerate(callers))
        )
        took_s = time.monotonic() - began
        return {
            **summary([row for rows in found for row in rows]),
            "server_cores": round((server.cpu_s() - of_server) / took_s, 2),
            "callers_and_vendors_cores": round((time.process_time() - of_us) / took_s, 2),
            "load_before": load[0],
            "turns": [event for caller in callers for _, event in caller.of("viva.turn_metrics")],
        }


async def run(count: int = 16, calls: int = 8) -> dict[str, Any]:
    """One call with `count` questions, one whose recogniser streams, then `calls` with a few each."""
    voices = [VOICES[index % len(VOICES)] for index in range(count)]
    async with (
        vendors() as vendor,
        Answerer(STREAMING, **environment(vendor)) as server,
        Caller(server.url, CHAT) as caller,
    ):
        await talk(caller, voices[:1])
        streaming = summary(await talk(caller, voices[: max(2, count // 2)]))
    async with vendors() as vendor, Answerer(OWN, **environment(vendor)) as server:
        async with Caller(server.url, CHAT) as caller:
            await talk(caller, voices[:1])  # connections to the vendor are made by the first answer
            one = {**summary(await talk(caller, voices)), **stages(caller)}
        return {
            "one call": one,
            "streaming": streaming,
            f"{calls} calls": await at_once(server, voices[: max(2, count // 4)], calls),
        }


def _tone(body: dict[str, Any]) -> bytes:
    count = int(len(body["input"].split()) * WORD_S * VOICE_RATE)
    return (6000 * np.sin(np.arange(count) * 2 * np.pi * 300 / VOICE_RATE)).astype("<i2").tobytes()


if __name__ == "__main__":
    for name, row in asyncio.run(run()).items():
        print(f"{name:16} {row}")
