"""The stage of a case: a local ECS with the graph, the daemon as a process, and its controls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any

from benchmarks.chaos.daemon import RESTART_SECONDS, StageDaemon, unconverged_reason
from benchmarks.chaos.graph import FARGATE, GPU
from benchmarks.chaos.stage import REGION, StageError, wait_until
from benchmarks.chaos.watch import is_daemon_write
from benchmarks.rollouts.case import (
    Case,
    Declare,
    KillDaemon,
    LoseHost,
    MoveEtcd,
    Step,
    Upgrade,
)
from benchmarks.rollouts.graph import ETCD, WORKERS, GraphFiles, Revision, role_of
from benchmarks.rollouts.observer import Observer
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.state.entities import Service
from ecs_dynamo.local.wire.faults import Call

CONVERGE_SECONDS, QUIET_SECONDS = 60.0, 8.0
"""How long an upgraded daemon may take to converge, and how long it must not write after that."""
CPU_PER_GPU, MEMORY_PER_GPU = 4096, 15_000
DECLARED = "declared:"
"""Start of the event of a declaration."""
OnLocal = Callable[[LocalEcs, GraphFiles], None]


class RolloutStage:
    """The system under test.

    ``events`` holds what was done to it and each write of the daemon, with its time in monotonic
    seconds.
    """

    def __init__(self, local: LocalEcs, case: Case, folder: Path, example: Path) -> None:
        self.local, self.case = local, case
        self.files = GraphFiles(
            example,
            folder / "graph",
            case.replicas,
            case.first,
            case.lease_seconds,
            case.progress_seconds,
        )
        self.observer = Observer(local, case.revisions)
        self.daemon = StageDaemon(self.files.file, folder)
        self.daemon.environ = {
            "ECS_DYNAMO_ENDPOINT_URL": local.endpoint_url,
            "ECS_DYNAMO_REGION": REGION,
            "ECS_DYNAMO_SIGNAL_SECONDS": "1",
        }
        self.events: list[tuple[float, str]] = []
        self._previous_on_call = local.on_call
        local.on_call = self._on_call

    def note(self, text: str) -> None:
        """Record that something happens now."""
        self.events.append((time.monotonic(), text))

    def _on_call(self, call: Call, parameters: Mapping[str, Any]) -> None:
        if self._previous_on_call is not None:
            self._previous_on_call(call, dict(parameters))
        if not is_daemon_write(call):
            return
        keys = ("service", "serviceName", "family", "resourceArn", "task", "taskDefinition")
        names = [str(parameters[k]).rsplit("/", 1)[-1] for k in keys if parameters.get(k)]
        if "desiredCount" in parameters:
            names.append(f"desired {parameters['desiredCount']}")
        self.note(" ".join(["daemon:", call.operation, *names]))

    def declared_at(self, began: float) -> float:
        """Return when a revision was first declared after ``began``, or ``began``."""
        times = (at for at, text in self.events if at >= began and text.startswith(DECLARED))
        return next(times, began)

    # The steps.

    async def perform(self, step: Step) -> None:
        """Perform a step of the case."""
        match step:
            case Declare(revision):
                self.note(f"{DECLARED} {describe(revision)}")
                self.files.declare(revision)
                self.daemon.reload()
            case MoveEtcd():
                self.note("etcd and NATS stopped")
                for task in [t for t in self.local.state.tasks.values() if t.service == ETCD]:
                    if task.alive and task.process is not None:
                        await task.process.kill(SIGKILL)
            case LoseHost():
                hosts = [
                    task.instance
                    for role, task in self.observer.worker_tasks()
                    if self.observer.revision_of(task, role) == 0 and task.instance is not None
                ]
                self.note("host of an old worker terminated")
                await self.local.remove_instance(hosts[-1].arn)
                await self._add_host(1)
            case KillDaemon():
                self.note("daemon killed")
                await self.daemon.kill()
                await asyncio.sleep(RESTART_SECONDS)
                await self.daemon.start()
                self.note("new daemon started")
            case Upgrade():
                await self.daemon.stop()
                await self._start_without_writes()

    async def _start_without_writes(self) -> None:
        """Start a daemon and wait until it has converged. Raises StageError if it writes."""
        before = len(self.events)
        self.note("daemon of this version started")
        await self.daemon.start()

        async def reason() -> str | None:
            return unconverged_reason(await self.daemon.status())

        await wait_until("the new daemon converges", reason, CONVERGE_SECONDS)
        await asyncio.sleep(QUIET_SECONDS)
        writes = [text for _, text in self.events[before:] if text.startswith("daemon: ")]
        if writes:
            raise StageError(f"the new daemon wrote without a change: {'; '.join(writes)}")

    async def _add_host(self, gpus: int) -> None:
        await self.local.add_instance(
            GPU, gpus=gpus, cpu=CPU_PER_GPU * gpus, memory=MEMORY_PER_GPU * gpus
        )

    async def add_hosts(self) -> None:
        """Create the clusters and the case's hosts."""
        for cluster in (FARGATE, GPU):
            self.local.create_cluster(cluster)
        for gpus in self.case.hosts:
            await self._add_host(gpus)

    # Observed state.

    def _worker_services(self) -> list[tuple[str, Service]]:
        return [
            (role, service)
            for service in self.local.state.services.values()
            if service.status == "ACTIVE" and (role := role_of(service.name)) is not None
        ]

    def unsettled_reason(self, revision: Revision) -> str | None:
        """Return why not exactly ``revision`` serves, or None if it does."""
        number, replicas = self.case.revisions.index(revision), self.case.replicas
        for role, service in self._worker_services():
            container = service.primary.definition.containers[0]
            if service.desired and not revision.is_of(container, role):
                return f"{service.name} is to run another revision"
        tasks = self.observer.worker_tasks()
        if any(self.observer.revision_of(task, role) != number for role, task in tasks):
            return "a worker of another revision runs"
        for role in WORKERS:
            running = sum(task_role == role for task_role, _ in tasks)
            if running != replicas:
                return f"{role}: {running} workers run instead of {replicas}"
        latest = self.observer.samples[-1] if self.observer.samples else None
        for role in WORKERS:
            routed = latest.lowest[role] if latest is not None else 0
            if routed != replicas:
                return f"{role}: {routed} workers are routed to instead of {replicas}"
        return None


