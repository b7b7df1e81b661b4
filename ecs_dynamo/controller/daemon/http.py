"""The daemon's one port: `/metrics`, `/healthz`, `/readyz`, `/status`, and a page that shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ecs_dynamo.controller.daemon.connections import (
    Connections,
    raise_file_limit,
    server_logger,
)
from ecs_dynamo.model.errors import InputError, Problem

MAX_BODY_BYTES = 1024
"""Nothing is asked with a body."""
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
    connections: Connections | None = None,
) -> AsyncIterator[str]:
    """Serve until left; gives the URL. ``ready`` says of each graph whether its pass is recent.

    ``connections`` are limited as the open files of this process allow, where they are not given.

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

    connections = connections if connections is not None else Connections(raise_file_limit())
    app = web.Application(middlewares=[connections.middleware], client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.get("/", show_page),
            web.get("/metrics", show_metrics),
            web.get("/status", show_status),
            web.get("/healthz", alive),
            web.get("/readyz", is_ready),
        ]
    )
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=1.0,
        keepalive_timeout=connections.idle_seconds,
        logger=server_logger(),
    )
    await runner.setup()
    server: asyncio.Server | None = None
    try:
        try:
            # As `web.TCPSite` does it, with a guard before each of its protocols.
            server = await asyncio.get_running_loop().create_server(
                connections.guard(_protocols(runner)), host, port
            )
        except OSError as error:
            raise InputError(
                Problem(
                    f"can not serve HTTP on {host}:{port}: {error.strerror or error}",
                    field="ECS_DYNAMO_HTTP_PORT",
                    remedy="stop what uses the port, or set another (0: any free one)",
                )
            ) from None
        bound = server.sockets[0].getsockname()
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{name}:{bound[1]}"
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()


def _protocols(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    return server
