"""The beat that all voices share, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from server.media.pulse import pulse
from tests.virtual import Deadlock, run


def test_every_member_is_called_on_every_whole_frame_of_the_clock() -> None:
    async def listen() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        beats: list[tuple[str, float]] = []
        await asyncio.sleep(0.013)
        pulse().join(lambda: beats.append(("first", loop.time())))
        await asyncio.sleep(0.03)
        pulse().join(lambda: beats.append(("second", loop.time())))
        await asyncio.sleep(0.05)
        return beats

    beats = run(listen())
    assert [who for who, _ in beats] == ["first", "first", "first", "second", "first", "second"]
    assert [round(at, 6) for who, at in beats if who == "first"] == [0.02, 0.04, 0.06, 0.08]


def test_ten_minutes_do_not_drift() -> None:
    async def listen() -> list[float]:
        loop = asyncio.get_running_loop()
        beats: list[float] = []
        pulse().join(lambda: beats.append(loop.time()))
        await asyncio.sleep(600.01)
        return beats

    beats = run(listen())
    assert len(beats) == 30_000
    assert abs(beats[-1] - 600) < 0.001


def test_after_a_stall_of_the_loop_it_beats_once_and_is_back_on_its_grid() -> None:
    async def listen() -> list[float]:
        loop = asyncio.get_running_loop()
        beats: list[float] = []
        pulse().join(lambda: beats.append(loop.time()))
        stalls = iter([0.11])

        def stall() -> None:  # on the virtual loop time passes only while it waits
            loop._jumping.seconds += next(stalls, 0.0)  # type: ignore[attr-defined]

        loop.call_at(0.03, stall)
        await asyncio.sleep(0.21)
        return beats

    assert [round(beat, 3) for beat in run(listen())] == [0.02, 0.14, 0.16, 0.18, 0.2]


def test_a_member_that_fails_is_called_no_more_and_the_others_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def listen() -> list[str]:
        beats: list[str] = []

        def fail() -> None:
            beats.append("failed")
            raise RuntimeError("on purpose")

        pulse().join(fail)
        pulse().join(lambda: beats.append("went on"))
        await asyncio.sleep(0.05)
        return beats

    assert run(listen()) == ["failed", "went on", "went on"]
    assert len(caplog.records) == 1


def test_no_timer_is_left_once_the_last_has_left() -> None:
    async def leave(in_a_beat: bool) -> None:
        def beat() -> None:
            if in_a_beat:
                pulse().leave(beat)

        def nothing() -> None:
            return None

        members: list[Callable[[], None]] = [beat, *([] if in_a_beat else [nothing])]
        for member in members:
            pulse().join(member)
        await asyncio.sleep(0.1)
        for member in members:
            pulse().leave(member)
        with pytest.raises(Deadlock):
            await asyncio.Event().wait()

    for in_a_beat in (True, False):
        with pytest.raises(Deadlock):
            run(leave(in_a_beat))
