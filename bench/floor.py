"""The corpus on virtual time: cut-offs, tokens wasted, false alarms, missed barge-ins, a long call."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import corpus
from bench.corpus import Over, Part
from bench.instep import InStep
from bench.phrases import coded, voice_begins_ms
from bench.timeline import Line, Models, silero
from pipeline import events as ev
from pipeline.audio import MIC_RATE
from pipeline.settings import Settings
from pipeline.stt import pocketsphinx

ANSWERS_A_CALL = 8
REALISTIC = {"first_token_ms": 250, "token_ms": 15, "first_voice_ms": 150}
LONG_REPLY = " ".join(
    f"Here is thought {number} about the work that you told me of just now."
    for number in ("one", "two", "three")
)
RESUMED_DB = 12.0  # below its loud moments at most, a reply is back: ducked it is 18 dB down


# ------------------------------------------------------------ false cut-offs


@dataclass
class CutOffs:
    pauses: int = 0
    kept: int = 0  # replies begun inside an utterance that stayed
    withdrawn: int = 0
    of_hanging: int = 0  # of the kept ones
    answers: int = 0
    unanswered: int = 0
    tokens: int = 0
    used: int = 0
    waits_ms: tuple[int, ...] = ()

    def figures(self) -> dict[str, Any]:
        return {
            "pauses": self.pauses,
            "answers": self.answers,
            "cut_off": self.kept,
            "cut_off_percent": round(100 * self.kept / self.pauses, 1),
            "after_hanging_words": self.of_hanging,
            "withdrawn": self.withdrawn,
            "withdrawn_percent": round(100 * self.withdrawn / self.pauses, 1),
            "unanswered": self.unanswered,
            "tokens_thrown_away_percent": round(100 * (1 - self.used / self.tokens), 1) if self.tokens else 0,
            "wait_median_ms": round(statistics.median(self.waits_ms)) if self.waits_ms else None,
        }


def cut_offs(calls: list[list[list[Part]]], mode: str, **models: Any) -> dict[str, Any]:
    """Each call's answers, one after the other, by one voice."""
    total = CutOffs()
    for number, answers in enumerate(calls):
        line = Line(Models(**models), mode=mode)
        voice = corpus.voice_of(number)

        async def person(line: Line, answers: list[list[Part]] = answers, voice: str = voice) -> None:
            await line.wait(500)
            for parts in answers:
                await _answer(line, parts, voice, total)

        line.run(person)
        _count_tokens(line, total)
    return total.figures()


async def _answer(line: Line, parts: list[Part], voice: str, total: CutOffs) -> None:
    begun = line.now_ms
    pauses: list[tuple[int, Part]] = []
    for part in parts:
        await line.say(corpus.spoken(part.text, voice), part.text)
        if part.pause_ms:
            pauses.append((line.now_ms, part))
            await line.wait(part.pause_ms)
    ended = line.now_ms
    answered = await line.until(lambda: bool(line.of(ev.AudioStarted, after_ms=ended)), 12_000)
    await line.until(lambda: line.floor == "listening", 20_000)
    total.answers += 1
    total.unanswered += not answered
    total.pauses += len(pauses)
    if answered:
        total.waits_ms += (line.of(ev.AudioStarted, after_ms=ended)[0].at_ms - ended,)
    gone = {seen.event.item_id for seen in line.of(ev.ItemDeleted, after_ms=begun)}
    added = line.of(ev.ReplyItemAdded, after_ms=begun)
    items = {seen.event.response_id: seen.event.item.id for seen in added}
    for seen in line.of(ev.AudioStarted, after_ms=begun, before_ms=ended):
        if items[seen.event.response_id] in gone:
            total.withdrawn += 1
            continue
        total.kept += 1
        total.of_hanging += [part for at, part in pauses if at <= seen.at_ms][-1].hangs
    await line.wait(300)


def _count_tokens(line: Line, total: CutOffs) -> None:
    """Of a reply that stayed, all tokens were of use; of any other, none."""
    gone = {seen.event.item_id for seen in line.of(ev.ItemDeleted)}
    total.tokens += sum(line.tokens.values())
    for seen in line.of(ev.ReplyDone):
        for item in seen.event.items:
            if item.id not in gone and item.text:
                total.used += line.tokens.get(item.text.split()[0], 0)


