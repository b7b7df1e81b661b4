"""Looks at the local ECS and asks the replicas, over and over; hears every call of the daemon's."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from benchmarks.chaos.graph import COMPONENTS, EXTRA, HTTP_PORT, SYSTEM_PORT, service_of
from benchmarks.chaos.invariants import (
    Rules,
    ServiceSeen,
    TaskSeen,
    View,
    Write,
    judge,
    judge_revisions,
    judge_write,
)
from benchmarks.chaos.load import MODEL
from ecs_dynamo.aws.client import is_write
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.faults import Call

LOOK_SECONDS = 0.1
PROBE_SECONDS = 0.5
"""Between two probes of a replica that has been ready. Others are probed at every look, so that a
successor is known to be ready as promptly as the daemon knows it."""
PROBE_TIMEOUT = 2.0
OURS = frozenset(service_of(name) for name in (*COMPONENTS, EXTRA))
"""Services of the graph; their families have the same names."""
FRONTEND = service_of("frontend")
INFRASTRUCTURE = frozenset({service_of("etcd"), service_of("nats")})
_AGENT = re.compile(r"ecs-dynamo(?:\s|$)")


class Watch:
    """What happens, seen from outside. ``violations`` has each that was found, once.

    A replica is ready by its own answer: a worker that its health page answers with 200, a frontend
    that lists the model. etcd and NATS are so while they run.
    """

    def __init__(self, local: LocalEcs) -> None:
        self._local = local
        self._ready: dict[str, bool] = {}
        self._failed: dict[str, int] = {}
        self._heard_before = local.on_call
        local.on_call = self._heard
        self.rules = Rules({}, {})
        self.violations: list[str] = []
        self.writes: list[tuple[float, str]] = []
        """When, and which operation."""
        self._first = self._last = View()

    def begin(self, rules: Rules) -> None:
        """Hold what follows against ``rules``."""
        self.rules = rules
        self.violations.clear()
        self.writes.clear()
        self._first = self._last = self.view()

    def view(self) -> View:
        """What there is now."""
        state = self._local.state
        return View(
            services=tuple(
                ServiceSeen(s.name, s.cluster, s.desired)
                for s in state.services.values()
                if s.status == "ACTIVE" and s.name in OURS
            ),
            tasks=tuple(
                TaskSeen(
                    id=t.id,
                    service=t.service or "",
                    wanted=t.alive,
                    ready=self._ready.get(t.id, False),
                    stop_code=t.stop_code,
                    revision_active=t.definition.status == "ACTIVE",
                )
                for t in self.tasks()
            ),
            revisions={k: v for k, v in state.revisions.items() if k in OURS},
        )

    def tasks(self, component: str | None = None, *, alive: bool = False) -> list[Task]:
        """The graph's tasks, or a component's, as the local ECS knows them."""
        wanted = OURS if component is None else {service_of(component)}
        return [
            t
            for t in self._local.state.tasks.values()
            if t.service in wanted and (t.alive or not alive)
        ]

    def ready(self, task: Task) -> bool:
        """Whether it answered as a ready one does when it was last asked."""
        return task.alive and self._ready.get(task.id, False)

    def rotation(self) -> list[str]:
        """Where a load balancer would send requests: frontends that list the model, until they miss
        two looks in a row or ECS begins to stop them."""
        return [
            f"http://{t.address}:{HTTP_PORT}"
            for t in self.tasks("frontend", alive=True)
            if t.last_status == "RUNNING"
            and t.id in self._ready
            and (self._ready[t.id] or self._failed.get(t.id, 0) == 1)
        ]

    def violate(self, text: str) -> None:
        """Note a violation."""
        if text not in self.violations:
            self.violations.append(text)

    def end(self) -> list[str]:
        """What was violated since `begin`."""
        for text in judge_revisions(self._first, self.view(), self.rules):
            self.violate(text)
        return list(self.violations)

    async def run(self) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        ) as session:
            asking: dict[str, asyncio.Task[None]] = {}
            due: dict[str, float] = {}
            try:
                while True:
                    now = time.monotonic()
                    for task in self.tasks(alive=True):
                        if now >= due.get(task.id, 0.0) and task.id not in asking:
                            been_ready = self._ready.get(task.id) or task.id in self._failed
                            due[task.id] = now + (PROBE_SECONDS if been_ready else LOOK_SECONDS)
                            asking[task.id] = asyncio.create_task(self._probe(session, task))
                    for done in [k for k, v in asking.items() if v.done()]:
                        await asking.pop(done)
                    seen = self.view()
                    for text in judge(self._last, seen, self.rules):
                        self.violate(text)
                    self._last = seen
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                for one in asking.values():
                    one.cancel()
                await asyncio.gather(*asking.values(), return_exceptions=True)

    async def _probe(self, session: aiohttp.ClientSession, task: Task) -> None:
        if task.last_status != "RUNNING" or not task.address:
            return
        try:
            good = await _answers(session, task)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            good = False
        if good:
            self._failed.pop(task.id, None)
        elif self._ready.get(task.id) or task.id in self._failed:
            self._failed[task.id] = self._failed.get(task.id, 0) + 1
        self._ready[task.id] = good

    def _heard(self, call: Call, parameters: Mapping[str, Any]) -> None:
        if self._heard_before is not None:
            self._heard_before(call, dict(parameters))
        if call.service != "ecs" or not is_write(call.operation) or not _AGENT.search(call.agent):
            return
        self.writes.append((time.monotonic(), call.operation))
        for text in judge_write(Write(call.operation, self._targets(parameters)), OURS):
            self.violate(text)

    def _targets(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the services and families that a write is about."""
        found: list[str] = []
        for key in ("service", "serviceName", "family", "taskDefinition", "resourceArn"):
            # A service's revision is no target where the service is.
            if key in parameters and (key != "taskDefinition" or not found):
                found.append(_name(str(parameters[key])))
        found += [_name(str(arn)) for arn in parameters.get("taskDefinitions", ())]
        tasks = [*parameters.get("tasks", ()), *filter(None, [parameters.get("task")])]
        for arn in tasks:
            task = self._local.state.tasks.get(str(arn).rsplit("/", 1)[-1])
            if task is not None:
                found.append(task.service or task.definition.family)
        return tuple(found)


def _name(arn: str) -> str:
    """``family`` or the service's name of an ARN, or of what is a name already."""
    return arn.rsplit("/", 1)[-1].partition(":")[0]


async def _answers(session: aiohttp.ClientSession, task: Task) -> bool:
    if task.service in INFRASTRUCTURE:
        return True
    if task.service == FRONTEND:
        async with session.get(f"http://{task.address}:{HTTP_PORT}/v1/models") as answer:
            if answer.status != 200:
                return False
            return any(m["id"] == MODEL for m in (await answer.json())["data"])
    async with session.get(f"http://{task.address}:{SYSTEM_PORT}/health") as answer:
        return answer.status == 200
