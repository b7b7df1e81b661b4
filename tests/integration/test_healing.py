"""A replica that hangs is told of, and replaced, while the others serve."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from ecs_dynamo.controller import Pass
from ecs_dynamo.model.graph import TAG_GOOD
from ecs_dynamo.model.plan import ConditionType, StopTask
from tests.integration.stack import Stack, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def told(done: Pass) -> str | None:
    """Why decode is Degraded."""
    return next(
        (
            c.reason
            for c in done.plan.conditions
            if c.type is ConditionType.DEGRADED and c.component == "decode" and c.status
        ),
        None,
    )


async def test_a_worker_that_hangs_is_told_of_and_replaced(stack: Stack) -> None:
    """SIGSTOP, and no container health check: for ECS the task runs on for ever."""

    def two(document: dict[str, Any]) -> None:
        component = next(c for c in document["components"] if c["name"] == "decode")
        component["replicas"] = 2

    def unchecked(document: dict[str, Any]) -> None:
        document["networkMode"] = "awsvpc"
        container = document["containerDefinitions"][0]
        del container["healthCheck"]
        container["stopTimeout"] = 2

    stack.edit(two)
    stack.edit_task_definition("decode", unchecked)
    moments: dict[str, float] = {}
    stopped: list[str] = []
    began = 0.0

    def look(done: Pass) -> None:
        stack.last = done
        reason = told(done)
        if reason is not None:
            moments.setdefault(reason, time.monotonic() - began)
        stopped.extend(r.action.task for r in done.results if isinstance(r.action, StopTask))

    async with stack.traffic() as traffic, stack.reconciler() as reconciler:
        assert (await reconciler.until_converged(60, look)).converged
        assert not moments
        service = stack.local.state.services["dynamo-GPU", "local-decode"]
        good = [t for t in service.tags if t["key"] == TAG_GOOD]
        hung = stack.local.state.tasks[min(t.arn for t in stack.tasks("decode")).rsplit("/", 1)[-1]]
        assert hung.process is not None
        async with traffic.background("load", 2, words=20, tokens=4, pause=0.1):
            began = time.monotonic()
            await hung.process.kill(signal.SIGSTOP)

            async def is_stopped() -> bool:
                look(await reconciler.run_pass())
                return bool(stopped)

            await until("the hung worker is stopped", is_stopped)
        done = await reconciler.until_converged(60, look)
        assert done.converged, done.plan.waits
        # Its page is silent before and after discovery drops it; then its replacement is missing.
        assert next(iter(moments)) == "ReplicaHangs"
        assert moments.keys() <= {"ReplicaHangs", "ReplicaLost"}
        assert moments["ReplicaHangs"] < 30
        assert stopped == [hung.arn]
        assert (hung.stopped_reason or "").startswith("ecs-dynamo: it has not answered for ")
        assert hung.arn not in {t.arn for t in stack.tasks("decode")}
        assert done.plan.replicas["decode"].ready == 2
        assert told(done) is None
        assert good == [t for t in service.tags if t["key"] == TAG_GOOD]
        assert (service.primary.definition.revision, len(service.deployments)) == (1, 1)
        before = len(traffic.done)

        async def asked_again() -> bool:
            return len(traffic.done) >= before + 20

        async with traffic.background("after", 2, words=20, tokens=4, pause=0.0):
            await until("20 more requests", asked_again)
        assert not [r.error for r in traffic.done[before:] if r.error]
