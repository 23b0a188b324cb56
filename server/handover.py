"""Conversations that wait for the next start of the server: a file, from SIGTERM until they are taken up.

It holds what people said: nobody but the server's own user can read it, it is removed as soon as it is read,
and it is worth nothing once `server.resume_within_s` has passed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline.absence import Left
from pipeline.notices import Spent
from pipeline.settings import CallSettings

log = logging.getLogger(__name__)

OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call without a line."""

    call_id: str
    token: str
    epoch: int
    proven: int
    grant: str  # JSON of a `server.access.grant.Grant`
    session_id: str
    settings: CallSettings
    left: Left
    until: float  # Unix seconds; then nobody will come back
    spent: tuple[Spent, ...] = ()  # what it has cost so far


KEPT = TypeAdapter(list[Waiting])


def hand_over(path: Path, waiting: Sequence[Waiting]) -> None:
    """Writes them in place of whatever is there. An error costs the conversations, not the stop."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as file:
            file.write(KEPT.dump_json(list(waiting)))
        beside.replace(path)
    except OSError as error:
        log.error("%d conversations end here: %s cannot be written: %s", len(waiting), path, error.strerror)


def take_over(path: Path) -> list[Waiting]:
    """Those that are still waited for; the file is gone afterwards."""
    try:
        text = path.read_bytes()
        path.unlink()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.error("no conversation is taken up: %s: %s", path, error.strerror)
        return []
    try:
        return [one for one in KEPT.validate_json(text) if one.until > time.time()]
    except ValidationError:
        log.error("no conversation is taken up: %s is of another version", path)
        return []
