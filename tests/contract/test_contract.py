"""Every plug-in of the product keeps the contract, check by check.

All checks of a plug-in run in one examination, with the first of them: what comes after it costs nothing."""

from __future__ import annotations

from functools import cache

import pytest

from pipeline.choice import BUILT_IN
from pipeline.contract.suite import Result, names
from tests.contract.subjects import VENDORS, examined, stage_of, subject

pytestmark = pytest.mark.timeout(600)  # a whole examination; each of its checks is bounded

NO_PROCESS = {"a_killed_process_costs_one_piece_of_work"}
NO_STREAM = {
    "a_stream_that_is_closed_half_way_is_closed_at_the_vendor",
    "a_vendor_that_falls_silent_in_mid_stream_is_a_timeout",
}
NO_JSON = {"broken_json_is_a_bad_response"}
NOT_APPLICABLE = {
    "stt:pocketsphinx": set(),
    "stt:faster_whisper": NO_PROCESS,
    "stt:openai whisper-1": NO_PROCESS | NO_STREAM,
    "stt:openai gpt-4o-transcribe": NO_PROCESS,
    "stt:deepgram": NO_PROCESS,
    "stt:assemblyai": NO_PROCESS,
    "llm:scripted": NO_PROCESS,
    "llm:openai": NO_PROCESS,
    "llm:local": NO_PROCESS,
    "tts:espeak": set(),
    "tts:openai": NO_PROCESS | NO_JSON,
    "tts:elevenlabs": NO_PROCESS,
    "tts:piper": set(),
}


@cache
def results(plug_in: str) -> dict[str, Result]:
    return examined(subject(plug_in))


@pytest.mark.parametrize(
    ("plug_in", "check"),
    [
        (plug_in, check)
        for plug_in, vendor in VENDORS.items()
        for check in names(stage_of(plug_in), vendor=vendor is not None)
    ],
)
def test_it_keeps_the_contract(plug_in: str, check: str) -> None:
    result = results(plug_in).get(check, Result(check, "failed", "it was not tried: it did not start"))
    expected = "not applicable" if check in NOT_APPLICABLE[plug_in] else "ok"
    assert result.outcome == expected, result.why


def test_nobody_is_left_out() -> None:
    examined_ones = {plug_in.split()[0] for plug_in in VENDORS}
    assert examined_ones == {f"{stage}:{name}" for stage, names in BUILT_IN.items() for name in names}
