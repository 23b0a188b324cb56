"""Users by the tokens of an OpenID Connect issuer (JSON Web Tokens, RFC 7519, 8725; OpenID Discovery 1.0)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt

from pipeline.errors import ConfigError, VivaError
from server.access.address import is_loopback
from server.access.door import AuthSettings
from server.access.grant import Grant

log = logging.getLogger(__name__)

WITHIN_S = 5.0  # for the issuer to answer
MOST_BYTES = 256 * 1024  # of an answer of the issuer
KEPT_S = 3600.0  # keys are asked for again after so long, for one that was withdrawn
ASKED_EVERY_S = 10.0  # at most: an unknown key id may be a new key, or anybody's invention
LEEWAY_S = 30  # clocks differ
# What comes of an issuer that is away, or answers something else.
UNUSABLE = (
    aiohttp.ClientError,
    TimeoutError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    jwt.PyJWTError,
)


class TokenRefused(VivaError):
    """A token that proves nothing here."""


class IssuerUnreachable(VivaError):
    """Its keys could not be had; the token may be good."""


class Issuer:
    """Checks the tokens of one issuer by its published keys, which are fetched when needed and then kept.

    Args:
        clock: seconds, of any origin.
    """

    def __init__(self, settings: AuthSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_s = -KEPT_S
        self._asked_s = -KEPT_S
        self._fetching = asyncio.Lock()
        _check(settings)

    async def check(self, token: str) -> Grant:
        """Raises TokenRefused or IssuerUnreachable."""
        settings = self._settings
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.InvalidTokenError, UnicodeError):
            raise TokenRefused("the token is no JSON Web Token") from None
        if header.get("alg") not in settings.oidc_algorithms:
            raise TokenRefused("the token is signed by an algorithm that is not taken here")
        key = await self._key(str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=list(settings.oidc_algorithms),
                audience=settings.oidc_audience,
                issuer=settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", settings.oidc_user_claim]},
            )
        except jwt.InvalidTokenError as error:
            raise TokenRefused(f"the token is not valid: {error}") from None
        roles = claims.get(settings.oidc_roles_claim) or []
        roles = roles.split() if isinstance(roles, str) else roles if isinstance(roles, list) else []
        return Grant(
            by="oidc",
            user=str(claims[settings.oidc_user_claim]),
            role="admin" if settings.admin_role in roles else "user",
            expires_at=int(claims["exp"]),
        )

    async def _key(self, key_id: str) -> jwt.PyJWK:
        async with self._fetching:
            now_s = self._clock()
            stale = now_s - self._fetched_s >= KEPT_S
            if (stale or key_id not in self._keys) and now_s - self._asked_s >= ASKED_EVERY_S:
                self._asked_s = now_s
                try:
                    self._keys = await self._fetch()
                    self._fetched_s = now_s
                except UNUSABLE as error:
                    log.warning("the keys of %s cannot be had: %r", self._settings.oidc_issuer, error)
        if key_id in self._keys:
            return self._keys[key_id]
        if not self._keys:
            raise IssuerUnreachable("the issuer of the token does not answer")
        raise TokenRefused("the token is signed by a key that its issuer does not have")

    async def _fetch(self) -> dict[str, jwt.PyJWK]:
        async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession() as http:
            issuer = self._settings.oidc_issuer
            found = await _json(http, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if found["issuer"] != issuer:
                raise ValueError(f"it calls itself {found['issuer']!r}")
            _check_url(keys_url := str(found["jwks_uri"]), "its jwks_uri")
            table = await _json(http, keys_url)
        keys = jwt.PyJWKSet.from_dict(table).keys  # passes over kinds that it does not know
        return {key.key_id or "": key for key in keys if key.public_key_use in (None, "sig")}


async def _json(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """A redirect is an error: it could lead anywhere, also to where only this machine gets."""
    async with http.get(url, allow_redirects=False, raise_for_status=True) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MOST_BYTES:
                raise ValueError(f"{url} answers with too much")
        if response.status != 200:
            raise ValueError(f"{url} answers {response.status}")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} is no JSON object")
    return found


def _check(settings: AuthSettings) -> None:
    try:
        _check_url(settings.oidc_issuer, "auth.oidc_issuer")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not settings.oidc_audience:
        raise ConfigError(
            "auth.oidc_audience is empty: a token that was made for another service would be taken"
        )


def _check_url(url: str, name: str) -> None:
    """https, or this machine. Raises ValueError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host))):
        raise ValueError(f"{name} = {url!r}: it begins with https://")
