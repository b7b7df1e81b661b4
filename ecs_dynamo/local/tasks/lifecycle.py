"""The life of a task: placement, address, processes, and the release of its resources."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ecs_dynamo.local.moto.network_interfaces import NetworkInterfaces
from ecs_dynamo.local.network.forwarder import Forwarder
from ecs_dynamo.local.placement.selection import NO_RULES, PlacementRules
from ecs_dynamo.local.runtime import (
    CannotPullContainerError,
    ImageTable,
    TaskLaunch,
    TaskProcess,
)
from ecs_dynamo.local.state.entities import Cluster, ContainerState, Instance, Task, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.launches import SecretReader, container_launch
from ecs_dynamo.local.tasks.name_resolution import NameResolver
from ecs_dynamo.local.tasks.network_bindings import (
    bound_ports,
    network_bindings,
    reachable_network,
)
from ecs_dynamo.local.tasks.placing import PlacementError, place_task
from ecs_dynamo.local.tasks.volumes import volume_folders
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)

MAX_FORWARDED_PORTS = 1000
"""Most mapped ports of one task, since each is a socket of this process."""


def _identity(target: tuple[str, int]) -> tuple[str, int]:
    return target


class TaskManager:
    """Starts and stops tasks. ``on_change`` is called whenever a task changes."""

    def __init__(
        self,
        state: State,
        images: ImageTable,
        directory: Path,
        read_secret: SecretReader,
        names: NameResolver,
        interfaces: NetworkInterfaces,
        on_change: Callable[[], None],
    ) -> None:
        self._state = state
        self._images = images
        self._directory = directory
        self._read_secret = read_secret
        self._names = names
        self._interfaces = interfaces
        self._on_change = on_change
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._forwarders: dict[str, list[Forwarder]] = {}

    def create(
        self,
        cluster: Cluster,
        definition: TaskDefinition,
        *,
        launch_type: str,
        group: str,
        network: Json | None,
        service: str | None = None,
        deployment: str | None = None,
        started_by: str | None = None,
        rules: PlacementRules = NO_RULES,
        capacity_provider: str | None = None,
        registries: list[Json] | None = None,
        service_connect: Json | None = None,
        overrides: Json | None = None,
        tags: list[Json] | None = None,
        execute_command: bool = False,
    ) -> Task:
        """Place a task and begin to run it.

        If no instance fits and the capacity provider has managed scaling, the task waits for an
        instance (PROVISIONING). Otherwise `PlacementError` is raised.
        """
        state = self._state
        instance: Instance | None = None
        awaiting_capacity = False
        if launch_type != "FARGATE":
            try:
                instance = place_task(
                    state,
                    cluster,
                    definition,
                    group=group,
                    rules=rules,
                    capacity_provider=capacity_provider,
                )
            except PlacementError:
                if (
                    capacity_provider is None
                    or not state.providers[capacity_provider].managed_scaling
                ):
                    raise
                awaiting_capacity = True
        task_id = state.new_id()
        task = Task(
            arn=state.arn(f"task/{cluster.name}/{task_id}"),
            cluster=cluster.name,
            definition=definition,
            launch_type=launch_type,
            group=group,
            created_at=state.now(),
            containers=[
                ContainerState(
                    c["name"],
                    c["image"],
                    state.arn(f"container/{cluster.name}/{task_id}/{state.new_id()[:8]}"),
                )
                for c in definition.containers
            ],
            overrides=dict(overrides or {}),
            service=service,
            deployment=deployment,
            started_by=started_by,
            instance=instance,
            tags=list(tags or ()),
            capacity_provider=capacity_provider,
            registries=list(registries or ()),
            service_connect=service_connect,
            awaiting_capacity=awaiting_capacity,
            execute_command=execute_command,
        )
        if not awaiting_capacity:
            self._start(task, network)
        # Added last: a task that could not be started would use its resources indefinitely.
        state.tasks[task_id] = task
        return task

    def place_waiting(self, task: Task, rules: PlacementRules, network: Json | None) -> None:
        """Start a task that waits for capacity, if an instance fits by now."""
        cluster = self._state.clusters[task.cluster]
        try:
            task.instance = place_task(
                self._state,
                cluster,
                task.definition,
                group=task.group,
                rules=rules,
                capacity_provider=task.capacity_provider,
            )
        except PlacementError:
            return
        self._start(task, network)
        task.awaiting_capacity = False

    def _start(self, task: Task, network: Json | None) -> None:
        """Assign the task's address and ports, and begin to run it."""
        state, definition, instance = self._state, task.definition, task.instance
        if definition.network_mode == "awsvpc":
            task.address = state.addresses.interface()
            task.eni = f"eni-{state.new_id()[:17]}"
            vpc = (network or {}).get("awsvpcConfiguration", {})
            subnets = vpc.get("subnets", ())
            task.subnet = subnets[len(state.tasks) % len(subnets)] if subnets else "subnet-local"
            self._interfaces.attach(
                task.eni,
                task.address,
                task.subnet,
                vpc.get("securityGroups", ()),
                public=vpc.get("assignPublicIp") == "ENABLED",
                attachment=state.arn(f"attachment/{task.id}"),
            )
        elif definition.network_mode == "host" and instance is not None:
            task.address = instance.address
        else:
            task.address = state.addresses.container(instance.address if instance else "")
        for container, declared in zip(task.containers, definition.containers, strict=True):
            container.bindings = network_bindings(
                declared, definition.network_mode, state.addresses
            )
        self._jobs[task.id] = asyncio.create_task(self._run(task))

    async def _run(self, task: Task) -> None:
        """Start the processes of a task. Changes of their status are handled by `_update`."""
        state = self._state
        try:
            await self._forward_ports(task)
            folders = volume_folders(task, self._directory)
            for folder in folders.values():
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            launches = [
                await container_launch(
                    task,
                    declared,
                    folders,
                    read_secret=self._read_secret,
                    names=self._names,
                    metadata_url=f"{state.metadata_url}/{container.id}",
                )
                for container, declared in zip(
                    task.containers, task.definition.containers, strict=True
                )
            ]
            launch = TaskLaunch(
                task.id,
                task.address,
                tuple(launches),
                self._directory,
                reachable_network(task, state.addresses),
            )
            if task.desired_status != "RUNNING":
                await self._finish(task)
                return
            task.last_status = "PENDING"
            task.process = TaskProcess(launch, self._images, lambda: self._update(task))
            await task.process.start()
        except CannotPullContainerError as error:
            await self._fail(task, str(error))
        except (OSError, LookupError) as error:
            await self._fail(task, f"ResourceInitializationError: {error}")
        except Exception as error:
            _log.exception("task %s could not be started", task.id)
            await self._fail(task, f"InternalError: {error}")

    async def _fail(self, task: Task, reason: str) -> None:
        task.stop_code = task.stop_code or "TaskFailedToStart"
        task.stopped_reason = task.stopped_reason or reason
        task.desired_status = "STOPPED"
        for container in task.containers:
            container.last_status = "STOPPED"
            container.reason = container.reason or reason
        await self._finish(task)

    async def _forward_ports(self, task: Task) -> None:
        if task.definition.network_mode != "bridge" or task.instance is None:
            return
        forwarders = self._forwarders.setdefault(task.id, [])
        pairs = [
            pair
            for container in task.containers
            for binding in container.bindings
            if binding["protocol"] == "tcp"
            for pair in bound_ports(binding)
        ]
        if len(pairs) > MAX_FORWARDED_PORTS:
            raise OSError(
                f"the task maps {len(pairs)} ports, more than the limit of {MAX_FORWARDED_PORTS}"
            )
        for host_port, container_port in pairs:
            target = (task.address, container_port)
            forwarder = Forwarder(task.instance.address, host_port, partial(_identity, target))
            await forwarder.start()
            forwarders.append(forwarder)

    def _update(self, task: Task) -> None:
        """Update a task from the status of its processes."""
        process = task.process
        if process is None:
            return
        for container, status in zip(task.containers, process.containers, strict=True):
            container.last_status, container.health = status.last_status, status.health
            container.exit_code, container.reason = status.exit_code, status.reason
        statuses = {c.last_status for c in task.containers}
        if task.last_status in ("PROVISIONING", "PENDING") and statuses == {"RUNNING"}:
            task.last_status = "RUNNING"
            task.started_at = self._state.now()
            if task.alive:
                self._names.register(task)
        essential_ended = any(
            c.last_status == "STOPPED" and d.get("essential", True)
            for c, d in zip(task.containers, task.definition.containers, strict=True)
        )
        if essential_ended and task.desired_status == "RUNNING":
            task.desired_status = "STOPPED"
            task.stop_code = "EssentialContainerExited"
            task.stopped_reason = "Essential container in task exited"
            task.stopping_at = self._state.now()
        if statuses == {"STOPPED"} and task.last_status != "STOPPED":
            self._jobs[task.id] = asyncio.create_task(self._finish(task))
        elif task.desired_status == "STOPPED" and task.last_status == "RUNNING":
            task.last_status = "DEACTIVATING"
        self._on_change()

    async def _finish(self, task: Task) -> None:
        self._names.deregister(task)
        if task.eni is not None:
            self._interfaces.detach(task.eni)
        for forwarder in self._forwarders.pop(task.id, ()):
            await forwarder.stop()
        if task.process is not None:
            await task.process.stop()
        if task.last_status != "STOPPED":
            task.last_status = "STOPPED"
            task.desired_status = "STOPPED"
            task.stopped_at = self._state.now()
            task.stopping_at = task.stopping_at or task.stopped_at
        self._on_change()

    def stop(self, task: Task, code: str, reason: str) -> None:
        """Begin to stop ``task``. Does nothing if it is being stopped already."""
        if task.desired_status == "STOPPED":
            return
        self._names.deregister(task)
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason = code, reason
        task.stopping_at = self._state.now()
        if task.last_status == "RUNNING":
            task.last_status = "DEACTIVATING"
        if task.process is not None:
            previous = self._jobs.get(task.id)
            self._jobs[task.id] = asyncio.create_task(self._stop(task, previous))
        elif task.awaiting_capacity:
            task.awaiting_capacity = False
            self._jobs[task.id] = asyncio.create_task(self._finish(task))
        self._on_change()

    async def _stop(self, task: Task, previous: asyncio.Task[None] | None) -> None:
        if previous is not None and not previous.done():
            await asyncio.gather(previous, return_exceptions=True)
        if task.process is not None:
            await task.process.stop()
        await self._finish(task)

    async def close(self, timeout: float) -> None:
        """Stop all tasks, and kill those that are still running after ``timeout`` seconds."""
        for task in list(self._state.tasks.values()):
            self.stop(task, "UserInitiated", "the local ECS is shutting down")
        pending = {t for t in self._jobs.values() if not t.done()}
        if not pending:
            return
        _, late = await asyncio.wait(pending, timeout=timeout)
        for task in self._state.tasks.values():
            if task.holds_resources and task.process is not None:
                await task.process.kill(signal.SIGKILL)
        if late:
            _, late = await asyncio.wait(late, timeout=10.0)
        for job in late:
            job.cancel()
