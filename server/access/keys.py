"""Server keys: what a server, or a person at the log-in, proves itself by. From the environment alone.

    VIVA_API_KEYS="school=<key>, app=<key>"    they place calls and make client secrets
    VIVA_ADMIN_KEYS="ops=<key>"                 and see to the server itself

A label is what limits, metrics and logs know of a key. Of the key only a hash is kept: it is long and random,
so a plain SHA-256 cannot be guessed back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

from pipeline.errors import ConfigError
from server.access.grant import Role

SHORTEST = 24  # characters; a random key has far more
LABEL = re.compile(r"^[a-z0-9][a-z0-9_-]{0,31}$")


@dataclass(frozen=True, slots=True)
class ServerKey:
    label: str
    role: Role
    digest: bytes  # SHA-256


def parse_keys(variable: str, text: str, role: Role) -> tuple[ServerKey, ...]:
    """The keys of one environment variable. Raises ConfigError, which never holds a key."""
    keys = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        label, equals, key = entry.partition("=")
        if not equals or not LABEL.match(label):
            raise ConfigError(
                f"environment: {variable}: it is label=key, label=key with labels of a-z, 0-9, _ and -"
            )
        if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(
                f"environment: {variable}: the key {label!r} is too easy to guess; make one of at least "
                f"{SHORTEST} characters, e.g. with: openssl rand -hex 24"
            )
        keys.append(ServerKey(label, role, _digest(key)))
    return tuple(keys)


def find_key(keys: tuple[ServerKey, ...], given: str) -> ServerKey | None:
    """The one that `given` is. All are compared, each in the same time, whatever is given."""
    digest = _digest(given)
    found = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    return found[0] if found else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