# ------------------------------------------------------------ over a reply


def embedded() -> InStep:
    """pocketsphinx, as the server runs it."""
    return InStep(pocketsphinx.create(Settings()))


def over_replies(kinds: Iterable[Over], **line: Any) -> list[dict[str, Any]]:
    """Each thing over a reply of its own: what became of the reply, and when."""
    rows: list[dict[str, Any]] = []

    async def person(line: Line) -> None:
        for over in kinds:
            rows.append(await _over_reply(line, over))

    Line(Models(reply=LONG_REPLY, spoken_by="slt"), **line).run(person)
    return rows


async def _over_reply(line: Line, over: Over) -> dict[str, Any]:
    await line.wait(1_000)
    asked = line.now_ms
    await line.say(corpus.spoken("what is a cache", "rms"), "what is a cache")
    assert await line.until(lambda: bool(line.of(ev.AudioStarted, after_ms=asked)), 5_000), "it is answered"
    await line.wait(over.after_ms)
    sound = coded(over.sound)
    begun = await line.say(sound, over.text)
    ended = begun + 1000 * len(sound) // MIC_RATE
    voice_ms = begun + int(voice_begins_ms(sound)) if over.text else begun
    await line.wait(1_500)
    lost = line.of(ev.ReplyDone, after_ms=begun)
    cut = [seen for seen in lost if seen.event.status == "cancelled"]
    before_db = _level_db(line, begun - 600, begun)
    row: dict[str, Any] = {
        "kind": over.kind,
        "ms": ended - begun,
        "after_ms": over.after_ms,
        "lost": bool(cut),
        "silent_ms": _last_above(line, begun, cut[0].at_ms + 100) - voice_ms if cut else None,
        "ducked": any(seen.event.ducked for seen in line.of(ev.FloorChanged, after_ms=begun)),
        "answered": await _answered(line, begun) if cut else None,
        "resumed_ms": None if cut else _resumed_ms(line, ended, before_db),
    }
    if line.floor != "listening":
        await line.until(lambda: line.floor not in ("hearing", "paused"), 3_000)
        with_reply = line.floor in ("answering", "doubting")
        if with_reply:
            line.session.clear_output()
        await line.until(lambda: line.floor == "listening", 20_000)
    return row


async def _answered(line: Line, after_ms: int) -> bool:
    """Whether there is another reply."""
    return await line.until(lambda: bool(line.of(ev.AudioStarted, after_ms=after_ms)), 5_000)


