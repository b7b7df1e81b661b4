"""Real workers scale to zero, and refused requests start prefill and decode together again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ecs_dynamo.demo.daemon import DemoDaemon, desired, ready
from ecs_dynamo.demo.traffic import Traffic
from tests.integration.servers import free_port
from tests.integration.stack import Stack, component_of, running_tasks, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WORKERS = ("prefill", "decode")
RATE_SECONDS = 3.0


@dataclass
class Gateway:
    """A gateway in front of the frontends, with the rate of what it got refused as a metric.

    ``url`` answers Prometheus queries. A refused request is tried again by the client only.
    """

    traffic: Traffic
    url: str
    refused: list[float] = field(default_factory=list)

    async def ask(self) -> str | None:
        """Send one request; return its error."""
        request, _ = await self.traffic.chat("Say hello.", stream=False, tokens=4)
        if request.error is not None:
            self.refused.append(time.monotonic())
        return request.error

    async def query(self, _: web.Request) -> web.Response:
        recent = sum(at > time.monotonic() - RATE_SECONDS for at in self.refused)
        data = {"resultType": "scalar", "result": [time.time(), str(recent / RATE_SECONDS)]}
        return web.json_response({"status": "success", "data": data})


@asynccontextmanager
async def gateway_of(stack: Stack) -> AsyncIterator[Gateway]:
    port = free_port()
    async with stack.traffic() as traffic:
        gateway = Gateway(traffic, f"http://127.0.0.1:{port}")
        app = web.Application()
        app.router.add_get("/api/v1/query", gateway.query)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield gateway
        finally:
            await runner.cleanup()


def scale_to_zero(document: dict[str, Any], gateway: str) -> None:
    """Let prefill and decode scale to zero. Only decode has the gateway's signal."""
    query = {"source": "prometheus", "url": gateway, "query": "refused", "kind": "rejection_rate"}
    for name in WORKERS:
        component_of(document, name)["scaling"] = {
            "min": 0,
            "max": 3,
            "policy": "queue",
            "target": 4,
            "idleSeconds": 5,
            "scaleDownStabilizationSeconds": 2,
            "signals": [{"source": "frontend"}, *([query] if name == "decode" else [])],
        }


async def models_of(url: str) -> list[Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/models") as answer:
        models: list[Any] = (await answer.json())["data"]
        return models


async def test_a_refused_request_starts_the_workers_and_the_next_one_is_served(
    stack: Stack,
) -> None:
    async with gateway_of(stack) as gateway:
        stack.edit(lambda document: scale_to_zero(document, gateway.url))
        daemon = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
        await daemon.start()
        try:

            async def end_at_zero() -> None:
                await daemon.until(
                    "at zero",
                    lambda s: all(desired(s, n) == ready(s, n) == 0 for n in WORKERS),
                    90,
                )
                await until("no worker", no_worker)

            async def no_worker() -> bool:
                return not any(running_tasks(stack, name) for name in WORKERS)

            await daemon.until("served", lambda s: all(ready(s, n) == 1 for n in WORKERS), 90)
            await stack.observe()
            (url,) = stack.frontends()
            (frontend,) = running_tasks(stack, "frontend")
            await end_at_zero()

            async def unlisted() -> bool:
                return not await models_of(url)

            await until("the model is not listed", unlisted)
            assert "404" in (await gateway.ask() or "")
            started = time.monotonic()
            largest = 0

            async def served() -> bool:
                nonlocal largest
                largest = max(largest, *(len(running_tasks(stack, name)) for name in WORKERS))
                return await gateway.ask() is None

            await until("the next request is served", served, 60)
            assert largest == 1, "retries must not start further replicas"
            assert time.monotonic() - started < 60
            assert len(await models_of(url)) == 1
            await end_at_zero()
            assert running_tasks(stack, "frontend") == [frontend]
        finally:
            code, _ = await daemon.stop()
    assert code == 0
