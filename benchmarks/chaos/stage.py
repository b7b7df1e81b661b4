"""The stage of the campaign: a local ECS with the graph, the daemon as a process, and controls."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import aiohttp
from aiobotocore.session import AioSession
from botocore import xform_name

from benchmarks.chaos.account import Outcome
from benchmarks.chaos.daemon import StageDaemon, unconverged_reason
from benchmarks.chaos.graph import (
    COMPONENTS,
    EXTRA,
    FARGATE,
    GPU,
    MARK,
    REPLICAS,
    ROLLED,
    GraphFiles,
    component_of,
    service_of,
    without_generation,
)
from benchmarks.chaos.watch import Watch
from ecs_dynamo.demo.traffic import Request
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.state.entities import Instance, Service, Task
from ecs_dynamo.local.wire.faults import FaultKind

REGION = "us-east-1"
INSTANCES = 8
"""Instances with one GPU each, for four workers and the new ones of a rollout."""
FOREIGN = "local-other"
"""A service that does not belong to the graph, although its name looks like it."""
POLL_SECONDS = 0.1


class StageError(Exception):
    """The stage did not reach a required state in time."""


async def until(description: str, condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait for a condition. Raises StageError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise StageError(f"{description}: not within {timeout:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


async def wait_until(
    description: str, reason: Callable[[], Awaitable[str | None]], timeout: float
) -> None:
    """Wait until ``reason`` returns None. Raises StageError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while (problem := await reason()) is not None:
        if time.monotonic() > deadline:
            raise StageError(f"{description}: not within {timeout:.0f} s: {problem}")
        await asyncio.sleep(POLL_SECONDS)


