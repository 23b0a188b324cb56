"""The HTTP side: the page, signalling, and what the page asks beforehand."""

from __future__ import annotations

import asyncio
import json
import time
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from pipeline.errors import VivaError
from server.about import about
from server.access.address import networks
from server.access.admission import CALLS, CLIENT_SECRETS, CONNECTIONS, SOCKET, admit, granted
from server.access.auth import Auth
from server.access.connections import Connections
from server.access.guard import Guard
from server.answers import Refused, refuse_in_json
from server.config import Config
from server.engines import Engines
from server.issuing import issue
from server.operating import Operating
from server.socket_route import AcceptedSocket, resume_token
from server.transport.offer import MAX_BYTES
from server.transport.turn import ice_servers
from server.workers import NotResumed, Placed, Workers

BODY_BYTES = 2 * MAX_BYTES  # an offer and a session object
BODY_WITHIN_S = 10.0
SDP = "application/sdp"

# Not from the machine's own tables: those differ, and a module with a wrong type is not run.
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
TEXT = ("text/", "application/json", "application/manifest")


def page_folder() -> Path:
    """Where the page's files are: beside the code in a checkout, inside the package when installed."""
    installed = Path(str(resources.files("server"))) / "static"
    return installed if installed.is_dir() else Path(__file__).resolve().parent.parent / "static"


class Routes:
    """The handlers, and what they share."""

    def __init__(self, config: Config, engines: Engines, workers: Workers, auth: Auth, page: Path) -> None:
        self._config = config
        self._auth = auth
        self._engines = engines
        self._workers = workers
        self._page = page.resolve()

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v1/viva/about", self.about)
        app.router.add_get("/v1/viva/ice", self.ice)
        app.router.add_post(CALLS, self.place)
        app.router.add_delete(CALLS + "/{call_id}", self.hang_up)
        app.router.add_post(CALLS + "/{call_id}/hangup", self.hang_up)
        app.router.add_get(SOCKET, self.talk)
        app.router.add_post("/offer", self.offer)
        app.router.add_post(CLIENT_SECRETS, self.client_secret)
        for path in (
            CALLS,
            CALLS + "/{call_id}",
            CALLS + "/{call_id}/hangup",
            CLIENT_SECRETS,
            "/offer",
            "/v1/viva/about",
            "/v1/viva/ice",
        ):
            app.router.add_route(hdrs.METH_OPTIONS, path, self.preflight)
        app.router.add_get("/{path:.*}", self.page)

    # ------------------------------------------------------------ calls

    async def place(self, request: web.Request) -> web.Response:
        """An offer as raw SDP, or multipart with `sdp`, `session` and `resume`; 201 and the answer."""
        if request.content_type == SDP:
            placed = await self._place(request, _text(await _body(request)))
        elif request.content_type == "multipart/form-data":
            placed = await self._place(request, **await _parts(request))
        else:
            raise Refused(415, "unsupported_media_type", f"send {SDP}, or multipart/form-data with sdp")
        return web.Response(
            status=201,
            text=placed.answer,
            content_type=SDP,
            headers={"Location": f"{CALLS}/{placed.call_id}"},
        )

    async def offer(self, request: web.Request) -> web.Response:
        """{"sdp", "type"} as JSON, as in aiortc's examples; {"sdp", "type", "id"}."""
        if request.content_type != "application/json":
            raise Refused(415, "unsupported_media_type", "send application/json")
        given = await _json(request)
        if given.get("type") != "offer" or not isinstance(given.get("sdp"), str):
            raise Refused(400, "invalid_offer", 'send {"sdp": "...", "type": "offer"}')
        placed = await self._place(request, given["sdp"])
        return web.json_response({"sdp": placed.answer, "type": "answer", "id": placed.call_id})

    async def talk(self, request: web.Request) -> web.StreamResponse:
        """The same session over a WebSocket. `model` may say anything: there is one."""
        if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
            raise Refused(
                426, "upgrade_required", f"this is a WebSocket; over WebRTC post an offer to {CALLS}"
            )
        if "call_id" in request.query:
            raise Refused(400, "unsupported_parameter", "a call has one line only", "call_id")
        settings = self._config.server
        quiet_s = settings.consent_failures * settings.consent_interval_s
        socket = AcceptedSocket(request, self._config.limits.event_bytes, quiet_s)
        grant, resume = granted(request), resume_token(request)
        if not resume:
            self._auth.secrets.redeem(grant)
        try:
            await self._workers.talk(socket, "", grant.to_json(), resume)
        except NotResumed as late:
            await socket.refuse(late)
        return socket.response

    async def _place(self, request: web.Request, sdp: str, session: str = "", resume: str = "") -> Placed:
        grant = granted(request)
        if not resume:
            self._auth.secrets.redeem(grant)
        try:
            return await self._workers.place(sdp, session, grant.to_json(), resume)
        except VivaError:
            self._auth.secrets.give_back(grant)
            raise

    async def client_secret(self, request: web.Request) -> web.Response:
        """{"expires_after", "session"}, as OpenAI takes them; {"value": "ek_…", "expires_at", "session"}."""
        body = issue(await _json(request, empty=True), granted(request), self._auth.secrets, self._config)
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    async def hang_up(self, request: web.Request) -> web.Response:
        if not await self._workers.hang_up(request.match_info["call_id"], granted(request).to_json()):
            raise Refused(404, "call_not_found", "there is no such call; it may have ended")
        return web.Response(status=204 if request.method == hdrs.METH_DELETE else 200)

    async def preflight(self, request: web.Request) -> web.Response:
        return web.Response(status=204)  # the guard adds what an allowed origin may do

    # ------------------------------------------------------------ page

    async def about(self, request: web.Request) -> web.Response:
        body = about(self._config, self._engines, self._workers.load())
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    async def ice(self, request: web.Request) -> web.Response:
        """{"iceServers": [...]} as RTCPeerConnection takes it, with credentials for this one client."""
        settings = self._config.ice
        servers = ice_servers(settings.servers, self._config.turn_secret, settings.credential_s)
        return web.json_response({"iceServers": servers}, headers={"Cache-Control": "no-store"})

    async def page(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"] or "index.html"
        if "\0" in path or "\\" in path:
            raise web.HTTPNotFound
        file = (self._page / path).resolve()
        kind = TYPES.get(file.suffix)
        if kind is None or not file.is_relative_to(self._page) or not file.is_file():
            raise web.HTTPNotFound
        charset = "; charset=utf-8" if kind.startswith(TEXT) else ""
        stat = file.stat()
        etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}"
        # Kept, but asked about every time: after an update no page runs on half of the old files.
        headers = {"Content-Type": kind + charset, "Cache-Control": "no-cache"}
        response = web.Response(status=304, headers=headers)
        if not any(known.value == etag for known in request.if_none_match or ()):
            # No FileResponse: what a client does not read would wait in the kernel, where nobody sees it.
            response = web.Response(body=await asyncio.to_thread(file.read_bytes), headers=headers)
        response.etag = etag
        return response