def _level_db(line: Line, start_ms: int, end_ms: int) -> float:
    return float(np.percentile(line.levels[start_ms // 20 : end_ms // 20], 80))


def _last_above(line: Line, start_ms: int, end_ms: int) -> int:
    """The end of the last audible 20 ms."""
    audible = np.flatnonzero(np.array(line.levels[start_ms // 20 : end_ms // 20]) > -45)
    return start_ms + 20 * (int(audible[-1]) + 1) if len(audible) else start_ms


def _resumed_ms(line: Line, ended_ms: int, level_db: float) -> int | None:
    """From the end of the sound until the reply's level is back (0: it never left)."""
    levels = np.array(line.levels[ended_ms // 20 :])
    loud = np.flatnonzero(levels > level_db - RESUMED_DB)
    return 20 * int(loud[0]) if len(loud) else None


# ------------------------------------------------------------ a long call


def long_call(turns: int = 200, turn_ms: int = 6_000) -> dict[str, Any]:
    """Twenty minutes: a question, its answer, silence, over and over."""
    waits: list[int] = []
    starts: list[int] = []
    growth: list[tuple[int, int]] = []  # tasks, objects that the garbage collector sees
    sound = corpus.spoken("what is a cache", "rms")
    line = Line(Models(reply="A cache keeps what was used before."), keep_levels=False)
    silero()

    async def person(line: Line) -> None:
        for turn in range(turns):
            line.seen.clear()
            line.spoken.clear()
            begun = await line.say(sound, "what is a cache")
            await line.until(lambda: bool(line.of(ev.AudioStarted)), 3_000)
            await line.wait((turn + 1) * turn_ms - line.now_ms)
            starts.append(line.of(ev.SpeechStarted)[0].event.at_ms - begun)
            waits.append(line.of(ev.AudioStarted)[0].at_ms - begun)
            if turn + 1 in (turns // 2, turns):
                gc.collect()
                growth.append((len(asyncio.all_tasks()), len(gc.get_objects())))

    gc.collect()
    gc.freeze()  # as the server does when it has loaded everything
    began, cpu = time.perf_counter(), time.process_time()
    line.run(person)
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    gc.unfreeze()
    (tasks, objects), (tasks_after, objects_after) = growth
    return {
        "minutes": turns * turn_ms / 60_000,
        "turns": turns,
        "run_s": round(took, 1),
        "cpu_s": round(spent, 1),
        "drift_ms": max(starts) - min(starts) + max(waits) - min(waits),
        "tasks_more": tasks_after - tasks,
        "objects_more_a_turn": round((objects_after - objects) / (turns - turns // 2), 1),
    }


# ------------------------------------------------------------ all of it


def run(quick: bool = False) -> dict[str, Any]:
    calls, over = (3, 15) if quick else (12, 40)
    hesitant = [corpus.answers(ANSWERS_A_CALL, seed) for seed in range(1, calls + 1)]
    whole = [corpus.complete_answers(ANSWERS_A_CALL, seed) for seed in range(101, 101 + calls)]
    table: dict[str, Any] = {}
    for mode in ("interview", "chat"):
        table[f"cut-offs, {mode}"] = cut_offs(hesitant, mode)
        table[f"cut-offs, {mode}, a full stop after everything"] = cut_offs(hesitant, mode, full_stops=True)
        table[f"complete sentences, {mode}"] = cut_offs(whole, mode)
        table[f"complete sentences, {mode}, a full stop after everything"] = cut_offs(
            whole, mode, full_stops=True
        )
        table[f"tokens, {mode}"] = cut_offs(hesitant, mode, **REALISTIC)
    table["false alarms"] = _alarms(over_replies(corpus.nothing_meant(over, 7, (700, 3_000))))
    table["false alarms, embedded recogniser"] = _alarms(
        over_replies(corpus.nothing_meant(over, 7, (700, 3_000)), ears=embedded())
    )
    table["barge-ins, embedded recogniser"] = _barge_ins(
        over_replies(corpus.interruptions(over // 2, 11, (700, 3_000)), ears=embedded())
    )
    table["false alarms in the first 600 ms"] = _alarms(
        over_replies(corpus.nothing_meant(over // 2, 8, (0, 500)))
    )
    table["barge-ins"] = _barge_ins(over_replies(corpus.interruptions(over, 9, (700, 3_000))))
    table["barge-ins over echo at -20 dB"] = _barge_ins(
        over_replies(corpus.interruptions(over, 10, (700, 3_000)), echo_db=-20)
    )
    table["own echo at -20 dB"] = _alarms(over_replies(corpus.nobody(over // 4), echo_db=-20))
    table["long call"] = long_call(20 if quick else 200)
    return table


def _alarms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    resumed = [row["resumed_ms"] for row in rows if row["resumed_ms"] is not None]
    return {
        "n": len(rows),
        "lost": sum(row["lost"] for row in rows),
        "lost_by_kind": _by_kind(row["kind"] for row in rows if row["lost"]),
        "answered_anew": sum(bool(row["answered"]) for row in rows),
        "ducked": sum(row["ducked"] for row in rows),
        "back_after_median_ms": statistics.median(resumed) if resumed else None,
        "back_after_max_ms": max(resumed, default=None),
        "rows": rows,
    }


def _barge_ins(rows: list[dict[str, Any]]) -> dict[str, Any]:
    silent = [row["silent_ms"] for row in rows if row["silent_ms"] is not None]
    return {
        "n": len(rows),
        "missed": sum(not row["lost"] for row in rows),
        "missed_by_kind": _by_kind(row["kind"] for row in rows if not row["lost"]),
        "silent_median_ms": statistics.median(silent) if silent else None,
        "silent_p95_ms": round(float(np.percentile(silent, 95))) if silent else None,
        "silent_max_ms": max(silent, default=None),
        "rows": rows,
    }


def _by_kind(kinds: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


if __name__ == "__main__":
    for name, row in run().items():
        print(f"{name}: { {key: value for key, value in row.items() if key != 'rows'} }")
