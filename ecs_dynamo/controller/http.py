"""The daemon's one port: `/metrics`, `/healthz`, `/readyz`, `/status`, and a page that shows it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ecs_dynamo.model.errors import InputError, Problem

_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)


@asynccontextmanager
async def serve_http(
    host: str,
    port: int,
    *,
    status: Callable[[], Mapping[str, Any]],
    metrics: Callable[[], bytes],
    ready: Callable[[], Mapping[str, bool]],
) -> AsyncIterator[str]:
    """Serve until left; gives the URL. ``ready`` says of each graph whether its pass is recent.

    Read-only on purpose: whoever reaches the port can see, not change. Raises InputError where
    the address is taken.
    """
    page = (resources.files("ecs_dynamo.controller") / "page.html").read_text(encoding="utf-8")

    async def show_page(_: web.Request) -> web.Response:
        return web.Response(
            text=page, content_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY}
        )

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def show_status(_: web.Request) -> web.Response:
        return web.json_response(status(), headers={"Cache-Control": "no-store"})

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def is_ready(_: web.Request) -> web.Response:
        graphs = ready()
        fine = all(graphs.values())
        return web.Response(
            status=200 if fine else 503,
            text=json.dumps({"ready": fine, "graphs": dict(graphs)}) + "\n",
            content_type="application/json",
        )

    app = web.Application()
    app.add_routes(
        [
            web.get("/", show_page),
            web.get("/metrics", show_metrics),
            web.get("/status", show_status),
            web.get("/healthz", alive),
            web.get("/readyz", is_ready),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise InputError(
                Problem(
                    f"can not serve HTTP on {host}:{port}: {error.strerror or error}",
                    field="ECS_DYNAMO_HTTP_PORT",
                    remedy="stop what uses the port, or set another (0: any free one)",
                )
            ) from None
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
