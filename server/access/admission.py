"""Between the guard and the routes: who sends the request, and may they just now?

What a browser needs before anybody has logged in is public: the page's files, and whether the server is well.
Everything else has a grant, which handlers find under `GRANT` in the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiohttp import hdrs, web

from server.access.auth import Auth
from server.access.connections import Connections
from server.access.grant import OPEN, Grant
from server.access.guard import Handler
from server.access.limits import PerMinute
from server.config import Config
from server.workers import TooMany

CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections", Connections)
GRANT: web.RequestKey[Grant] = web.RequestKey("grant", Grant)
CALLS = "/v1/realtime/calls"
SOCKET = "/v1/realtime"
CLIENT_SECRETS = "/v1/realtime/client_secrets"

PUBLIC = frozenset(("/{path}", "/healthz", "/readyz", "/openapi.json"))  # as the routes are written
ADMIN = ("/metrics", "/v1/viva/admin")  # and what lies below
# What costs a call, or may become one.
COUNTED = {(hdrs.METH_POST, CALLS), (hdrs.METH_POST, "/offer"), (hdrs.METH_GET, SOCKET)}
COUNTED |= {(hdrs.METH_POST, CLIENT_SECRETS)}


class NotAllowed(Exception):
    """403: known, and may not do that."""


def admit(config: Config, auth: Auth, clock: Callable[[], float] = time.monotonic) -> Any:
    """The middleware. Its refusals are put into words by `server.answers`."""
    by_address = PerMinute(config.limits.offers_per_minute, clock)
    by_owner = PerMinute(config.limits.offers_per_minute_key, clock)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else ""
        if request.method == hdrs.METH_OPTIONS or route in PUBLIC or not route:
            return await handler(request)
        grant = await auth.grant(request.headers, request.remote or "")
        request[GRANT] = grant
        if route.startswith(ADMIN) and grant.role != "admin":
            raise NotAllowed("that is for an admin: a key of VIVA_ADMIN_KEYS, or a user with that role")
        if (request.method, route) in COUNTED:
            wait_s = by_address.take(grant.address)
            wait_s = wait_s or by_owner.take("/".join(grant.owner) if any(grant.owner) else "")
            if wait_s:
                raise TooMany("too many calls were asked for in this minute", wait_s)
        return await handler(request)

    return middleware


def granted(request: web.Request) -> Grant:
    """What the request may do."""
    return request.get(GRANT, OPEN)
