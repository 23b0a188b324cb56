"""Tools of the server's own: plain typed Python functions that the mind may call, named by the configuration.

    [tools]
    functions = ["weather.tools:forecast"]

    def forecast(city: str, days: int = 1) -> str:
        \"\"\"The weather of the coming days.

        Args:
            city: its name, in English.
            days: how many, 1 to 7.
        \"\"\"

Name, docstring and types are what the model is told. Arguments are checked by pydantic before the function
sees them. What it returns is told to the model: a str as it is, anything else as JSON, and what a ValueError
says. An `async def` runs on the event loop and must not block it; any other runs on a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import re
import threading
import traceback
from collections.abc import Callable
from time import perf_counter
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from pipeline.errors import ConfigError
from pipeline.providers import ToolCall
from pipeline.settings import Tool, ToolSettings

log = logging.getLogger(__name__)

THREADS = 8  # functions on threads at a time, in all calls; one that never returns keeps its thread
LONGEST_OUTPUT = 32_000  # characters; the model is told when more was cut off
COMPLAINTS = 3  # about one call's arguments
EMPTY = inspect.Parameter.empty


class Toolbox:
    """The tools of one process, shared by all calls. Raises ConfigError naming what cannot be a tool."""

    def __init__(self, settings: ToolSettings) -> None:
        self.rounds = settings.rounds
        self._settings = settings
        self._functions: dict[str, Function] = {}
        for path in settings.functions:
            function = Function(path)
            if function.tool.name in self._functions:
                raise ConfigError(f"tools.functions: there are two functions {function.tool.name!r}")
            self._functions[function.tool.name] = function
        unknown = settings.timeouts_s.keys() - self._functions.keys()
        if unknown:
            raise ConfigError(f"tools.timeouts_s: no tool is named {', '.join(sorted(unknown))}")
        self._room = asyncio.Semaphore(THREADS)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(function.tool for function in self._functions.values())

    async def run(self, call: ToolCall) -> str:
        """What the model is told came out of it. Never raises: what goes wrong is told as well."""
        function = self._functions.get(call.name)
        if function is None:
            return f"Error: there is no function {call.name!r}"
        timeout_s = self._settings.timeouts_s.get(call.name, self._settings.timeout_s)
        began = perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                output = await self._run(function, call.arguments)
        except ValidationError as error:
            output = f"Error: the arguments are wrong: {_complaints(error)}"
        except TimeoutError:
            output = f"Error: no result within {timeout_s:g} s"
        except ValueError as error:
            output = f"Error: {error}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]  # its words may be somebody's
            log.error("tool %s: %s in %s:%s", call.name, type(error).__name__, where.filename, where.lineno)
            output = f"Error: the tool failed ({type(error).__name__})"
        log.info("tool %s: %.0f ms", call.name, 1000 * (perf_counter() - began))
        return output

    async def _run(self, function: Function, arguments: str) -> str:
        given = function.checked(arguments)
        if inspect.iscoroutinefunction(function.work):
            result = await function.work(**given)
        else:
            await self._room.acquire()
            result = await _on_thread(
                lambda: function.work(**given), f"tool {function.tool.name}", self._room.release
            )
        text = result if isinstance(result, str) else to_json(result, fallback=str).decode()
        if len(text) > LONGEST_OUTPUT:
            text = f"{text[:LONGEST_OUTPUT]}… (cut off: {len(text)} characters)"
        return text


NONE = Toolbox(ToolSettings())  # for a process without any


class Function:
    """One function, and what the model is told about it. `path`: "package.module:name"."""

    def __init__(self, path: str) -> None:
        self.work = _function(path)
        documentation = inspect.getdoc(self.work)
        if not documentation:
            raise ConfigError(f"tools.functions: {path} has no docstring; the model is told nothing else")
        about, described = _read(documentation)
        self._arguments = _model(path, self.work, described)
        schema = self._arguments.model_json_schema()
        schema.pop("title", None)
        for place in schema.get("properties", {}).values():
            place.pop("title", None)
        try:
            self.tool = Tool(name=self.work.__name__, description=about, parameters=schema)
        except ValidationError as error:
            raise ConfigError(f"tools.functions: {path}: {_complaints(error)}") from None

    def checked(self, arguments: str) -> dict[str, Any]:
        """Raises pydantic.ValidationError."""
        given = self._arguments.model_validate_json(arguments or "{}")
        return {name: getattr(given, name) for name in type(given).model_fields}


async def _on_thread(work: Callable[[], Any], name: str, ended: Callable[[], None]) -> Any:
    """What `work` returns, or raises, on a thread of its own: those of a pool are waited for when the process
    ends, however long a function hangs. `ended` is called on the loop when the thread is over."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: Exception | None) -> None:
        ended()
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result: Any = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done


def _function(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name) if name else None
    except Exception as error:  # whatever the module does when it is imported
        raise ConfigError(f"tools.functions: {path}: {type(error).__name__}: {error}") from error
    if not inspect.isfunction(found):
        raise ConfigError(f'tools.functions: {path!r} is no function; write "package.module:function"')
    return found


def _model(path: str, work: Callable[..., Any], described: dict[str, str]) -> type[BaseModel]:
    try:
        hints = get_type_hints(work, include_extras=True)
    except NameError as error:
        raise ConfigError(f"tools.functions: {path}: {error}") from None
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(work).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"tools.functions: {path}: {name} cannot be given by name")
        if name not in hints:
            raise ConfigError(f"tools.functions: {path}: {name} has no type")
        default = ... if parameter.default is EMPTY else parameter.default
        fields[name] = (hints[name], FieldInfo(default=default, description=described.get(name)))
    try:
        return create_model(work.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    except Exception as error:  # a type that pydantic knows nothing about
        raise ConfigError(f"tools.functions: {path}: {error}") from None


def _read(documentation: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each argument in its section `Args:`."""
    about, _, rest = documentation.partition("\nArgs:\n")
    described: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith(" "):  # the next section
            break
        found = re.match(r"    (\w+)(?: \(.*?\))?: (.*)", line)
        if found:
            name = found[1]
            described[name] = found[2].strip()
        elif name and line.strip():
            described[name] += f" {line.strip()}"
    return about.strip(), described


def _complaints(error: ValidationError) -> str:
    wrong = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()[:COMPLAINTS]]
    return "; ".join(f"{place}: {message}" if place else message for place, message in wrong)
