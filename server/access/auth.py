"""Who sends a request: a server key, a client secret, a proxy's word, an issuer's token, or just anybody.

On loopback without any of those configured, and without a proxy, whoever reaches the port is let in: it is
their machine. As soon as one is, it is asked for, on loopback too, where a proxy in front connects from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from multidict import CIMultiDictProxy

from pipeline.errors import ConfigError, VivaError
from server.access.address import client_address, counted_as, is_loopback, is_trusted, networks
from server.access.client_secrets import PREFIX, ClientSecrets, SecretRefused
from server.access.grant import Grant
from server.access.keys import find_key
from server.access.limits import PerMinute
from server.access.oidc import Issuer, TokenRefused
from server.config import Config

BEARER = "bearer "
SUBPROTOCOL = "openai-insecure-api-key."  # how a browser's WebSocket carries a secret: it can set no header
MOST_NAME = 200  # characters of a user's name

HOW = "send Authorization: Bearer with a server key or a client secret (POST /v1/realtime/client_secrets)"


class Unauthorized(VivaError):
    """401: nobody we know. `code` goes on the wire."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TooManyFailures(VivaError):
    """429: too many wrong keys from one address."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("too many wrong keys from this address; wait before the next try")
        self.retry_after_s = retry_after_s


def is_open(config: Config) -> bool:
    """Whether anybody who reaches the port is let in."""
    return config.auth.open or (not _asks(config) and _is_for_this_machine(config))


def _asks(config: Config) -> bool:
    return bool(config.keys or config.auth.user_header or config.auth.oidc_issuer)


def _is_for_this_machine(config: Config) -> bool:
    """A proxy in front connects from this machine, and brings others."""
    return is_loopback(config.server.host) and not config.server.trusted_proxies


def refuse_open_door(config: Config) -> None:
    """Raises ConfigError when other machines would be let in without anybody having said so."""
    auth, host = config.auth, config.server.host
    if auth.user_header and not config.server.trusted_proxies:
        raise ConfigError(
            f"auth.user_header = {auth.user_header!r}: anybody could send it; say whose word is believed in "
            'server.trusted_proxies, e.g. ["127.0.0.1"]'
        )
    if not is_open(config) and not _asks(config):
        how = "server.trusted_proxies" if is_loopback(host) else f'server.host = "{host}"'
        raise ConfigError(
            f"{how}: other machines could reach it, and nobody would be asked for a key; "
            "set VIVA_API_KEYS (see .env.example), or let everybody in with --open, or use 127.0.0.1 alone "
            "(from elsewhere, tunnel to it: ssh -L 8080:127.0.0.1:8080)"
        )


class Auth:
    """Turns a request's headers into a `Grant`.

    Args:
        clock: seconds, of any origin, for counting failures.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self.open = is_open(config)
        self.secrets = ClientSecrets([secret.get_secret_value() for secret in config.signing])
        self._keys = config.keys
        self._settings = config.auth
        self._trusted = networks(config.server.trusted_proxies)
        self._issuer = Issuer(config.auth) if config.auth.oidc_issuer else None
        self._failures = PerMinute(config.limits.failures_per_minute, clock)

    def address(self, headers: CIMultiDictProxy[str], peer: str) -> str:
        """Of the client, in the form by which it is counted."""
        forwarded = ",".join(headers.getall("X-Forwarded-For", []))
        return counted_as(client_address(peer, forwarded, self._trusted))

    async def grant(self, headers: CIMultiDictProxy[str], peer: str) -> Grant:
        """Args: peer: the address at the other end of the socket.

        Raises Unauthorized, TooManyFailures or IssuerUnreachable."""
        address = self.address(headers, peer)
        try:
            granted = await self._grant(headers, peer)
        except Unauthorized as refused:
            wait_s = self._failures.take(address) if bearer_of(headers) else 0
            if wait_s:
                raise TooManyFailures(wait_s) from None
            raise refused from None
        return replace(granted, address=address)

    async def _grant(self, headers: CIMultiDictProxy[str], peer: str) -> Grant:
        given = bearer_of(headers)
        if given and (key := find_key(self._keys, given)):
            return Grant(by="key", key=key.label, role=key.role)
        if given.startswith(PREFIX):
            try:
                return self.secrets.check(given)
            except SecretRefused as refused:
                any_word_does = self.open and refused.code == "invalid_client_secret"
                if not any_word_does:
                    raise Unauthorized(refused.code, str(refused)) from None
        elif given and self._issuer is not None and given.count(".") == 2:
            try:
                return await self._issuer.check(given)
            except TokenRefused as refused:
                raise Unauthorized("invalid_token", str(refused)) from None
        by_proxy = not given and self._settings.user_header and is_trusted(peer, self._trusted)
        if by_proxy and (granted := self._from_proxy(headers)):
            return granted
        if self.open:
            return Grant()
        if given:
            raise Unauthorized("invalid_api_key", f"that key is not known here; {HOW}")
        raise Unauthorized("missing_api_key", f"this server asks for a key: {HOW}")

    def _from_proxy(self, headers: CIMultiDictProxy[str]) -> Grant | None:
        settings = self._settings
        users = headers.getall(settings.user_header, [])
        if len(users) > 1:
            raise Unauthorized(
                "ambiguous_user",
                f"{settings.user_header} came twice: the proxy has to replace the client's own",
            )
        if not users or not users[0].strip():
            return None
        roles = headers.getall(settings.roles_header, []) if settings.roles_header else []
        admin = settings.admin_role in {role.strip() for text in roles for role in text.split(",")}
        return Grant(by="proxy", user=users[0].strip()[:MOST_NAME], role="admin" if admin else "user")


def bearer_of(headers: CIMultiDictProxy[str]) -> str:
    """The key, secret or token of a request; "": it has none."""
    text = headers.get("Authorization", "")
    if text[: len(BEARER)].lower() == BEARER:
        return text[len(BEARER) :].strip()
    for offered in headers.get("Sec-WebSocket-Protocol", "").split(","):
        if offered.strip().startswith(SUBPROTOCOL):
            return offered.strip().removeprefix(SUBPROTOCOL)
    return ""
