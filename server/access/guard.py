"""Who may talk to the server at all, and what a browser may do with its answers.

A page of another site must not reach the server through the browser of a person who may: whose machine it
is, or whom a proxy vouches for. DNS rebinding gives such a page our address under its own name (Host tells),
a form, `fetch` or a WebSocket needs no permission to send (Origin tells).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

HEADERS = {
    # Everything from here and nothing in line.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
        "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

CROSS_ORIGIN_HEADERS = "authorization, content-type, x-openai-agents-sdk"


class Guard:
    """Knows the names under which this server may be addressed.

    Args:
        hosts, origins: further ones that the configuration allows, e.g. "viva.example",
            "https://viva.example".
        hsts_s: how long browsers shall insist on https; 0: that is not said.
    """

    def __init__(
        self, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = (), *, hsts_s: int = 0
    ) -> None:
        self._hsts_s = hsts_s
        self._any_address_at = ""  # a port at which any address of ours will do as a name
        self._extra_hosts = frozenset(host.lower() for host in hosts)
        self._extra_origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._hosts = self._extra_hosts

    def listen_on(self, port: int, *, others: bool = False) -> None:
        """The port that was bound; before, only what the configuration allows is let in.

        Args: others: other machines may come too, by an address: that is no name that a site could give us.
        """
        local = {f"{name}:{port}" for name in LOOPBACK_NAMES}
        local |= {f"{name}:{port}" for name in self._extra_hosts if ":" not in name}
        if port in (80, 443):
            local |= set(LOOPBACK_NAMES)
        self._hosts = self._extra_hosts | local
        self._any_address_at = str(port) if others else ""

    def knows_host(self, host: str) -> bool:
        return host.lower() in self._hosts or self._is_address(host)

    def _is_address(self, host: str) -> bool:
        match = re.fullmatch(r"\[([0-9a-fA-F:.]+)\]:(\d+)|([0-9.]+):(\d+)", host)
        if not match or not self._any_address_at or (match[2] or match[4]) != self._any_address_at:
            return False
        try:
            ipaddress.ip_address(match[1] or match[3])
        except ValueError:
            return False
        return True

    def knows_origin(self, origin: str) -> bool:
        if origin.lower() in self._extra_origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and self.knows_host(parts.netloc)

    def is_foreign_site(self, origin: str) -> bool:
        """An allowed origin that is not the page's own: its browser wants to be told so."""
        return origin.lower() in self._extra_origins

    def refusal(self, host: str, origin: str | None) -> str | None:
        """Why a request is turned away; None: it is not."""
        if not self.knows_host(host):
            return "this server is not addressed by that name (Host); server.allowed_hosts can add it"
        if origin is not None and not self.knows_origin(origin):
            return "requests from other sites are not taken (Origin); server.allowed_origins can add one"
        return None

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """For aiohttp's on_response_prepare: every answer has them, errors too."""
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "viva"  # its parts and their versions are nobody's business
        if self._hsts_s:
            response.headers["Strict-Transport-Security"] = f"max-age={self._hsts_s}"
        origin = request.headers.get("Origin")
        if origin and self.is_foreign_site(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After"
            response.headers["Vary"] = "Origin"
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
                response.headers["Access-Control-Allow-Headers"] = CROSS_ORIGIN_HEADERS
                response.headers["Access-Control-Max-Age"] = "600"
