"""Voice to voice, barge-in and loss, with real peers over loopback and models that take no time; and with
the embedded ones, by stage."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from bench.answerer import OWN, ZERO, Answerer
from bench.caller import AUDIBLE, Caller
from bench.corpus import INTERRUPTIONS
from bench.phrases import flite, last_voiced_ms, silence, voice_begins_ms

VOICES = ("rms", "slt", "kal", "awb")
QUESTION = "what is a cache"
ANSWER = "i have worked as a software engineer for seven years and my last project was an online store"
SETTLE_MS = 1_000
DUCKED_DB = 12.0
LOSSES = (0.0, 0.01, 0.05)
APART_S = 1.3  # callers at the same time do not speak at the same moment
STAYS_DOWN = 4  # packets
CHAT = {"viva": {"mode": "chat", "greet": False}}
INTERVIEW = {"viva": {"mode": "interview", "greet": False}}
STAGES = ("paused", "final", "first_token", "first_phrase", "first_audio", "patience", "first_sample")


async def answers(caller: Caller, sounds: list[np.ndarray], after_ms: int = 2_500) -> list[float]:
    """ms from the last voiced sample sent to the first audible packet, for each sound in turn."""
    waits = []
    for sound in sounds:
        caller.say(silence(SETTLE_MS))
        first = caller.say(sound)
        caller.say(silence(after_ms))
        await caller.sent()
        ended = caller.sent_at(first, last_voiced_ms(sound))
        came = caller.audible(ended)
        waits.append(1000 * (came[0] - ended) if came else float("inf"))
        await quiet(caller)
    return waits


async def barge_ins(
    caller: Caller, question: np.ndarray, overs: list[np.ndarray]
) -> tuple[list[float], list[float]]:
    """ms from the first word's first voiced sample over a reply to its last audible packet; and to the first
    that is 12 dB below what the reply was."""
    silent, ducked = [], []
    for index, over in enumerate(overs):
        caller.say(silence(SETTLE_MS))
        caller.say(question)
        caller.say(silence(2_000 + 37 * (index % 8)))  # not always at the same place in a word
        first = caller.say(over)
        caller.say(silence(60))
        await caller.sent()
        began = caller.sent_at(first, voice_begins_ms(over))
        before = [level for at, level in caller.heard if -0.3 <= at - caller.sent_at(first, 0) < 0]
        during = caller.audible(began, began + len(over) / 16_000)
        lower = statistics.median(before) * 10 ** (-DUCKED_DB / 20) if before else 0.0
        after = [(at, level) for at, level in caller.heard if at > began]
        stays = len(after) - STAYS_DOWN + 1  # one late packet is no ducking
        fallen = [
            after[index][0]
            for index in range(max(0, stays))
            if max(level for _, level in after[index : index + STAYS_DOWN]) <= lower
        ]
        spoke = bool(before) and max(before) > AUDIBLE
        silent.append(1000 * (during[-1] - began) if spoke and during else float("nan"))
        ducked.append(1000 * (fallen[0] - began) if spoke and fallen else float("nan"))
        caller.say(silence(500))
        await quiet(caller)
    return silent, ducked


async def quiet(caller: Caller) -> None:
    """Has the reply end."""
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


def stages(caller: Caller) -> dict[str, int]:
    """Medians of what the server says about its turns."""
    turns = [event for _, event in caller.of("viva.turn_metrics")]
    medians = {}
    for stage in STAGES:
        known = [turn[f"{stage}_ms"] for turn in turns if turn.get(f"{stage}_ms") is not None]
        if known:
            medians[f"{stage}_ms"] = round(statistics.median(known))
    medians["prepared"] = sum(bool(turn.get("prepared")) for turn in turns)
    return medians


async def zero(count: int = 24) -> dict[str, Any]:
    """(a): all model delays zero. The callers with and without loss talk at the same time, so that the
    machine's moods meet all of them."""
    questions = [flite(QUESTION, VOICES[index % len(VOICES)]) for index in range(count)]
    table: dict[str, Any] = {}
    async with Answerer(ZERO) as server:
        found = await asyncio.gather(
            *(_with_loss(server.url, loss, questions, index) for index, loss in enumerate(LOSSES))
        )
        for loss, (waits, patience) in zip(LOSSES, found, strict=True):
            row = {**figures(waits), "patience_ms": round(statistics.median(patience))}
            table[f"v2v, {loss:.0%} lost" if loss else "v2v"] = row
        async with Caller(server.url, CHAT) as caller:
            overs = [
                flite(INTERRUPTIONS[index // len(VOICES) % len(INTERRUPTIONS)], VOICES[index % len(VOICES)])
                for index in range(count)
            ]
            silent, ducked = await barge_ins(caller, questions[0], overs)
        table["barge-in"], table["ducked by 12 dB"] = figures(silent), figures(ducked)
    return table


async def _with_loss(
    url: str, loss: float, questions: list[np.ndarray], index: int
) -> tuple[list[float], list[int]]:
    """What `answers` gives, and the patience that each turn was given."""
    async with Caller(url, CHAT, loss=loss, seed=index + 1) as caller:
        await asyncio.sleep(index * APART_S)
        waits = await answers(caller, questions)
        return waits, [turn["patience_ms"] for _, turn in caller.of("viva.turn_metrics")]


async def embedded(count: int = 8) -> dict[str, Any]:
    """The providers that come with it, by stage; the voice is flite's rms, whom the recogniser knows best."""
    table: dict[str, Any] = {}
    nobody = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "VIVA_STT__PROVIDER": "pocketsphinx"}
    async with Answerer(OWN, **nobody) as server:
        await asyncio.sleep(5)  # models load behind the page
        for name, call, said in (("chat", CHAT, QUESTION), ("interview", INTERVIEW, ANSWER)):
            async with Caller(server.url, call) as caller:
                waits = await answers(caller, [flite(said)] * count, after_ms=6_000)
                table[name] = {**figures(waits), **stages(caller)}
    return table


async def start(count: int = 3) -> dict[str, Any]:
    """Seconds from the command to the page served, again and again."""
    took = []
    for _ in range(count):
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "server", "--port", "0"),
            cwd=Path(__file__).parent.parent,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert process.stdout
            first = (await process.stdout.readline()).decode()
            if not first:
                raise RuntimeError(f"the server did not start (status {await process.wait()})")
            url = first.split()[-1]
            async with aiohttp.ClientSession() as http, http.get(url) as page:
                assert page.status == 200
                await page.read()
            took.append(time.monotonic() - began)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    return {"n": count, "median_s": round(statistics.median(took), 2), "max_s": round(max(took), 2)}


if __name__ == "__main__":
    for name, row in asyncio.run(zero()).items():
        print(f"{name:16} {row}")
