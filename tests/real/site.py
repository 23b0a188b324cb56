"""A web site of somebody else: it holds clients that are to call the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[str]:
    """Its address. `/run/<script>` is a page that runs one of the folder's scripts."""

    async def run(request: web.Request) -> web.Response:
        tag = f"<script type=module src=/{request.match_info['script']}></script>"
        return web.Response(
            text=f"<!doctype html><title>A client</title><link rel=icon href=data:,>{tag}",
            content_type="text/html",
        )

    app = web.Application()
    app.router.add_get("/run/{script}", run)
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
