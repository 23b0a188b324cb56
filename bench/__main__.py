"""`make bench`: measures every row of the README's table, prints it and writes all figures as JSON.

    python -m bench [--only talk,delays,...] [--quick]

Real time for all but floor, which is on virtual time. A machine that does other things at the same time shows
in the first lines of the table: its load before and after each part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import chain, connect, delays, ears, floor, live, media, talk, voices, whisper
from bench.table import rows

RESULTS = Path(__file__).parent / "results"


def _floor(quick: bool) -> dict[str, Any]:
    return floor.run(quick)


def _talk(quick: bool) -> dict[str, Any]:
    return asyncio.run(talk.zero(4 if quick else 24))


def _embedded(quick: bool) -> dict[str, Any]:
    return asyncio.run(talk.embedded(2 if quick else 8))


def _start(quick: bool) -> dict[str, Any]:
    return asyncio.run(talk.start(1 if quick else 3))


def _connect(quick: bool) -> dict[str, Any]:
    return asyncio.run(connect.run(3 if quick else 20))


def _delays(quick: bool) -> dict[str, Any]:
    return asyncio.run(delays.run(4 if quick else 16))


def _media(quick: bool) -> dict[str, Any]:
    return asyncio.run(media.run(2 if quick else media.CALLS))


def _ears(quick: bool) -> dict[str, Any]:
    return ears.run(("rms",) if quick else ("rms", "slt"))


PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "talk": _talk,
    "embedded": _embedded,
    "start": _start,
    "connect": _connect,
    "delays": _delays,
    "media": _media,
    "ears": _ears,
    "whisper": whisper.run,
    "live": live.run,
    "chain": chain.run,
    "voices": voices.run,
    "floor": _floor,
}


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "python": platform.python_version(),
        "system": platform.platform(),
        "at": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measures what the README's table says.")
    parser.add_argument("--only", metavar="NAMES", help=f"of {', '.join(PARTS)}; with commas")
    parser.add_argument("--quick", action="store_true", help="fewer of everything: does it run at all?")
    given = parser.parse_args(argv)
    names = given.only.split(",") if given.only else list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(PARTS)}")
    found: dict[str, Any] = {"machine": machine(), "quick": given.quick, "load": {}, "took_s": {}}
    failed: list[str] = []
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y-%m-%d-%H%M%S.json")
    for name in names:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        before, began = os.getloadavg()[0], time.monotonic()
        try:
            figures = PARTS[name](given.quick)
        except Exception:  # the other parts have their figures all the same
            traceback.print_exc()
            failed.append(name)
            continue
        found["load"][name] = [round(before, 2), round(os.getloadavg()[0], 2)]
        found["took_s"][name] = round(time.monotonic() - began)
        found[name] = figures
        path.write_text(json.dumps(found, indent=1, default=float) + "\n")  # now: an end costs one part
    print(report(found))
    print(f"\nAll figures: {path}")
    for name in failed:
        print(f"{name} could not be measured", file=sys.stderr)
    return 1 if failed else 0


def report(found: dict[str, Any]) -> str:
    """The table, in Markdown."""
    on = found["machine"]
    load = ", ".join(f"{name} {before} → {after}" for name, (before, after) in found["load"].items())
    lines = [
        f"{on['cpu']}, {on['cores']} cores, Python {on['python']}, {on['at']}; load average: {load}",
        "",
        "| what | reached | goal |",
        "|---|---|---|",
    ]
    return "\n".join(lines + [f"| {what} | {reached} | {goal} |" for what, reached, goal in rows(found)])


if __name__ == "__main__":
    sys.exit(main())
