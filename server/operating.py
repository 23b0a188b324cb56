"""What an operator asks of a running server. docs/operate.md says what to do with the answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web

from server import __version__
from server.engines import STAGES, Engines
from server.metrics import CONTENT_TYPE
from server.openapi import document
from server.workers import Workers

HEALTH = "/healthz"
READY = "/readyz"
METRICS = "/metrics"
ADMIN_CALLS = "/v1/viva/admin/calls"
OPENAPI = "/openapi.json"

FRESH = {"Cache-Control": "no-store"}


class Operating:
    """The handlers. `access.admission` lets everybody ask after health, and admins the rest."""

    def __init__(self, engines: Engines, workers: Workers) -> None:
        self._engines = engines
        self._workers = workers

    def add_to(self, app: web.Application) -> None:
        app.router.add_get(HEALTH, self.health)
        app.router.add_get(READY, self.ready)
        app.router.add_get(METRICS, self.metrics)
        app.router.add_get(ADMIN_CALLS, self.calls)
        app.router.add_get(OPENAPI, self.openapi)

    async def health(self, request: web.Request) -> web.Response:
        """200 while the process serves, also when it takes no more calls: not a reason to restart it."""
        return web.json_response({"status": "ok", **self._state()}, headers=FRESH)

    async def ready(self, request: web.Request) -> web.Response:
        """200 while a new call may come: models loaded, room and budget left, and it is not stopping."""
        state = self._state()
        room = state["calls"] < state["max_calls"] and not state["no_budget_s"]
        ready = state["ready"] and not state["draining"] and room
        return web.json_response(
            {"status": "ready" if ready else "not ready", **state},
            status=200 if ready else 503,
            headers=FRESH,
        )

    def _state(self) -> dict[str, Any]:
        return {"ready": self._engines.ready, **asdict(self._workers.load())}

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._workers.figures(), headers={"Content-Type": CONTENT_TYPE, **FRESH})

    async def openapi(self, request: web.Request) -> web.Response:
        return web.json_response(document())

    async def calls(self, request: web.Request) -> web.Response:
        """What the admin page shows."""
        stages = [self._engines.stages[stage] for stage in STAGES]
        body = {
            "version": __version__,
            **self._state(),
            "providers": [
                {
                    "stage": stage,
                    "name": engine.chosen.name,
                    "detail": engine.chosen.provider.detail,
                    "ready": engine.ready,
                    "error": engine.error,
                }
                for stage, engine in zip(STAGES, stages, strict=True)
            ],
            "today": asdict(self._workers.today()),
            "list": [asdict(call) for call in self._workers.carried()],
        }
        return web.json_response(body, headers=FRESH)
