"""STUN and TURN servers, with credentials that soon expire: draft-uberti-behave-turn-rest-00 §2.2.

A TURN server that knows the same secret (coturn: `use-auth-secret`) checks them without asking anybody. The
secret itself stays here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable
from typing import Any

from pydantic import SecretStr

from pipeline.errors import ConfigError

TURN = ("turn:", "turns:")


def credentials(secret: str, user: str, expires_at_s: int) -> tuple[str, str]:
    """(user name, password) that a TURN server takes until `expires_at_s`, in seconds since 1970."""
    name = f"{expires_at_s}:{user}"
    digest = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
    return name, base64.b64encode(digest).decode()


def refuse_unsigned(urls: Iterable[str], secret: SecretStr | None) -> None:
    """Raises ConfigError when there is a TURN server among `urls` and nothing to sign credentials with."""
    for url in urls:
        if url.startswith(TURN) and secret is None:
            raise ConfigError(
                f'ice: "{url}" needs the secret that it shares with this server (coturn: '
                "static-auth-secret); set VIVA_TURN_SECRET in the environment or in .env"
            )


def ice_servers(urls: Iterable[str], secret: SecretStr | None, ttl_s: int) -> list[dict[str, Any]]:
    """RTCIceServer dictionaries (W3C WebRTC §4.2.4), those of TURN servers with credentials."""
    stun = [url for url in urls if not url.startswith(TURN)]
    turn = [url for url in urls if url.startswith(TURN)]
    servers: list[dict[str, Any]] = [{"urls": stun}] if stun else []
    if turn and secret is not None:
        # a user of its own for each: what a TURN server logs can be told apart, and names nobody
        user = f"viva-{secrets.token_hex(4)}"
        name, password = credentials(secret.get_secret_value(), user, int(time.time()) + ttl_s)
        servers.append({"urls": turn, "username": name, "credential": password})
    return servers
