"""A task: starts its containers in the order of their dependencies, and stops them together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ecs_dynamo.local.runtime.container import KILL_SECONDS, ContainerProcess
from ecs_dynamo.local.runtime.images import ImageTable
from ecs_dynamo.local.runtime.launch import ContainerStatus, TaskLaunch

DEPENDENCY_SECONDS = 300.0
"""How long a container waits for a dependency before the task is stopped."""


class TaskProcess:
    """Runs a task. ``on_change`` is called in the event loop when a container's status changes.

    When an essential container ends, the others are stopped, as ECS does.
    """

    def __init__(
        self, launch: TaskLaunch, images: ImageTable, on_change: Callable[[], None]
    ) -> None:
        self._launch = launch
        self._images = images
        self._on_change = on_change
        self._processes: dict[str, ContainerProcess] = {}
        self._starting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._status_changed = asyncio.Event()

    @property
    def containers(self) -> tuple[ContainerStatus, ...]:
        """The status of each container, in the order of the task definition."""
        return tuple(
            self._processes[c.name].status if c.name in self._processes else ContainerStatus(c.name)
            for c in self._launch.containers
        )

    async def start(self) -> None:
        """Begin to start the containers, without waiting until they run.

        Raises `CannotPullContainerError` before any process is started.
        """
        launch = self._launch
        directory = launch.directory / launch.task_id
        commands = [
            self._images.resolve(container, launch.address, directory)
            for container in launch.containers
        ]
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        for container, command in zip(launch.containers, commands, strict=True):
            self._processes[container.name] = ContainerProcess(
                container, command, directory, launch.network, self._changed
            )
        if self._ending is None:
            self._starting = asyncio.create_task(self._start_all())
        else:
            await self._stop_all()

    async def _start_all(self) -> None:
        await asyncio.gather(
            *(self._start_container(process) for process in self._processes.values())
        )

    async def _start_container(self, process: ContainerProcess) -> None:
        for name, condition in process.launch.depends_on:
            if name not in self._processes:
                continue
            if not await self._wait_for(self._processes[name], condition):
                self._end()
                return
        if self._ending is None:
            await process.start()

    async def _wait_for(self, dependency: ContainerProcess, condition: str) -> bool:
        """Wait until a dependency meets ``condition``; return False if it does not or cannot."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEPENDENCY_SECONDS):
                while self._ending is None:
                    is_met = _is_met(dependency.status, condition)
                    if is_met is not None:
                        return is_met
                    await self._status_changed.wait()
        return False

    def _changed(self) -> None:
        status_changed, self._status_changed = self._status_changed, asyncio.Event()
        status_changed.set()
        self._on_change()
        if any(
            p.launch.essential and p.status.last_status == "STOPPED"
            for p in self._processes.values()
        ):
            self._end()

    def _end(self) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop_all())
            self._status_changed.set()
        return self._ending

    async def _stop_all(self) -> None:
        if self._starting is not None:
            # Not cancelled: a process that is being spawned at this moment would not be stopped.
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(
            *(self._stop_container(process) for process in self._processes.values())
        )

    async def _stop_container(self, process: ContainerProcess) -> None:
        """Stop a container after those that depend on it, in the reverse order, as ECS does."""
        dependants = [
            p for p in self._processes.values() if process.launch.name in _running_dependencies(p)
        ]
        # Bounded, so that circular dependencies do not block each other indefinitely.
        timeout = max((p.launch.stop_timeout for p in dependants), default=0.0) + KILL_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(p.stopped.wait() for p in dependants))
        await process.stop()

    async def stop(self) -> None:
        """Send SIGTERM to each container and, after its stopTimeout, SIGKILL.

        Returns when all containers are STOPPED.
        """
        await asyncio.shield(self._end())

    async def kill(self, signal_number: int, container: str | None = None) -> None:
        """Send a signal to one container or to all, to simulate a crash."""
        for name, process in self._processes.items():
            if container in (None, name):
                process.send(signal_number)


def _running_dependencies(process: ContainerProcess) -> frozenset[str]:
    """Return the names of dependencies that must keep running as long as the container runs."""
    return frozenset(n for n, c in process.launch.depends_on if c in ("START", "HEALTHY"))


def _is_met(status: ContainerStatus, condition: str) -> bool | None:
    """Whether a dependency with ``status`` meets ``condition``; None if that is still open."""
    stopped = status.last_status == "STOPPED"
    match condition:
        case "START":
            return True if status.last_status != "PENDING" else None
        case "HEALTHY":
            return True if status.health == "HEALTHY" else (False if stopped else None)
        case "COMPLETE":
            return True if stopped else None
        case "SUCCESS":
            return status.exit_code == 0 if stopped else None
    return True
