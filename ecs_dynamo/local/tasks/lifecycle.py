"""A task's life: placed, given an address, its processes run, and everything given back."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ecs_dynamo.local.moto.network_interfaces import Interfaces
from ecs_dynamo.local.network.forwarder import Forwarder
from ecs_dynamo.local.placement.expressions import EC2_INSTANCE_ID
from ecs_dynamo.local.placement.resources import Room, need_of
from ecs_dynamo.local.placement.selection import NONE, Rules, place, rules_of
from ecs_dynamo.local.runtime import (
    CannotPullContainerError,
    ContainerLaunch,
    HealthCheck,
    ImageTable,
    TaskLaunch,
    TaskProcess,
)
from ecs_dynamo.local.state.entities import Cluster, ContainerState, Instance, Task, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.names import Names
from ecs_dynamo.local.tasks.network_bindings import bindings_of, bound_ports, reached_network
from ecs_dynamo.local.tasks.volumes import mounts_of, volume_folders
from ecs_dynamo.local.wire.protocol import Json

_log = logging.getLogger(__name__)

MAX_FORWARDED = 1000
"""Mapped ports of one task: each is a socket of this process."""
SecretReader = Callable[[str], Awaitable[str]]


class PlacementError(Exception):
    """No container instance fits; the message is ECS's reason (``RESOURCE:GPU``)."""


def _same(target: tuple[str, int]) -> tuple[str, int]:
    return target


