"""A replica that hangs is reported and replaced while the others serve."""

from __future__ import annotations

import re
import signal
import time
from typing import Any

import aiohttp
import pytest

from ecs_dynamo.demo.daemon import DemoDaemon, ready
from ecs_dynamo.model.graph import TAG_GOOD
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def degraded(status: dict[str, Any]) -> str | None:
    """Return the message of decode's condition Degraded."""
    return next(
        (
            c["reason"]
            for c in status.get("conditions", ())
            if c["type"] == "Degraded" and c["component"] == "decode" and c["status"]
        ),
        None,
    )


def unscaled(document: dict[str, Any]) -> None:
    """Two decode workers without scaling, so that the daemon observes every 30 s only."""
    for component in document["components"]:
        component.pop("scaling", None)
        if component["name"] == "decode":
            component["replicas"] = 2


def unchecked(document: dict[str, Any]) -> None:
    """Remove the health check, so that ECS does not notice a hang; fix the port of the page."""
    document["networkMode"] = "awsvpc"
    container = document["containerDefinitions"][0]
    del container["healthCheck"]
    container["stopTimeout"] = 2


async def test_a_worker_that_hangs_is_reported_within_30_s_and_replaced(stack: Stack) -> None:
    stack.edit(unscaled)
    stack.edit_task_definition("decode", unchecked)
    daemon = DemoDaemon(stack.graph_file, stack.environ, stack.folder / "daemon.log")
    await daemon.start()
    try:
        await daemon.until("converged", lambda s: bool(s.get("converged")), 60)
        await stack.observe()
        service = stack.service("decode")
        good = [t for t in service.tags if t["key"] == TAG_GOOD]
        hung = stack.local.state.tasks[min(t.arn for t in stack.tasks("decode")).rsplit("/", 1)[-1]]
        assert hung.process is not None
        async with stack.traffic() as traffic:
            async with traffic.background("load", 2, words=20, tokens=4, pause=0.1):
                began = time.monotonic()
                await hung.process.kill(signal.SIGSTOP)
                await daemon.until("told", lambda s: degraded(s) == "ReplicaHangs", 30)
                assert await gauge(daemon, "ecs_dynamo_lost_replicas", "decode") == 1
                await daemon.until(
                    "replaced",
                    lambda s: bool(s["converged"]) and ready(s, "decode") == 2 and not degraded(s),
                    60 - (time.monotonic() - began),
                )
            assert (hung.stopped_reason or "").startswith("ecs-dynamo: it has not answered for ")
            assert await gauge(daemon, "ecs_dynamo_lost_replicas", "decode") == 0
            assert await gauge(daemon, "ecs_dynamo_actions_total", "decode", "StopTask") == 1
            assert good == [t for t in service.tags if t["key"] == TAG_GOOD]
            assert (service.primary.definition.revision, len(service.deployments)) == (1, 1)
            before = len(traffic.done)

            async def asked_again() -> bool:
                return len(traffic.done) >= before + 20

            async with traffic.background("after", 2, words=20, tokens=4, pause=0.0):
                await until("20 more requests", asked_again)
            assert not [r.error for r in traffic.done[before:] if r.error]
    finally:
        code, _ = await daemon.stop()
    assert code == 0


async def gauge(daemon: DemoDaemon, name: str, *words: str) -> float:
    """Return the sum of the daemon's metrics with the name and all of the words."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{daemon.url}/metrics") as answer,
    ):
        text = await answer.text()
    samples = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", text, re.MULTILINE)
    return sum(float(v) for labels, v in samples if all(f'"{word}"' in labels for word in words))
