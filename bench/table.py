"""Figures to rows of the README's table: (what, reached, goal)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Row = tuple[str, str, str]
Figures = dict[str, Any]

STAGES = ("final", "first_token", "first_phrase", "first_audio", "patience", "first_sample")
CUT_OFFS = (
    ("cut-offs", "false cut-offs", ("< 2 %", "< 5 %; withdrawn < 10 %")),
    ("complete sentences", "the same, answers of several complete sentences", ("< 3 %", "stated")),
)


def rows(found: Figures) -> Iterator[Row]:
    """Of the parts that were measured."""
    for part, of in PARTS.items():
        if part in found:
            yield from of(found[part])


def _ms(of: Figures) -> str:
    if not of.get("came"):
        return f"none of {of['n']} came"
    missing = "" if of["came"] == of["n"] else f", {of['n'] - of['came']} of {of['n']} did not come"
    return f"{of['median_ms']} / {of['p95_ms']} ms{missing}"


def _talk(of: Figures) -> Iterator[Row]:
    v2v = of["v2v"]
    yield f"(a) v2v median / p95, chat, complete sentence, n = {v2v['n']}", _ms(v2v), "≤ 310 / 350 ms"
    added = v2v.get("median_ms", 0) - v2v["patience_ms"]
    yield "(a) v2v minus patience", f"{added} ms (patience used: {v2v['patience_ms']})", "≤ 60 ms"
    for share in ("1%", "5%"):
        lost = of[f"v2v, {share} lost"]
        more = lost.get("median_ms", 0) - v2v.get("median_ms", 0)
        yield (
            f"(a) with {share.replace('%', ' %')} of the caller's packets lost",
            f"{more:+} ms ({_ms(lost)})",
            "+ ≤ 30 ms",
        )
    yield f"barge-in → silent, median / p95, n = {of['barge-in']['n']}", _ms(of["barge-in"]), "≤ 330 / 380 ms"
    yield "barge-in → ducked by 12 dB, median / p95", _ms(of["ducked by 12 dB"]), "≤ 140 ms"


def _embedded(of: Figures) -> Iterator[Row]:
    for mode, own in of.items():
        stages = ", ".join(f"{stage.replace('_', ' ')} {own.get(f'{stage}_ms', '–')}" for stage in STAGES)
        yield f"v2v, embedded providers, {mode}", f"{_ms(own)} ({stages})", "stated, by stage"


def _start(of: Figures) -> Iterator[Row]:
    yield "start: command → page served", f"{of['median_s']} s (at most {of['max_s']})", "≤ 2 s"


def _connect(of: Figures) -> Iterator[Row]:
    answer, call = of["offer to answer"], of["click to call"]
    cpu = f"CPU time of the server, call and hang-up: {answer['cpu_ms']} ms"
    yield (
        f"offer → answer, host candidates, median / p95, n = {answer['n']}",
        f"{_ms(answer)} ({cpu})",
        "≤ 30 ms",
    )
    stages = ", ".join(f"{stage} {ms}" for stage, ms in call["stages_ms"].items())
    yield f"click → call up in Chromium, median / p95, n = {call['n']}", f"{_ms(call)} ({stages})", "≤ 500 ms"


def _delays(of: Figures) -> Iterator[Row]:
    one = of["one call"]
    yield f"(b) v2v median / p95, chat, complete sentence, n = {one['n']}", _ms(one), "≤ 850 / 900 ms"
    streaming = of["streaming"]
    yield (
        f"(b) with a recogniser that streams, its words 50 ms after the pause, n = {streaming['n']}",
        _ms(streaming),
        "≤ 700 ms",
    )
    for name, many in of.items():
        if not name.endswith("calls"):
            continue
        more = many.get("median_ms", 0) - one.get("median_ms", 0)
        yield f"(b) with {name} at once, n = {many['n']}", f"{more:+} ms ({_ms(many)})", "+ ≤ 50 ms"
        yield (
            f"(b) with {name} at once: answers whole, no longer than their sound",
            f"{many['whole']} of {many['n']}; {many['sound_s']} s last {many['longest_s']} s at most",
            "all",
        )


def _floor(of: Figures) -> Iterator[Row]:
    for name, what, goals in CUT_OFFS:
        for mode, goal in zip(("interview", "chat"), goals, strict=True):
            plain, stops = of[f"{name}, {mode}"], of[f"{name}, {mode}, a full stop after everything"]
            yield (
                f"{what}, {mode}, {plain['pauses']} pauses",
                f"{plain['cut_off_percent']} % (withdrawn {plain['withdrawn_percent']} %); with a recogniser "
                f"that ends everything with a full stop {stops['cut_off_percent']} % "
                f"({stops['withdrawn_percent']} %)",
                goal,
            )
    alarms, early = of["false alarms"], of["false alarms in the first 600 ms"]
    yield (
        f"false alarms: {alarms['n']} coughs, laughs, doors, keyboards, backchannels over a reply",
        f"{alarms['lost']} lost {alarms['lost_by_kind'] or ''}, back after {alarms['back_after_median_ms']}, "
        f"at most {alarms['back_after_max_ms']} ms; in its first 600 ms {early['lost']} of {early['n']} "
        f"withdrawn, {early['answered_anew']} of these given anew",
        "0 lost; back within 300 ms",
    )
    heard = of["false alarms, embedded recogniser"]
    lost = f"{heard['lost']} lost {heard['lost_by_kind'] or ''}"
    yield (
        f"the same {heard['n']} with the embedded recogniser",
        f"{lost}, back after at most {heard['back_after_max_ms']} ms",
        "0 lost; back within 300 ms",
    )
    for name in ("barge-ins", "barge-ins over echo at -20 dB", "barge-ins, embedded recogniser"):
        if name in of:
            own = of[name]
            yield (
                f"missed {name}, of {own['n']}, half of them quiet; silent median / p95",
                f"{own['missed']} (silent after {own['silent_median_ms']:.0f} / {own['silent_p95_ms']} ms)",
                "0",
            )
    own = of["own echo at -20 dB"]
    yield (
        f"replies of {own['n']} that their own echo at -20 dB ends / ducks for a moment",
        f"{own['lost']} / {own['ducked']}",
        "0 ended",
    )
    shares = {mode: of[f"tokens, {mode}"]["tokens_thrown_away_percent"] for mode in ("interview", "chat")}
    wasted = (f"{mode} {share} %" for mode, share in shares.items())
    yield "prepared tokens thrown away", ", ".join(wasted), "< 25 %"
    long = of["long call"]
    yield (
        f"{long['minutes']:.0f} minutes on virtual time, {long['turns']} turns",
        f"{long['run_s']} s ({long['cpu_s']} s of CPU), drift {long['drift_ms']} ms, "
        f"{long['tasks_more']} tasks more, {long['objects_more_a_turn']} objects a turn (the history)",
        "< 5 s, no drift, no growth",
    )


def _media(of: Figures) -> Iterator[Row]:
    for state, goal in (("listening", 0.015), ("speaking", 0.03)):
        whole = of["cpu"][f"gate {state}"]
        counted = of["cpu"].get(f"gate {state}, Silero left out", whole)
        model = f", {whole:.3f} with the gate's model" if counted != whole else ""
        yield (
            f"CPU of an audio call, {state}, media and gate, models not counted, {of['calls']} calls",
            f"{counted:.3f} core{model} (stock aiortc, media alone {of['cpu'][f'stock {state}']:.3f})",
            f"≤ {goal} core",
        )
    for codec in ("VP8", "H264"):
        passed, coded = (of["video_cpu"][f"{codec} {how}"] for how in ("passed through", "transcoded"))
        yield (
            f"webcam echo 640×480 at 30 fps, added, {codec}",
            f"{passed:.3f} core (transcoding {coded:.3f})",
            "≤ 0.045 core",
        )


def _ears(of: Figures) -> Iterator[Row]:
    losses = of["losses"]
    shares = ", ".join(
        f"{share} {row['errors']} of {row['words']} wrong ({row['percent']:.1f} %)"
        for share, row in losses.items()
    )
    yield "words through the jitter buffer, by packets lost, embedded recogniser", shares, "none lost at 1 %"
    for voice, own in of.items():
        if "final" not in own:
            continue
        final, full = own["final"], own["full"]
        yield (
            f"word errors of the embedded recogniser, flite {voice}, fast / full pass",
            f"{final['word_error_percent']:.1f} / {full['word_error_percent']:.1f} % "
            f"(after {final['median_ms']:.0f} / {full['median_ms']:.0f} ms)",
            "≤ 10 % (rms, full pass)" if voice == "rms" else "stated",
        )


def _whisper(of: Figures) -> Iterator[Row]:
    lengths = [name for name in of if name.endswith(" s")]
    final = (
        f"{of[n]['tail_s']} s: {of[n]['decode_ms']} ms (all of it: {of[n]['decode_whole_ms']})"
        for n in lengths
    )
    weights = "trained" if of["trained"] else "random"
    yield (
        f"faster-whisper, {weights} weights ({of['model']}): for the final after {', '.join(lengths)}",
        "; ".join(final),
        "one decode of the tail",
    )
    speed = of["throughput"]
    yield (
        f"the same, {of['batch']} calls ask at once, {speed['workers']} workers: recordings a second",
        f"{speed['calls_per_s']}; from {speed['workers'] * of['batch']} calls {speed['more_calls_per_s']}; "
        f"one at a time {speed['one_at_a_time_per_s']} (now {speed['more_calls_times']} ×), in the whole "
        f"window {speed['whole_window_per_s']}, as faster-whisper does it {speed['stock_per_s']} "
        f"({speed['times']} ×)",
        "≥ 3 ×",
    )
    waits = (f"{batch}: {own['mean_s']} / {own['last_s']} s" for batch, own in of["waits"].items())
    yield "the same, until the finals are there, mean / last, by largest batch", "; ".join(waits), ""
    if "words" in of:
        errors = (
            f"{window}: {own['plain']['percent']} / {own['noise']['percent']} %"
            for window, own in of["words"].items()
        )
        yield "the same, word errors, plain / with noise at 15 dB, by window", "; ".join(errors), "no more"
    for model in ("whisper-1", "gpt-4o-mini-transcribe"):
        own = of[model]
        sent = (f"{own[n]['sent_at_last_s']} ({own[n]['sent_s']} in all)" for n in own)
        yield (
            f"{model}: sent at the last pause after {', '.join(own)} of speech",
            f"{', '.join(sent)} s",
            "the tail",
        )


def _live(of: Figures) -> Iterator[Row]:
    for name, own in of.items():
        new, kept = own["new"], own["kept"]
        yield (
            f"{name}'s protocol: words after 100 ms of speech, on a line that waited / on a new one "
            f"({own['handshake_ms']:.0f} ms)",
            f"{kept['first_ms']:.0f} / {new['first_ms']:.0f} ms",
            "",
        )
        yield "the same, from the pause to its words, besides the vendor's time", f"{kept['final_ms']} ms", ""


def _chain(of: Figures) -> Iterator[Row]:
    stages = {"stt": "recogniser", "llm": "model", "tts": "voice"}
    for death, what in (("cut", "breaks the connection"), ("hang", "falls silent")):
        own = {name: of[f"{stage} {death}"] for stage, name in stages.items()}
        costs = (f"{name} {max(row['gap_ms'], row['later_ms'])} ms" for name, row in own.items())
        lost = [name for name, row in own.items() if not row["whole"]]
        yield (
            f"a vendor {what} in mid-call: silence until the next provider is heard",
            ", ".join(costs) + (f"; words were lost: {', '.join(lost)}" if lost else ""),
            "≤ 1 s",
        )


def _voices(of: Figures) -> Iterator[Row]:
    yield "first token → first phrase, a word every 15 ms, median / p95", _ms(of["phrases"]), "stated"
    first = "first phrase → first sound, median / p95"
    yield f"{first}: espeak", _ms(of["espeak"]), "≤ 30 ms"
    for name in ("openai", "elevenlabs"):
        yield f"{first}: {name}, beyond the vendor's first byte", _ms(of[name]), "≤ 20 ms"
    yield f"{first}: piper, a tiny model", _ms(of["piper"]), "stated"
    yield f"{first}: a hosted voice's fixed phrase, from disk", _ms(of["disk"]), "≤ 5 ms"


PARTS = {
    "talk": _talk,
    "embedded": _embedded,
    "start": _start,
    "connect": _connect,
    "delays": _delays,
    "floor": _floor,
    "media": _media,
    "ears": _ears,
    "whisper": _whisper,
    "live": _live,
    "chain": _chain,
    "voices": _voices,
}
