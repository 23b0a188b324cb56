"""Who may talk to the server at all, and what a browser may do with its answers.

Until there are accounts, whoever reaches the port is trusted, so only this machine may reach it; and a page
of another site must not reach it through the browser of a person who is on this machine. DNS rebinding
gives such a page our address under its own name (Host tells), a form or `fetch` needs no permission to send
(Origin tells).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from pipeline.errors import ConfigError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

HEADERS = {
    # Everything from here and nothing in line, but style attributes: the face is drawn with them.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
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


def refuse_open_door(host: str) -> None:
    """Raises ConfigError when `host` would let other machines in."""
    if host == "localhost":
        return
    try:
        if ipaddress.ip_address(host.strip("[]")).is_loopback:
            return
    except ValueError:
        pass
    raise ConfigError(
        f'server.host = "{host}": other machines could reach it, and there is no log-in yet; '
        "use 127.0.0.1 (from elsewhere, tunnel to it: ssh -L 8080:127.0.0.1:8080)"
    )


class Guard:
    """Knows the names under which this server may be addressed.

    Args:
        hosts, origins: further ones that the configuration allows, e.g. "viva.example",
            "https://viva.example".
    """

    def __init__(self, hosts: tuple[str, ...] = (), origins: tuple[str, ...] = ()) -> None:
        self._extra_hosts = frozenset(host.lower() for host in hosts)
        self._extra_origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._hosts = self._extra_hosts

    def listen_on(self, port: int) -> None:
        """The port that was bound; before, only what the configuration allows is let in."""
        local = {f"{name}:{port}" for name in LOOPBACK_NAMES}
        if port == 80:
            local |= set(LOOPBACK_NAMES)
        self._hosts = self._extra_hosts | local

    def knows_host(self, host: str) -> bool:
        return host.lower() in self._hosts

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
