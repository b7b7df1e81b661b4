"""The daemon's HTTP port: `/metrics`, `/healthz`, `/readyz`, `/status` and the status page."""

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
"""Limit of a request's body. No request needs one."""
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
    """Serve while the context is open, and yield the URL. Raises InputError for a port in use.

    ``ready`` returns for each graph whether its last complete pass is recent. By default,
    ``connections`` are limited by the open files of this process. The port is read-only on purpose:
    clients that reach it can observe but not change anything.
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
        all_ready = all(graphs.values())
        return web.Response(
            status=200 if all_ready else 503,
            text=json.dumps({"ready": all_ready, "graphs": dict(graphs)}) + "\n",
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
            # This is what `web.TCPSite` does, with a guard before each of its protocols.
            server = await asyncio.get_running_loop().create_server(
                connections.guard(_protocols(runner)), host, port
            )
        except OSError as error:
            raise InputError(
                Problem(
                    f"cannot serve HTTP on {host}:{port}: {error.strerror or error}",
                    field="ECS_DYNAMO_HTTP_PORT",
                    remedy="stop the program that uses the port, or set another (0: any free port)",
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
