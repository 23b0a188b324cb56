"""Log lines that nobody outside can write: what a client sent begins no line and moves no cursor.

Each entry names the call that it is about, and none has anybody's words.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(call)s%(message)s"
_call: ContextVar[str] = ContextVar("call", default="")
# Control characters, separators of lines, what turns the direction of writing, halves of characters.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
CHATTY = (  # libraries that tell too much: each packet, each request, and some of them the keys in it
    *("aioice", "aiortc", "aiohttp.access", "faster_whisper"),
    *("httpx", "httpx2", "httpcore", "httpcore2", "websockets", "openai", "elevenlabs"),
)
INSIDE = "  | "  # before each line of a traceback: none of them can pass for an entry


@contextmanager
def about(call_id: str) -> Iterator[None]:
    """Whatever is logged inside, and in tasks that are begun inside, is about that call."""
    before = _call.set(call_id)
    try:
        yield
    finally:
        _call.reset(before)


def escaped(text: str) -> str:
    """One line, fit for a terminal."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class OneLine(logging.Formatter):
    """An entry a line; a traceback is indented below its own."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        call_id = _call.get()
        record.call = f"{call_id} " if call_id else ""
        return escaped(super().formatMessage(record))

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return "\n".join(INSIDE + escaped(line) for line in super().formatException(ei).split("\n"))


class OneObject(logging.Formatter):
    """A JSON object a line: time (UTC), level, logger, call, message, error, a turn's figures or costs."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "call": _call.get() or None,
            "message": record.getMessage(),
            "error": self.formatException(record.exc_info) if record.exc_info else None,
            "turn": getattr(record, "turn", None),
            "costs": getattr(record, "costs", None),
        }
        return json.dumps({key: value for key, value in entry.items() if value is not None})


def log_to_stderr(level: str, form: str = "text") -> None:
    """Everything of this process from `level` on; of chatty libraries, warnings. `form`: text or json."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneObject() if form == "json" else OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