def describe(revision: Revision) -> str:
    """Return what distinguishes a revision from the first one."""
    first = Revision()
    parts = []
    if revision.block_size != first.block_size:
        parts.append(f"block size {revision.block_size}")
    if revision.context_length != first.context_length:
        parts.append(f"context length {revision.context_length}")
    if revision.mark:
        parts.append(f"mark {revision.mark}")
    if revision.script != first.script:
        parts.append("a command that fails")
    return ", ".join(parts) or "the first revision"


@asynccontextmanager
async def open_stage(
    case: Case,
    example: Path,
    folder: Path,
    on_local: OnLocal = lambda _local, _files: None,
    older_version: Path | None = None,
) -> AsyncIterator[RolloutStage]:
    """Open a stage on which the daemon has started.

    ``folder`` must be empty. ``on_local`` is called with the local ECS before its first use.
    ``older_version`` has the sources of the version that a case begins with.
    """
    async with AsyncExitStack() as stack:
        table = ImageTable.load(example / "images.yaml")
        local = await stack.enter_async_context(LocalEcs(images=table, directory=folder / "ecs"))
        stage = RolloutStage(local, case, folder, example)
        on_local(local, stage.files)
        await stage.add_hosts()
        stack.push_async_callback(stage.daemon.stop)
        if case.begins_with_older_version:
            # The current folder is not searched, so that the older version is used.
            await stage.daemon.start(PYTHONPATH=str(older_version), PYTHONSAFEPATH="1")
        else:
            await stage.daemon.start()
        observing = asyncio.create_task(stage.observer.run())
        stack.callback(observing.cancel)
        yield stage