class Stage:
    """The system under test and its controls.

    ``victims`` are the ids of tasks that the campaign ends. ``fault_began`` is when the last fault
    began, in monotonic seconds.
    """

    def __init__(self, local: LocalEcs, files: GraphFiles, folder: Path) -> None:
        self.local, self.files = local, files
        self.watch = Watch(local)
        self.clock = folder / "clock"
        self.daemon = StageDaemon(files.file, folder)
        self.victims: set[str] = set()
        self.outcomes: list[Outcome] = []
        """Requests of clients that an injector itself starts."""
        self.fault_began = time.monotonic()
        self._marks = 0
        self._marked: dict[str, str] = {}
        self._foreign: str = ""
        self._settled_at = math.inf

    async def stop_daemon(self) -> None:
        """Send SIGTERM. An exit code other than 0, or a late exit, is a violation."""
        code, seconds = await self.daemon.stop()
        if code != 0:
            self.watch.violate(f"the daemon exited with {code}, {seconds:.0f} s after SIGTERM")

    # The graph.

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the graph file and make the daemon reload it."""
        self.files.edit(change)
        self.daemon.reload()

    def start_rollout(self, component: str, **fields: Any) -> None:
        """Declare a new revision of ``component`` with the changed ``fields`` of the graph file."""
        self._marks += 1
        mark = str(self._marks)
        self._marked[component] = mark

        def change(document: dict[str, Any]) -> None:
            component_of(document, component).update({"env": {MARK: mark}, **fields})

        self.edit(change)

    def revert(self, component: str, mark: str, *fields: str) -> None:
        """Declare the revision with ``mark`` again, without ``fields``."""

        def change(document: dict[str, Any]) -> None:
            declared = component_of(document, component)
            declared["env"] = {MARK: mark}
            for name in fields:
                declared.pop(name, None)

        self._marked[component] = mark
        self.edit(change)

    def mark_of(self, component: str) -> str:
        """Return the mark of the component's declared revision."""
        return self._marked[component]

    def mark_of_task(self, task: Task) -> str:
        """Return the mark of a task's revision."""
        environment = task.definition.containers[0].get("environment", ())
        return next((str(e["value"]) for e in environment if e["name"] == MARK), "")

    # Faults.

    async def _post(self, path: str, body: dict[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.local.endpoint_url}/_local/{path}", json=body) as answer,
        ):
            if answer.status != 200:
                raise StageError(await answer.text())

    async def inject_api_fault(self, operation: str, kind: FaultKind, **fields: Any) -> None:
        """Inject a fault of the API; ``fields`` as in `ecs_dynamo.local.wire.faults.Fault`."""
        self.fault_began = time.monotonic()
        await self._post("faults", {"operation": operation, "kind": kind.value, **fields})

    async def signal(self, task: Task, number: int) -> None:
        """Send a signal to the processes of ``task``, which becomes a victim."""
        self.victims.add(task.id)
        self.fault_began = time.monotonic()
        await self._post("kill", {"task": task.arn, "signal": number})

    def add_outcomes(self, requests: Iterable[Request]) -> None:
        """Include requests that an injector's own clients sent."""
        self.outcomes += [
            Outcome(r.started, r.started + r.seconds, streamed=True, error=r.error)
            for r in requests
        ]

    async def aws(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Call AWS as somebody other than the daemon."""
        async with AioSession().create_client(
            service,
            endpoint_url=self.local.endpoint_url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        ) as client:
            answer: dict[str, Any] = await getattr(client, xform_name(operation))(**parameters)
            return answer

    def services(self, component: str) -> list[Service]:
        """Return a component's services of all generations that are not deleted."""
        return [
            s
            for s in self.local.state.services.values()
            if s.status == "ACTIVE" and without_generation(s.name) == service_of(component)
        ]

    def instances(self) -> list[Instance]:
        """Return the GPU instances."""
        return [i for i in self.local.state.instances.values() if i.cluster == GPU]

    async def lose_instance(self, instance: Instance) -> None:
        """Terminate an instance, and thereby its tasks."""
        tasks = self.local.state.tasks_on_instance(instance)
        self.victims |= {t.id for t in tasks}
        self.fault_began = time.monotonic()
        await self.local.remove_instance(instance.arn)

    async def restore(self) -> None:
        """Undo the effects of a fault on answers, tasks, instances, the clock, the daemon and the
        graph file."""
        for task in self.watch.tasks(alive=True):
            if task.id in self.victims and task.process is not None:
                await task.process.kill(SIGKILL)
        self.local.clear_faults()
        self.clock.unlink(missing_ok=True)
        for instance in self.instances():
            if instance.status == "DRAINING":
                await self.aws(
                    *("ecs", "UpdateContainerInstancesState"),
                    cluster=GPU,
                    containerInstances=[instance.arn],
                    status="ACTIVE",
                )
        for _ in range(INSTANCES - len(self.instances())):
            await self.local.add_instance(GPU)
        if not self.daemon.is_started:
            await self.daemon.start()
        for name in self.files.altered():
            self._marks += 1
            self.revert(name, str(self._marks), "command", "rollout")

    # Observed state.

    async def wait_for_rollout(self, since: float) -> None:
        """Wait until a rollout has begun: a service has been updated or created."""
        await self.wait_for_write(since, "UpdateService", "CreateService")

    async def wait_for_write(self, since: float, *operations: str) -> None:
        """Wait until the daemon has called one of ``operations`` at or after ``since``."""
        await until(
            f"{' or '.join(operations)} by the daemon",
            lambda: any(at >= since and o in operations for at, o in self.watch.writes),
            30.0,
        )

    async def unsettled_reason(self) -> str | None:
        """Return why the graph is not as declared, or None if it is.

        Both the observation from outside and the daemon's own status must show it as declared.
        """
        reason = next(filter(None, map(self._component_unsettled_reason, COMPONENTS)), None)
        if reason is None and self.watch.tasks(EXTRA, alive=True):
            reason = f"{EXTRA} runs"
        if reason is not None:
            self._settled_at = math.inf
            return reason
        self._settled_at = min(self._settled_at, time.time())
        status = await self.daemon.status()
        if not status:
            return "the daemon does not answer"
        if datetime.fromisoformat(status["observedAt"]).timestamp() < self._settled_at:
            return "the daemon has not observed the graph since"
        return unconverged_reason(status)

    def _component_unsettled_reason(self, component: str) -> str | None:
        services = [s for s in self.services(component) if s.desired > 0]
        if len(services) != 1:
            return f"{component} has {len(services)} services with replicas"
        (service,) = services
        tasks = self.watch.tasks(component, alive=True)
        if len(service.deployments) > 1 or service.primary.rollout_state != "COMPLETED":
            return f"{component} has a rollout in progress"
        if service.desired != REPLICAS[component] or len(tasks) != REPLICAS[component]:
            return f"{component}: {len(tasks)} tasks of {service.desired}"
        for task in tasks:
            if task.id in self.victims:
                return f"{component}: a task that the fault affected is not replaced"
            if not self.watch.ready(task):
                return f"{component}: a task is not ready"
            if component in ROLLED and self.mark_of_task(task) != self._marked[component]:
                return f"{component}: a task does not have the declared revision"
            if task.definition is not service.primary.definition:
                return f"{component}: a task does not have the service's revision"
        return None

    def record_foreign_state(self) -> None:
        """Record the state of the foreign service, from which `foreign_change` must not differ."""
        self._foreign = self._foreign_state()

    def foreign_change(self) -> str | None:
        """Return a violation if the service that is not the graph's has changed."""
        unchanged = self._foreign_state() == self._foreign
        return None if unchanged else "a foreign service was changed"

    def _foreign_state(self) -> str:
        service = self.local.state.services.get((FARGATE, FOREIGN))
        if service is None:
            return ""
        fields = [service.desired, service.status, service.tags, service.request]
        tasks = sorted(t.id for t in self.local.state.service_tasks(service) if t.alive)
        return json.dumps([*fields, service.primary.definition.arn, tasks], sort_keys=True)


async def wait_until_settled(stage: Stage, timeout: float) -> None:
    """Wait until the graph is as declared. Raises StageError after ``timeout`` seconds."""
    await wait_until("the graph is as declared", stage.unsettled_reason, timeout)
