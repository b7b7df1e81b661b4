"""Observation from outside the daemon: the local ECS, the replicas and the daemon's calls."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from benchmarks.chaos.graph import (
    COMPONENTS,
    EXTRA,
    HTTP_PORT,
    SYSTEM_PORT,
    service_of,
    without_generation,
)
from benchmarks.chaos.invariants import (
    ObservedService,
    ObservedTask,
    Rules,
    View,
    Write,
    moment_violations,
    revision_violations,
    write_violations,
)
from benchmarks.chaos.load import MODEL
from ecs_dynamo.aws.rate_limits import is_write
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.faults import Call

OBSERVE_SECONDS = 0.1
PROBE_SECONDS = 0.5
"""Interval of probes of a replica that has been ready. Other replicas are probed at every
observation, so that a new replica is known to be ready as soon as the daemon knows it."""
PROBE_TIMEOUT = 2.0
GRAPH_SERVICES = frozenset(service_of(name) for name in (*COMPONENTS, EXTRA))
"""Services of the graph; their task definition families have the same names."""
FRONTENDS = frozenset({service_of("frontend"), service_of(EXTRA)})
INFRASTRUCTURE = frozenset({service_of("etcd"), service_of("nats")})
_AGENT = re.compile(r"ecs-dynamo(?:\s|$)")


def is_daemon_write(call: Call) -> bool:
    """Return whether the daemon made the call and the call changes ECS."""
    return (
        call.service == "ecs" and is_write(call.operation) and _AGENT.search(call.agent) is not None
    )


class Watch:
    """An observer of the stage that collects violations, each once.

    A replica is ready by its own answer: a worker if its health page has status 200, a frontend if
    it lists the model. etcd and NATS are ready while they run.
    """

    def __init__(self, local: LocalEcs) -> None:
        self._local = local
        self._ready: dict[str, bool] = {}
        self._failed: dict[str, int] = {}
        self._previous_on_call = local.on_call
        local.on_call = self._on_call
        self.rules = Rules({}, {})
        self.violations: list[str] = []
        self.writes: list[tuple[float, str]] = []
        """Time (monotonic seconds) and operation of the daemon's writes."""
        self._first = self._last = View()

    def begin(self, rules: Rules) -> None:
        """Forget earlier violations and check ``rules`` from now on."""
        self.rules = rules
        self.violations.clear()
        self.writes.clear()
        self._first = self._last = self.view()

    def view(self) -> View:
        """Return the current state."""
        state = self._local.state
        return View(
            services=tuple(
                ObservedService(s.name, s.cluster, s.desired)
                for s in state.services.values()
                if s.status == "ACTIVE" and without_generation(s.name) in GRAPH_SERVICES
            ),
            tasks=tuple(
                ObservedTask(
                    id=t.id,
                    service=without_generation(t.service or ""),
                    alive=t.alive,
                    ready=self._ready.get(t.id, False),
                    stop_code=t.stop_code,
                    revision_active=t.definition.status == "ACTIVE",
                )
                for t in self.tasks()
            ),
            revisions={k: v for k, v in state.revisions.items() if k in GRAPH_SERVICES},
        )

    def tasks(self, component: str | None = None, *, alive: bool = False) -> list[Task]:
        """Return the tasks of the graph, or of one component; with ``alive``, only those."""
        services = GRAPH_SERVICES if component is None else {service_of(component)}
        return [
            t
            for t in self._local.state.tasks.values()
            if without_generation(t.service or "") in services and (t.alive or not alive)
        ]

    def ready(self, task: Task) -> bool:
        """Return whether the task was ready at its last probe."""
        return task.alive and self._ready.get(task.id, False)

    def rotation(self) -> list[str]:
        """Return the URLs of frontends to which a load balancer would send requests.

        A frontend that lists the model stays in rotation until it fails two successive probes or
        ECS begins to stop it.
        """
        return [
            f"http://{t.address}:{HTTP_PORT}"
            for t in self.tasks("frontend", alive=True)
            if t.last_status == "RUNNING"
            and t.id in self._ready
            and (self._ready[t.id] or self._failed.get(t.id, 0) == 1)
        ]

    def violate(self, text: str) -> None:
        """Record a violation."""
        if text not in self.violations:
            self.violations.append(text)

    def end(self) -> list[str]:
        """Return the violations since `begin`."""
        for text in revision_violations(self._first, self.view(), self.rules):
            self.violate(text)
        return list(self.violations)

    async def run(self) -> None:
        """Observe until cancelled."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=PROBE_TIMEOUT),
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
        ) as session:
            probes: dict[str, asyncio.Task[None]] = {}
            due: dict[str, float] = {}
            try:
                while True:
                    now = time.monotonic()
                    for task in self.tasks(alive=True):
                        if now >= due.get(task.id, 0.0) and task.id not in probes:
                            been_ready = self._ready.get(task.id) or task.id in self._failed
                            due[task.id] = now + (PROBE_SECONDS if been_ready else OBSERVE_SECONDS)
                            probes[task.id] = asyncio.create_task(self._probe(session, task))
                    for task_id in [k for k, v in probes.items() if v.done()]:
                        await probes.pop(task_id)
                    view = self.view()
                    for text in moment_violations(self._last, view, self.rules):
                        self.violate(text)
                    self._last = view
                    await asyncio.sleep(OBSERVE_SECONDS)
            finally:
                for probe in probes.values():
                    probe.cancel()
                await asyncio.gather(*probes.values(), return_exceptions=True)

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

    def _on_call(self, call: Call, parameters: Mapping[str, Any]) -> None:
        if self._previous_on_call is not None:
            self._previous_on_call(call, dict(parameters))
        if not is_daemon_write(call):
            return
        self.writes.append((time.monotonic(), call.operation))
        for text in write_violations(
            Write(call.operation, self._targets(parameters)), GRAPH_SERVICES
        ):
            self.violate(text)

    def _targets(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the services and families that a write changes."""
        names: list[str] = []
        for key in ("service", "serviceName", "family", "taskDefinition", "resourceArn"):
            # If a service is changed, its revision is only a parameter of the change.
            if key in parameters and (key != "taskDefinition" or not names):
                names.append(_name(str(parameters[key])))
        names += [_name(str(arn)) for arn in parameters.get("taskDefinitions", ())]
        tasks = [*parameters.get("tasks", ()), *filter(None, [parameters.get("task")])]
        for arn in tasks:
            task = self._local.state.tasks.get(str(arn).rsplit("/", 1)[-1])
            if task is not None:
                names.append(task.service or task.definition.family)
        return tuple(without_generation(name) for name in names)


def _name(arn: str) -> str:
    """Return the family or service name of an ARN or a name."""
    return arn.rsplit("/", 1)[-1].partition(":")[0]


async def _answers(session: aiohttp.ClientSession, task: Task) -> bool:
    if task.service in INFRASTRUCTURE:
        return True
    if task.service in FRONTENDS:
        async with session.get(f"http://{task.address}:{HTTP_PORT}/v1/models") as answer:
            if answer.status != 200:
                return False
            return any(m["id"] == MODEL for m in (await answer.json())["data"])
    async with session.get(f"http://{task.address}:{SYSTEM_PORT}/health") as answer:
        return answer.status == 200
