"""The stage of the campaign: one local ECS with the graph, the daemon as a process, and levers."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from signal import SIGHUP, SIGKILL
from typing import Any

import aiohttp
from aiobotocore.session import AioSession
from botocore import xform_name

from benchmarks.chaos.account import Outcome
from benchmarks.chaos.graph import (
    COMPONENTS,
    EXTRA,
    FARGATE,
    GPU,
    LEASE_SECONDS,
    MARK,
    REPLICAS,
    ROLLED,
    GraphFiles,
    component_of,
    service_of,
)
from benchmarks.chaos.watch import Watch
from ecs_dynamo.config import load_graph
from ecs_dynamo.demo.daemon import DemoDaemon
from ecs_dynamo.demo.traffic import Request
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.state.entities import Instance, Task
from ecs_dynamo.local.wire.protocol import ACCOUNT

REGION = "us-east-1"
INSTANCES = 8
"""One GPU each: four workers, and room for the new ones of a rollout."""
QUEUE = "ecs-dynamo"
FOREIGN = "local-other"
"""A service with a name like the graph's, which is not the graph's."""
MOMENT = 0.1


class StageError(Exception):
    """The stage did not do in time what a fault needs."""


async def until(what: str, holds: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait for a condition. StageError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise StageError(f"{what}: not within {timeout:.0f} s")
        await asyncio.sleep(MOMENT)


class Stage:
    """What faults work on. ``hit`` is when the last fault began, on the monotonic clock."""

    def __init__(self, local: LocalEcs, files: GraphFiles, folder: Path) -> None:
        self.local, self.files, self._folder = local, files, folder
        self.watch = Watch(local)
        self.clock = folder / "clock"
        self.daemon: DemoDaemon | None = None
        self.victims: set[str] = set()
        self.outcomes: list[Outcome] = []
        """Requests of a fault's own clients."""
        self.hit = time.monotonic()
        self._environ: dict[str, str] = {}
        self._starts = self._marks = 0
        self._marked: dict[str, str] = {}
        self._foreign: str = ""
        self._seen_settled = math.inf

    # The daemon.

    async def start_daemon(self) -> None:
        """Start one, as ECS does where the one before has ended."""
        self._starts += 1
        log = self._folder / f"daemon-{self._starts}.log"
        daemon = DemoDaemon(self.files.file, self._environ, log)
        await daemon.start()
        self.daemon = daemon

    async def stop_daemon(self) -> None:
        """SIGTERM; that it does not exit with 0 in time is a violation."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            code, seconds = await daemon.stop()
            if code != 0:
                self.watch.violate(f"the daemon exited with {code}, {seconds:.0f} s after SIGTERM")

    async def kill_daemon(self) -> None:
        """SIGKILL."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            daemon.kill()
            await daemon.stop()

    async def status(self) -> dict[str, Any]:
        """The graph's part of `/status`; empty where there is no answer."""
        if self.daemon is None:
            return {}
        try:
            return await self.daemon.fetch_status()
        except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError):
            return {}

    # The graph.

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the graph file and tell the daemon."""
        self.files.edit(change)
        if self.daemon is not None:
            self.daemon.send(SIGHUP)

    def roll(self, component: str, **more: Any) -> None:
        """Declare another revision of ``component``; ``more`` are further fields of it."""
        self._marks += 1
        mark = str(self._marks)
        self._marked[component] = mark

        def change(document: dict[str, Any]) -> None:
            component_of(document, component).update({"env": {MARK: mark}, **more})

        self.edit(change)

    def undo(self, component: str, mark: str, *fields: str) -> None:
        """Declare a revision with ``mark`` and without ``fields``."""

        def change(document: dict[str, Any]) -> None:
            one = component_of(document, component)
            one["env"] = {MARK: mark}
            for name in fields:
                one.pop(name, None)

        self._marked[component] = mark
        self.edit(change)

    def mark_of(self, component: str) -> str:
        """The mark of the component's declared revision."""
        return self._marked[component]

    def mark_of_task(self, task: Task) -> str:
        """The mark in a task's revision."""
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

    async def misbehave(self, operation: str, kind: str, **more: Any) -> None:
        """Have the API misbehave (`ecs_dynamo.local.wire.faults`)."""
        self.hit = time.monotonic()
        await self._post("faults", {"operation": operation, "kind": kind, **more})

    async def signal(self, task: Task, number: int) -> None:
        """Send a signal to the processes of ``task``, whose end is not the daemon's doing."""
        self.victims.add(task.id)
        self.hit = time.monotonic()
        await self._post("kill", {"task": task.arn, "signal": number})

    def more_outcomes(self, requests: Iterable[Request]) -> None:
        """Count a fault's own requests in."""
        self.outcomes += [
            Outcome(r.started, r.started + r.seconds, streamed=True, error=r.error)
            for r in requests
        ]

    async def aws(self, service: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """A call of somebody else's."""
        async with AioSession().create_client(
            service,
            endpoint_url=self.local.endpoint_url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        ) as client:
            answer: dict[str, Any] = await getattr(client, xform_name(operation))(**parameters)
            return answer

    def instances(self) -> list[Instance]:
        """The GPU instances."""
        return [i for i in self.local.state.instances.values() if i.cluster == GPU]

    async def lose_instance(self, instance: Instance) -> None:
        """EC2 terminates it: its tasks die."""
        tasks = self.local.state.tasks_on_instance(instance)
        self.victims |= {t.id for t in tasks}
        self.hit = time.monotonic()
        await self.local.remove_instance(instance.arn)

    async def restore(self) -> None:
        """Undo what a fault left behind: answers, processes, instances, the clock, the daemon,
        a command."""
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
        if self.daemon is None:
            await self.start_daemon()
        for name in self.files.altered():
            self._marks += 1
            self.undo(name, str(self._marks), "command", "rollout")

    # What is so.

    async def heard_write(self, operation: str, since: float, timeout: float = 30.0) -> None:
        """Wait until the daemon has made a call of ``operation`` at or after ``since``."""
        await until(
            f"{operation} by the daemon",
            lambda: any(at >= since and o == operation for at, o in self.watch.writes),
            timeout,
        )

    async def unsettled(self) -> str | None:
        """Why the graph is not as declared, by what is seen from outside and by the daemon's own
        word; None where it is."""
        why = next(filter(None, map(self._unsettled, COMPONENTS)), None)
        if why is None and self.watch.tasks(EXTRA, alive=True):
            why = f"{EXTRA} runs"
        if why is not None:
            self._seen_settled = math.inf
            return why
        self._seen_settled = min(self._seen_settled, time.time())
        status = await self.status()
        if not status:
            return "the daemon does not answer"
        if datetime.fromisoformat(status["observedAt"]).timestamp() < self._seen_settled:
            return "the daemon has not looked since"
        if not status.get("converged"):
            waits = "; ".join(f"{w['component']}: {w['reason']}" for w in status.get("waits", ()))
            return f"the daemon has more to do: {waits or 'no wait told'}"
        return None

    def _unsettled(self, component: str) -> str | None:
        key = (FARGATE if component not in ("decode", "prefill") else GPU, service_of(component))
        service = self.local.state.services.get(key)
        if service is None:
            return f"{component} is not there"
        tasks = self.watch.tasks(component, alive=True)
        if len(service.deployments) > 1 or service.primary.rollout_state != "COMPLETED":
            return f"{component} rolls"
        if service.desired != REPLICAS[component] or len(tasks) != REPLICAS[component]:
            return f"{component}: {len(tasks)} tasks of {service.desired}"
        for task in tasks:
            if task.id in self.victims:
                return f"{component}: what was hit is not replaced"
            if not self.watch.ready(task):
                return f"{component}: a task is not ready"
            if component in ROLLED and self.mark_of_task(task) != self._marked[component]:
                return f"{component}: a task is of another revision"
            if task.definition is not service.primary.definition:
                return f"{component}: a task is not of the service's revision"
        return None

    def foreign_change(self) -> str | None:
        """What became of the service that is not the graph's; None where nothing did."""
        return None if self._foreign_now() == self._foreign else "a foreign service was changed"

    def _foreign_now(self) -> str:
        service = self.local.state.services.get((FARGATE, FOREIGN))
        if service is None:
            return ""
        own = [service.desired, service.status, service.tags, service.request]
        tasks = sorted(t.id for t in self.local.state.service_tasks(service) if t.alive)
        return json.dumps([*own, service.primary.definition.arn, tasks], sort_keys=True)

    # Setting up.

    async def set_up(self) -> None:
        """Clusters, instances, a foreign service, the queue of events, the daemon."""
        for cluster in (FARGATE, GPU):
            self.local.create_cluster(cluster)
        for _ in range(INSTANCES):
            await self.local.add_instance(GPU)
        await self._add_foreign()
        for name in ROLLED:
            self.roll(name)
        self._environ = {
            **os.environ,
            "ECS_DYNAMO_ENDPOINT_URL": self.local.endpoint_url,
            "ECS_DYNAMO_REGION": REGION,
            "ECS_DYNAMO_SIGNAL_SECONDS": "1",
            "ECS_DYNAMO_OBSERVE_TIMEOUT_SECONDS": "5",
            "PYTHONPATH": str(Path(__file__).parent / "clock"),
            "CHAOS_CLOCK": str(self.clock),
            "ECS_DYNAMO_EVENT_QUEUE_URL": await self._wire_events(),
        }
        await self.start_daemon()

    async def _add_foreign(self) -> None:
        document = json.loads((self.files.folder / "taskdefs" / "nats.json").read_text())
        text = json.dumps({**document, "family": FOREIGN}).replace("AWS_REGION", REGION)
        await self.aws(
            "ecs", "RegisterTaskDefinition", **json.loads(text.replace("AWS_ID", ACCOUNT))
        )
        await self.aws(
            *("ecs", "CreateService"),
            cluster=FARGATE,
            serviceName=FOREIGN,
            taskDefinition=FOREIGN,
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration={
                "awsvpcConfiguration": {"subnets": ["subnet-a"], "securityGroups": ["sg-a"]}
            },
        )
        service = self.local.state.services[FARGATE, FOREIGN]
        await until(
            "the foreign task runs",
            lambda: any(
                t.last_status == "RUNNING" for t in self.local.state.service_tasks(service)
            ),
        )
        self._foreign = self._foreign_now()

    async def _wire_events(self) -> str:
        """The queue and the two rules of docs/operations.md; the queue's URL."""
        graph = load_graph(self.files.file, dict(os.environ)).graph
        documents = render_iam(graph, REGION, ACCOUNT, None, QUEUE)
        made = await self.aws(
            *("sqs", "CreateQueue"),
            QueueName=QUEUE,
            Attributes=documents["events-queue-attributes.json"],
        )
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"
        for rule in ("events", "notices"):
            name, pattern = f"ecs-dynamo-{rule}", json.dumps(documents[f"{rule}-rule-pattern.json"])
            await self.aws("events", "PutRule", Name=name, EventPattern=pattern)
            await self.aws("events", "PutTargets", Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        return str(made["QueueUrl"])


async def settle(stage: Stage, timeout: float) -> None:
    """Wait until the graph is as declared. StageError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while (why := await stage.unsettled()) is not None:
        if time.monotonic() > deadline:
            raise StageError(f"not as declared within {timeout:.0f} s: {why}")
        await asyncio.sleep(0.25)


@asynccontextmanager
async def staged(
    example: Path,
    folder: Path,
    on_local: Callable[[LocalEcs, GraphFiles], None] = lambda _local, _files: None,
    lease_seconds: int = LEASE_SECONDS,
) -> AsyncIterator[Stage]:
    """A stage whose graph is up. ``folder`` must be empty; ``on_local`` is told of the local ECS
    before anything happens on it."""
    async with AsyncExitStack() as stack:
        table = ImageTable.load(example / "images.yaml")
        local = await stack.enter_async_context(LocalEcs(images=table, directory=folder / "ecs"))
        files = GraphFiles(example, folder / "graph", lease_seconds)
        on_local(local, files)
        stage = Stage(local, files, folder)
        stack.push_async_callback(stage.stop_daemon)
        await stage.set_up()
        looking = asyncio.create_task(stage.watch.run())
        stack.callback(looking.cancel)
        await settle(stage, 120.0)
        yield stage


def keep_logs(folder: Path, target: Path) -> None:
    """Copy all logs under ``folder`` for who looks for a reason."""
    for log in folder.rglob("*.log"):
        kept = target / log.relative_to(folder)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, kept)
