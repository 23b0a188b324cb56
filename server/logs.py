"""Log lines that nobody outside can write: what a client sent begins no line and moves no cursor."""

from __future__ import annotations

import logging
import re
from types import TracebackType

FORMAT = "%(asctime)s %(levelname).1s %(name)s: %(message)s"
# Control characters, separators of lines, what turns the direction of writing, halves of characters.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
INSIDE = "  | "  # before each line of a traceback: none of them can pass for an entry


def escaped(text: str) -> str:
    """One line, fit for a terminal."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class OneLine(logging.Formatter):
    """An entry a line; a traceback is indented below its own."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        return escaped(super().formatMessage(record))

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return "\n".join(INSIDE + escaped(line) for line in super().formatException(ei).split("\n"))


def log_to_stderr(level: str) -> None:
    """Everything of this process from `level` on; of chatty libraries, warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for chatty in ("aioice", "aiortc", "aiohttp.access", "httpx", "openai", "faster_whisper"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
