"""Voice to voice, barge-in and loss, with real peers over loopback and models that take no time."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import numpy as np

from bench.answerer import ZERO, Answerer
from bench.caller import Caller
from bench.phrases import flite, last_voiced_ms, silence

QUESTION = "what is a cache"
INTERRUPTION = "wait i have another question about that"
SETTLE_MS = 1_000


async def answers(caller: Caller, sounds: list[np.ndarray], gap_ms: int = 9_000) -> list[float]:
    """ms from the last voiced sample sent to the first audible packet, for each sound in turn."""
    waits = []
    for sound in sounds:
        caller.say(silence(SETTLE_MS))
        first = caller.say(sound)
        caller.say(silence(2_500))
        await caller.sent()
        ended = caller.sent_at(first, last_voiced_ms(sound))
        came = caller.audible(ended)
        waits.append(1000 * (came[0] - ended) if came else float("inf"))
        await quiet(caller, gap_ms)
    return waits


async def barge_ins(caller: Caller, count: int, question: np.ndarray, over: np.ndarray) -> list[float]:
    """ms from the first voiced sample over a reply to its last audible packet."""
    waits = []
    for index in range(count):
        caller.say(silence(SETTLE_MS))
        caller.say(question)
        caller.say(silence(2_000 + 37 * index))  # not always at the same place in a word
        first = caller.say(over)
        caller.say(silence(60))
        await caller.sent()
        began = caller.sent_at(first, 0)
        before = caller.audible(began - 0.1, began)
        during = caller.audible(began, began + len(over) / 16_000)
        waits.append(1000 * (during[-1] - began) if before and during else float("nan"))
        caller.say(silence(500))
        await quiet(caller, 9_000)
    return waits


async def quiet(caller: Caller, most_ms: int) -> None:
    """Has the reply end, and waits until nothing has been heard for a while."""
    caller.send({"type": "response.cancel"})
    caller.say(silence(400))
    await caller.sent()
    caller.send({"type": "response.cancel"})
    caller.say(silence(300))
    await caller.sent()


def figures(waits: list[float]) -> dict[str, Any]:
    """Median and p95 in ms, and how many came at all."""
    came = [wait for wait in waits if wait == wait and wait != float("inf")]
    if not came:
        return {"n": len(waits), "came": 0}
    return {
        "n": len(waits),
        "came": len(came),
        "median_ms": round(statistics.median(came)),
        "p95_ms": round(float(np.percentile(came, 95))),
        "max_ms": round(max(came)),
    }


async def run(count: int = 12) -> dict[str, Any]:
    """All of it; about two minutes."""
    voices = ("rms", "slt", "kal", "awb")
    questions = [flite(QUESTION, voices[index % len(voices)]) for index in range(count)]
    chat = {"viva": {"mode": "chat", "greet": False}}
    table: dict[str, Any] = {}
    async with Answerer(ZERO) as server:
        for name, loss in (("v2v", 0.0), ("v2v, 1 % lost", 0.01), ("v2v, 5 % lost", 0.05)):
            async with Caller(server.url, chat, loss=loss) as caller:
                table[name] = figures(await answers(caller, questions))
        async with Caller(server.url, chat) as caller:
            over = [flite(INTERRUPTION, voice) for voice in voices]
            waits = []
            for sound in over:
                waits += await barge_ins(caller, max(1, count // len(over)), questions[0], sound)
            table["barge-in"] = figures(waits)
    return table


if __name__ == "__main__":
    for name, row in asyncio.run(run()).items():
        print(f"{name:16} {row}")