def application(
    config: Config, engines: Engines, workers: Workers, guard: Guard, page: Path | None = None
) -> web.Application:
    """Everything behind the socket."""
    auth = Auth(config)
    connections = Connections(config.limits, networks(config.server.trusted_proxies), time.monotonic)
    app = web.Application(
        middlewares=[connections.middleware, refuse_in_json(guard), admit(config, auth)],
        client_max_size=BODY_BYTES,
    )
    app[CONNECTIONS] = connections
    app.on_response_prepare.append(guard.add_headers)
    Operating(engines, workers).add_to(app)
    Routes(config, engines, workers, auth, page or page_folder()).add_to(app)
    return app


async def _body(request: web.Request) -> bytes:
    async with asyncio.timeout(BODY_WITHIN_S):
        return await request.read()


def _text(body: bytes | bytearray) -> str:
    try:
        return bytes(body).decode()
    except UnicodeDecodeError:
        raise Refused(400, "invalid_offer", "the body is not UTF-8") from None


async def _json(request: web.Request, *, empty: bool = False) -> dict[str, Any]:
    """`empty`: no body at all is an empty object."""
    body = await _body(request)
    if empty and not body:
        return {}
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_json", "the body is not JSON") from None
    if not isinstance(given, dict):
        raise Refused(400, "invalid_json", "the body is not a JSON object")
    return given


async def _parts(request: web.Request) -> dict[str, str]:
    """The parts that are ours of a multipart body, with or without file names; others are passed over."""
    found = {"sdp": "", "session": "", "resume": ""}
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for part in await request.multipart():
                if isinstance(part, BodyPartReader) and part.name in found:
                    found[part.name] = _text(await _read_part(part))
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as broken:  # aiohttp's parser
        raise Refused(400, "invalid_multipart", "the multipart body is broken") from broken
    if not found["sdp"]:
        raise Refused(400, "invalid_offer", "the part sdp is missing", "sdp")
    return found


async def _read_part(part: BodyPartReader) -> bytearray:
    """aiohttp's own limit does not reach into multipart bodies."""
    body = bytearray()
    while chunk := await part.read_chunk():
        body += chunk
        if len(body) > BODY_BYTES:
            raise web.HTTPRequestEntityTooLarge(BODY_BYTES, len(body))
    return body