class Tasks:
    """Starts and stops tasks. ``on_change`` is called whenever one changes."""

    def __init__(
        self,
        state: State,
        images: ImageTable,
        directory: Path,
        secrets: SecretReader,
        names: Names,
        interfaces: Interfaces,
        on_change: Callable[[], None],
    ) -> None:
        self._state = state
        self._images = images
        self._directory = directory
        self._secrets = secrets
        self._names = names
        self._interfaces = interfaces
        self._on_change = on_change
        self._running: dict[str, asyncio.Task[None]] = {}
        self._forwarders: dict[str, list[Forwarder]] = {}

    def _place(
        self,
        cluster: Cluster,
        definition: TaskDefinition,
        group: str,
        rules: Rules,
        provider: str | None,
    ) -> Instance:
        """An instance with room, of ``provider`` where there is one. Raises `PlacementError`."""
        state = self._state
        own = rules_of(definition.content.get("placementConstraints", ()), ())
        merged = replace(rules, expressions=(*rules.expressions, *own.expressions))
        rooms = [
            self.room(instance, group)
            for instance in state.instances.values()
            if instance.cluster == cluster.name
            and (provider is None or state.provider_of(instance) == provider)
        ]
        need = need_of(definition.content, definition.network_mode)
        arn, reason = place(need, rooms, merged)
        if arn is None:
            raise PlacementError(reason)
        return state.instances[arn.rsplit("/", 1)[-1]]

    def room(self, instance: Instance, group: str = "") -> Room:
        """What ``instance`` has left."""
        on_it = self._state.tasks_on_instance(instance)
        needs = [need_of(t.definition.content, t.definition.network_mode) for t in on_it]
        dynamic = {
            host
            for t in on_it
            if t.definition.network_mode == "bridge"
            for c in t.containers
            for b in c.bindings
            for host, _ in bound_ports(b)
        }
        fixed = (port for need in needs for port in need.ports)
        return Room(
            instance.arn,
            instance.cpu - sum(n.cpu for n in needs),
            instance.memory - sum(n.memory for n in needs),
            max(0, instance.gpus - sum(n.gpus for n in needs)),
            frozenset({*fixed, *dynamic}),
            sum(1 for t in on_it if t.group == group),
            instance.status == "ACTIVE" and instance.agent_connected,
            {**instance.all_attributes, EC2_INSTANCE_ID: instance.ec2_id},
            instance.gpus,
        )

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
        rules: Rules = NONE,
        provider: str | None = None,
        registries: list[Json] | None = None,
        connect: Json | None = None,
        overrides: Json | None = None,
        tags: list[Json] | None = None,
    ) -> Task:
        """Place a task and begin to run it. Raises `PlacementError`.

        Where its capacity provider can add instances, it waits for one instead (PROVISIONING).
        """
        state = self._state
        instance: Instance | None = None
        waits = False
        if launch_type != "FARGATE":
            try:
                instance = self._place(cluster, definition, group, rules, provider)
            except PlacementError:
                if provider is None or not state.providers[provider].managed:
                    raise
                waits = True
        identity = state.new_id()
        task = Task(
            arn=state.arn(f"task/{cluster.name}/{identity}"),
            cluster=cluster.name,
            definition=definition,
            launch_type=launch_type,
            group=group,
            created_at=state.now(),
            containers=[
                ContainerState(
                    c["name"],
                    c["image"],
                    state.arn(f"container/{cluster.name}/{identity}/{state.new_id()[:8]}"),
                )
                for c in definition.containers
            ],
            overrides=dict(overrides or {}),
            service=service,
            deployment=deployment,
            started_by=started_by,
            instance=instance,
            tags=list(tags or ()),
            provider=provider,
            registries=list(registries or ()),
            connect=connect,
            waits=waits,
        )
        if not waits:
            self._begin(task, network)
        # Only now: a task that could not be begun would hold its place for ever.
        state.tasks[identity] = task
        return task

    def place_waiting(self, task: Task, rules: Rules, network: Json | None) -> bool:
        """Begin to run a task that waits, if an instance has come that has room for it."""
        cluster = self._state.clusters[task.cluster]
        try:
            task.instance = self._place(cluster, task.definition, task.group, rules, task.provider)
        except PlacementError:
            return False
        self._begin(task, network)
        task.waits = False
        return True

    def _begin(self, task: Task, network: Json | None) -> None:
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
                vpc.get("assignPublicIp") == "ENABLED",
                state.arn(f"attachment/{task.id}"),
            )
        elif definition.network_mode == "host" and instance is not None:
            task.address = instance.address
        else:
            task.address = state.addresses.container(instance.address if instance else "")
        for container, declared in zip(task.containers, definition.containers, strict=True):
            container.bindings = bindings_of(declared, definition.network_mode, state.addresses)
        self._running[task.id] = asyncio.create_task(self._run(task))

    async def _run(self, task: Task) -> None:
        """From PENDING until its processes run; their end comes through `_sync`."""
        state = self._state
        try:
            await self._forward(task)
            folders = volume_folders(task, self._directory)
            for folder in folders.values():
                await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            launch = TaskLaunch(
                task.id,
                task.address,
                tuple([await self._launch(task, c, folders) for c in task.definition.containers]),
                self._directory,
                reached_network(task, state.addresses),
            )
            if task.desired_status != "RUNNING":
                await self._finish(task)
                return
            task.last_status = "PENDING"
            task.process = TaskProcess(launch, self._images, lambda: self._sync(task))
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

    async def _forward(self, task: Task) -> None:
        if task.definition.network_mode != "bridge" or task.instance is None:
            return
        made = self._forwarders.setdefault(task.id, [])
        pairs = [
            pair
            for container in task.containers
            for binding in container.bindings
            if binding["protocol"] == "tcp"
            for pair in bound_ports(binding)
        ]
        if len(pairs) > MAX_FORWARDED:
            raise OSError(f"{len(pairs)} mapped ports are more than {MAX_FORWARDED}")
        for host, port in pairs:
            target = (task.address, port)
            forwarder = Forwarder(task.instance.address, host, partial(_same, target))
            await forwarder.start()
            made.append(forwarder)

    async def _launch(
        self, task: Task, declared: Json, folders: Mapping[str, Path]
    ) -> ContainerLaunch:
        over: Mapping[str, Json] = {
            o["name"]: o for o in task.overrides.get("containerOverrides", ())
        }
        override = over.get(declared["name"], {})
        environment = {
            e["name"]: e.get("value", "")
            for e in (*declared.get("environment", ()), *override.get("environment", ()))
        }
        for secret in declared.get("secrets", ()):
            environment[secret["name"]] = await self._secrets(secret["valueFrom"])
        known = self._names.known_to(task)
        for name, value in environment.items():
            environment[name] = await self._names.rewrite(value, known)
        environment["ECS_LOCAL_TASK_ARN"] = task.arn
        command = override.get("command") or declared.get("command", ())
        check = declared.get("healthCheck")
        return ContainerLaunch(
            name=declared["name"],
            image=declared["image"],
            entry_point=tuple(declared.get("entryPoint", ())),
            command=tuple([await self._names.rewrite(word, known) for word in command]),
            environment=environment,
            essential=declared.get("essential", True),
            stop_timeout=float(declared.get("stopTimeout", 30)),
            health_check=HealthCheck(
                tuple(check["command"]),
                float(check.get("interval", 30)),
                float(check.get("timeout", 5)),
                int(check.get("retries", 3)),
                float(check.get("startPeriod", 0)),
            )
            if check and check["command"] != ["NONE"]
            else None,
            depends_on=tuple(
                (d["containerName"], d["condition"]) for d in declared.get("dependsOn", ())
            ),
            mounts=mounts_of(declared, folders),
        )

    def _sync(self, task: Task) -> None:
        """Take over what the processes have become."""
        process = task.process
        if process is None:
            return
        for state, now in zip(task.containers, process.containers, strict=True):
            state.last_status, state.health = now.last_status, now.health
            state.exit_code, state.reason = now.exit_code, now.reason
        statuses = {c.last_status for c in task.containers}
        if task.last_status in ("PROVISIONING", "PENDING") and statuses == {"RUNNING"}:
            task.last_status = "RUNNING"
            task.started_at = self._state.now()
            if task.alive:
                self._names.register(task)
        ended = [
            c
            for c, d in zip(task.containers, task.definition.containers, strict=True)
            if c.last_status == "STOPPED" and d.get("essential", True)
        ]
        if ended and task.desired_status == "RUNNING":
            task.desired_status = "STOPPED"
            task.stop_code = "EssentialContainerExited"
            task.stopped_reason = "Essential container in task exited"
            task.stopping_at = self._state.now()
        if statuses == {"STOPPED"} and task.last_status != "STOPPED":
            self._running[task.id] = asyncio.create_task(self._finish(task))
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
        """Begin to stop ``task``; harmless when it stops already."""
        if task.desired_status == "STOPPED":
            return
        self._names.deregister(task)
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason = code, reason
        task.stopping_at = self._state.now()
        if task.last_status == "RUNNING":
            task.last_status = "DEACTIVATING"
        if task.process is not None:
            earlier = self._running.get(task.id)
            self._running[task.id] = asyncio.create_task(self._stop(task, earlier))
        elif task.waits:
            task.waits = False
            self._running[task.id] = asyncio.create_task(self._finish(task))
        self._on_change()

    async def _stop(self, task: Task, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None and not earlier.done():
            await asyncio.gather(earlier, return_exceptions=True)
        if task.process is not None:
            await task.process.stop()
        await self._finish(task)

    async def close(self, timeout: float) -> None:
        """Stop everything; what has not ended after ``timeout`` seconds is killed."""
        for task in list(self._state.tasks.values()):
            self.stop(task, "UserInitiated", "the local ECS is shut down")
        pending = {t for t in self._running.values() if not t.done()}
        if not pending:
            return
        _, late = await asyncio.wait(pending, timeout=timeout)
        for task in self._state.tasks.values():
            if task.holds_resources and task.process is not None:
                await task.process.kill(signal.SIGKILL)
        if late:
            _, late = await asyncio.wait(late, timeout=10.0)
        for one in late:
            one.cancel()
