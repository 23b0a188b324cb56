"""The server's own tools: what the model is told about them, and what it is told came out."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.providers import ToolCall
from pipeline.settings import ToolSettings
from pipeline.toolbox import LONGEST_OUTPUT, THREADS, Toolbox
from tests import tools

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _forget() -> None:
    tools.ran.clear()


def toolbox(*names: str, **settings: Any) -> Toolbox:
    return Toolbox(ToolSettings(functions=tuple(f"tests.tools:{name}" for name in names), **settings))


async def out(name: str, arguments: Any = "", **settings: Any) -> str:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return await toolbox(name, **settings).run(ToolCall("call_1", name, text))


def test_name_docstring_and_types_are_what_the_model_is_told() -> None:
    (tool,) = toolbox("forecast").tools
    assert tool.name == "forecast"
    assert tool.description == "The weather of the coming days.\n\nAsk for the city first."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "its name, in English."},
            "days": {
                "type": "integer",
                "default": 1,
                "minimum": 1,
                "maximum": 7,
                "description": "how many.",
            },
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


async def test_what_a_function_returns_is_told_as_json() -> None:
    output = await out("forecast", {"city": "Rome", "days": 2})
    assert json.loads(output) == [{"temperature": 20.5, "sky": "clear"}] * 2
    assert tools.ran == [("forecast", {"city": "Rome", "days": 2, "unit": "C"})]


async def test_a_text_is_told_as_it_is_and_a_coroutine_is_awaited() -> None:
    assert await out("look_up", {"word": "cache"}) == "cache is a word"


async def test_what_does_not_wait_runs_on_a_thread_of_its_own() -> None:
    assert await out("where") == "tool where"


async def test_the_words_of_a_value_error_are_told() -> None:
    assert await out("forecast", {"city": "Atlantis"}) == "Error: there is no city Atlantis"


async def test_no_more_threads_than_there_is_room_for_however_many_hang() -> None:
    box = toolbox("hang", "where", timeout_s=0.05)
    before = set(threading.enumerate())  # those of tests before may still be ending
    for _ in range(THREADS + 3):
        await box.run(ToolCall("call_1", "hang", ""))
    assert len(set(threading.enumerate()) - before) == THREADS
    assert await box.run(ToolCall("call_2", "where", "")) == "Error: no result within 0.05 s"


def test_a_tool_that_hangs_does_not_keep_the_process_alive() -> None:
    program = (
        "import asyncio; from pipeline.toolbox import Toolbox; from pipeline.settings import ToolSettings;"
        "from pipeline.providers import ToolCall;"
        "box = Toolbox(ToolSettings(functions=('tests.tools:hang',), timeout_s=0.1));"
        "print(asyncio.run(box.run(ToolCall('1', 'hang', ''))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "Error: no result within 0.1 s"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ({}, "city: Field required"),
        ({"city": "Rome", "days": 9}, "days: Input should be less than or equal to 7"),
        ({"city": "Rome", "colour": 1}, "colour: Extra inputs are not permitted"),
    ],
)
async def test_wrong_arguments_are_told_and_nothing_runs(arguments: Any, complaint: str) -> None:
    output = await out("forecast", arguments)
    assert output.startswith("Error: the arguments are wrong: ")
    assert complaint in output
    assert not tools.ran


async def test_of_any_other_failure_only_the_kind_is_told_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await out("look_up", {"word": "broken"}) == "Error: the tool failed (RuntimeError)"
    assert "RuntimeError in " in caplog.text
    assert "1234" not in caplog.text


@pytest.mark.parametrize(("name", "arguments"), [("look_up", {"word": "endless"}), ("sleepy", "")])
async def test_a_tool_that_takes_too_long_is_told_to_have(name: str, arguments: Any) -> None:
    assert await out(name, arguments, timeout_s=0.05) == "Error: no result within 0.05 s"
    assert await out(name, arguments, timeouts_s={name: 0.1}) == "Error: no result within 0.1 s"


async def test_an_output_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    output = await out("look_up", {"word": "x" * 2 * LONGEST_OUTPUT})
    assert len(output) < LONGEST_OUTPUT + 100
    assert output.endswith(f"(cut off: {2 * LONGEST_OUTPUT + 10} characters)")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("tests.tools", "is no function"),
        ("tests.tools:NOT_A_FUNCTION", "is no function"),
        ("tests.tools:gone", "has no attribute 'gone'"),
        ("tests.nowhere:gone", "No module named"),
        ("tests.tools:bare", "has no docstring"),
        ("tests.tools:untyped", "city has no type"),
        ("tests.tools:anything", "cities cannot be given by name"),
    ],
)
def test_what_cannot_be_a_tool_is_named_at_the_start(path: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as error:
        Toolbox(ToolSettings(functions=(path,)))
    assert path in str(error.value)


def test_two_tools_of_one_name_and_a_time_out_of_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="two functions 'forecast'"):
        toolbox("forecast", "forecast")
    with pytest.raises(ConfigError, match="no tool is named forecst"):
        toolbox("forecast", timeouts_s={"forecst": 3.0})
