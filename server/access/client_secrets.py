"""Client secrets: what a browser is given in place of a key. Signed, so that any replica can check one alone.

`ek_` and a JSON Web Token (HS256, RFC 7519) that carries the grant. Whoever holds a token can read it, so a
session that is baked in is encrypted (Fernet): else a browser would read the rubric out of its own secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pipeline.errors import VivaError
from server.access.grant import Grant

PREFIX = "ek_"
AUDIENCE = "viva-client-secret"
SHORTEST_S, LONGEST_S = 10, 7200
LONGEST = 16 * 1024  # characters of a secret; it travels in a header, and ours may have 32 KiB


class SecretRefused(VivaError):
    """A client secret that opens nothing. `code`: expired_client_secret, invalid_client_secret, used_…"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SessionTooLarge(VivaError):
    """The session does not fit into a secret."""


class ClientSecrets:
    """Makes and checks them.

    Args:
        signing: the first one signs, any of them checks (so one can be replaced in two steps). Empty: one is
            made, and what it signed is worth nothing after a restart or at another replica.
        now: Unix seconds.
    """

    def __init__(self, signing: Sequence[str] = (), now: Callable[[], float] = time.time) -> None:
        keys = [text.encode() for text in signing] or [secrets.token_bytes(32)]
        self._signing = [_derived(key, b"sign") for key in keys]
        self._sealing = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(_derived(key, b"seal"))) for key in keys]
        )
        self._now = now
        self._used: dict[str, int] = {}  # id of a single-use secret -> when it expires; of this process alone

    def make(
        self, grant: Grant, session: dict[str, Any], seconds: int, *, single_use: bool
    ) -> tuple[str, int]:
        """(secret, when it expires, Unix seconds) for whoever `grant` stands for. Raises SessionTooLarge."""
        now = int(self._now())
        claims: dict[str, Any] = {
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(8),
            "key": grant.key,
            "user": grant.user,
            "once": single_use,
        }
        if session:
            packed = zlib.compress(json.dumps(session, separators=(",", ":")).encode(), 9)
            claims["session"] = self._sealing.encrypt(packed).decode()
        value = PREFIX + jwt.encode(claims, self._signing[0], algorithm="HS256")
        if len(value) > LONGEST:
            raise SessionTooLarge(
                f"the session makes a client secret of {len(value)} characters, and {LONGEST} may be; "
                "shorten its instructions or tools"
            )
        return value, claims["exp"]

    def check(self, secret: str) -> Grant:
        """What it grants. Raises SecretRefused."""
        claims = self._verified(secret.removeprefix(PREFIX))
        session = ""
        if "session" in claims:
            try:
                session = zlib.decompress(self._sealing.decrypt(claims["session"])).decode()
            except InvalidToken:
                raise SecretRefused("invalid_client_secret", "the client secret is not ours") from None
        return Grant(
            by="secret",
            key=claims["key"],
            user=claims["user"],
            session=session,
            expires_at=claims["exp"],
            single_use=claims["jti"] if claims["once"] else "",
        )

    def redeem(self, grant: Grant) -> None:
        """To be asked when a call is placed. Raises SecretRefused for a single-use secret's second call."""
        if not grant.single_use:
            return
        now = self._now()
        self._used = {used: expires for used, expires in self._used.items() if expires > now}
        if grant.single_use in self._used:
            raise SecretRefused("used_client_secret", "the client secret has been used; ask for another")
        self._used[grant.single_use] = grant.expires_at or 0

    def give_back(self, grant: Grant) -> None:
        """What was redeemed opened no call."""
        self._used.pop(grant.single_use, None)

    def _verified(self, token: str) -> dict[str, Any]:
        for key in self._signing:
            try:
                # The clock is ours, so the time is looked at below.
                claims = jwt.decode(
                    token,
                    key,
                    algorithms=["HS256"],
                    audience=AUDIENCE,
                    options={"require": ["exp", "jti"], "verify_exp": False, "verify_iat": False},
                )
            except (jwt.InvalidTokenError, UnicodeError):
                continue
            if claims["exp"] <= self._now():
                raise SecretRefused("expired_client_secret", "the client secret has expired; ask for another")
            return claims
        raise SecretRefused("invalid_client_secret", "the client secret is not ours")


def _derived(key: bytes, purpose: bytes) -> bytes:
    """32 bytes for one purpose; the same secret never both signs and encrypts."""
    return hashlib.blake2b(key, digest_size=32, person=purpose).digest()
