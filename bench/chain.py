"""How much silence it costs when a vendor dies in the middle of a call and the next provider takes over.

The vendor is a local server under the real SDK that has answered one turn; in the next it breaks the
connection half-way, or falls silent and keeps it open. Behind it: the embedded recogniser, another server for
the model, the embedded voice. Heard in the sound that leaves the call: the longest gap in an answer, or how
much later than in the first turn it began. The stages are measured at the same time, in real time.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from bench.delays import vendors
from bench.talk import QUESTION
from pipeline import events as ev
from pipeline.audio import VOICE_RATE
from pipeline.chain import chained
from pipeline.choice import Chosen, plugin
from pipeline.errors import Stage
from pipeline.settings import Secrets, Settings
from tests.session.call import Call, Ears, Mind, Voice, speech
from tests.sounds import speech as spoken
from tests.vendors.openai_server import OpenAIServer

ANSWER = "a cache keeps what was asked before so that it need not be fetched again"
ASKED_MS = (500, 7500)
LENGTH_MS = 16_000
LOADED_S = 4.0  # then the second provider is loaded too
ROUTES: dict[Stage, str] = {"stt": "transcriptions", "llm": "chat", "tts": "speech"}
# Pieces of the second answer that still come: none of a transcript, four words, one second of sound.
WELL: dict[Stage, int] = {"stt": 0, "llm": 4, "tts": 10}
EMBEDDED: dict[Stage, str] = {"stt": "pocketsphinx", "tts": "espeak"}
DEATHS = ("cut", "hang")


async def silence(stage: Stage, death: str) -> dict[str, Any]:
    """One call, in ms."""
    async with AsyncExitStack() as stack:
        vendor = await stack.enter_async_context(vendors())
        links = [_openai(stage, vendor)]
        if stage in EMBEDDED:
            name = EMBEDDED[stage]
            links.append(Chosen(stage, name, "", plugin(stage, name).create(Settings())))
        else:
            second = await stack.enter_async_context(vendors())
            second.reply = _goes_on
            links.append(_openai(stage, second, "second"))
        vendor.reply = ANSWER
        chain = chained(stage, links, Settings())
        await chain.start()
        await asyncio.sleep(LOADED_S)
        stack.push_async_callback(chain.close)
        sounds = [speech(at_ms, QUESTION) for at_ms in ASKED_MS]
        parts = {"stt": Ears([[QUESTION], [QUESTION]]), "llm": Mind([ANSWER]), "tts": Voice(), stage: chain}
        call = Call(parts["stt"], parts["llm"], parts["tts"], *sounds)
        call.at(ASKED_MS[1], lambda session: _die(vendor, stage, death))
        await call.play(LENGTH_MS)
    return figures(call)


def figures(call: Call) -> dict[str, Any]:
    """What the second turn of a call cost."""
    length_ms = 1000 * len(spoken(QUESTION)) // 16_000
    waits_ms = [call.first_sound_ms(at_ms + length_ms) - at_ms - length_ms for at_ms in ASKED_MS]
    answer = call.out[(ASKED_MS[1] + length_ms) * VOICE_RATE // 1000 :]
    gaps = np.diff(np.flatnonzero(np.abs(answer.astype(int)) > 200))
    changes = [f"{seen.event.failed} → {seen.event.to}" for seen in call.of(ev.FellOver)]
    return {
        "gap_ms": round(1000 * int(gaps.max()) / VOICE_RATE),
        "later_ms": max(0, waits_ms[1] - waits_ms[0]),
        "changes": changes,
        "whole": [text for role, text in call.texts() if role == "assistant"] == [ANSWER, ANSWER],
    }


def _goes_on(request: dict[str, Any]) -> str:
    """The rest of the answer, from where it was broken off."""
    *_, so_far, _ = request["messages"]
    return ANSWER[len(so_far["content"]) :] if so_far["role"] == "assistant" else ANSWER


def _openai(stage: Stage, vendor: OpenAIServer, name: str = "openai") -> Chosen:
    settings = Settings(secrets=Secrets(openai_api_key="for-measuring", openai_base_url=vendor.base_url))
    return Chosen(stage, name, "", plugin(stage, "openai").create(settings))


def _die(vendor: OpenAIServer, stage: Stage, death: str) -> None:
    setattr(getattr(vendor, ROUTES[stage]), f"{death}_after", WELL[stage])


async def measured() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for death in DEATHS:
        rows = await asyncio.gather(*(silence(stage, death) for stage in ROUTES))
        found |= {f"{stage} {death}": row for stage, row in zip(ROUTES, rows, strict=True)}
    return found


def run(quick: bool) -> dict[str, Any]:
    """By stage and death."""
    return asyncio.run(measured())


if __name__ == "__main__":
    for name, row in run(True).items():
        print(f"{name:10} {row}")
