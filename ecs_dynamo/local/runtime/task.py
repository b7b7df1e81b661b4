"""One task: its containers in the order of their dependencies, living and dying together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ecs_dynamo.local.runtime.container import ContainerProcess
from ecs_dynamo.local.runtime.images import ImageTable
from ecs_dynamo.local.runtime.launch import ContainerStatus, TaskLaunch

DEPENDENCY_SECONDS = 300.0
"""How long a container waits for another before the task is given up."""


class TaskProcess:
    """Runs a task. ``on_change`` is called (in the event loop) when any container's state changes.

    When an essential container ends, the others are stopped, as ECS does.
    """

    def __init__(
        self, launch: TaskLaunch, images: ImageTable, on_change: Callable[[], None]
    ) -> None:
        self._launch = launch
        self._images = images
        self._on_change = on_change
        self._parts: dict[str, ContainerProcess] = {}
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def containers(self) -> tuple[ContainerStatus, ...]:
        """The state of each container, in the order of the task definition."""
        return tuple(
            self._parts[c.name].status if c.name in self._parts else ContainerStatus(c.name)
            for c in self._launch.containers
        )

    async def start(self) -> None:
        """Begin; returns at once. Raises `CannotPullContainerError` before anything runs."""
        launch = self._launch
        directory = launch.directory / launch.task_id
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        for container in launch.containers:
            command = self._images.resolve(container, launch.address, directory)
            health: tuple[str, ...] = ()
            if container.health_check is not None:
                health = self._images.check_command(
                    container, container.health_check.command, launch.address, directory
                )
            self._parts[container.name] = ContainerProcess(
                container, command, health, directory, self._changed
            )
        self._starting = asyncio.create_task(self._start_all())

    async def _start_all(self) -> None:
        await asyncio.gather(*(self._start_one(part) for part in self._parts.values()))

    async def _start_one(self, part: ContainerProcess) -> None:
        for name, condition in part.launch.depends_on:
            other = self._parts.get(name)
            if other is None:
                continue
            deadline = asyncio.get_running_loop().time() + DEPENDENCY_SECONDS
            while not _fulfilled(other.status, condition):
                if asyncio.get_running_loop().time() > deadline or self._ending is not None:
                    self._end()
                    return
                await asyncio.sleep(0.05)
        if self._ending is None:
            await part.start()

    def _changed(self) -> None:
        self._on_change()
        if any(
            p.launch.essential and p.status.last_status == "STOPPED" for p in self._parts.values()
        ):
            self._end()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop_all())

    async def _stop_all(self) -> None:
        # In reverse order of dependency a sidecar would outlive what needs it; ECS does so, but
        # here nothing is lost by ending all at once.
        if self._starting is not None and self._starting is not asyncio.current_task():
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(part.stop() for part in self._parts.values()))

    async def stop(self) -> None:
        """SIGTERM, stopTimeout, SIGKILL for each container; returns when all are STOPPED."""
        self._end()
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def kill(self, signal_number: int, container: str | None = None) -> None:
        """Send a signal to one container or to all, as a crash would come: unannounced."""
        for name, part in self._parts.items():
            if container in (None, name):
                part.send(signal_number)


def _fulfilled(status: ContainerStatus, condition: str) -> bool:
    match condition:
        case "START":
            return status.last_status in ("RUNNING", "STOPPED")
        case "HEALTHY":
            return status.health == "HEALTHY"
        case "COMPLETE":
            return status.last_status == "STOPPED"
        case "SUCCESS":
            return status.last_status == "STOPPED" and status.exit_code == 0
    return True
