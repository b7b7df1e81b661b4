"""One task: its containers in the order of their dependencies, living and dying together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ecs_dynamo.local.runtime.container import KILL_SECONDS, ContainerProcess
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
        self._news = asyncio.Event()

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
        commands = [
            self._images.resolve(container, launch.address, directory)
            for container in launch.containers
        ]
        await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
        for container, command in zip(launch.containers, commands, strict=True):
            self._parts[container.name] = ContainerProcess(
                container, command, directory, launch.network, self._changed
            )
        if self._ending is None:
            self._starting = asyncio.create_task(self._start_all())
        else:
            await self._stop_all()

    async def _start_all(self) -> None:
        await asyncio.gather(*(self._start_one(part) for part in self._parts.values()))

    async def _start_one(self, part: ContainerProcess) -> None:
        for name, condition in part.launch.depends_on:
            if name in self._parts and not await self._fulfilled(self._parts[name], condition):
                self._end()
                return
        if self._ending is None:
            await part.start()

    async def _fulfilled(self, other: ContainerProcess, condition: str) -> bool:
        """Wait for ``condition`` of ``other``; False where it did not or can not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEPENDENCY_SECONDS):
                while self._ending is None:
                    state = _state(other.status, condition)
                    if state is not None:
                        return state
                    await self._news.wait()
        return False

    def _changed(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        self._on_change()
        if any(
            p.launch.essential and p.status.last_status == "STOPPED" for p in self._parts.values()
        ):
            self._end()

    def _end(self) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = asyncio.create_task(self._stop_all())
            self._news.set()
        return self._ending

    async def _stop_all(self) -> None:
        if self._starting is not None:
            # Not cancelled: what is being spawned this moment would be lost sight of.
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(self._stop_one(part) for part in self._parts.values()))

    async def _stop_one(self, part: ContainerProcess) -> None:
        """Stop ``part`` after those that need it: the reverse order of the start, as in ECS."""
        needing = [
            p for p in self._parts.values() if any(n == part.launch.name for n, _ in _lasting(p))
        ]
        # Bounded, so that a circle of dependencies ends as well.
        bound = max((p.launch.stop_timeout for p in needing), default=0.0) + KILL_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(bound):
                await asyncio.gather(*(p.stopped.wait() for p in needing))
        await part.stop()

    async def stop(self) -> None:
        """SIGTERM, stopTimeout, SIGKILL for each container; returns when all are STOPPED."""
        await asyncio.shield(self._end())

    async def kill(self, signal_number: int, container: str | None = None) -> None:
        """Send a signal to one container or to all, as a crash would come: unannounced."""
        for name, part in self._parts.items():
            if container in (None, name):
                part.send(signal_number)


def _lasting(part: ContainerProcess) -> tuple[tuple[str, str], ...]:
    """Dependencies that must run on beside ``part``, not only before it."""
    return tuple(d for d in part.launch.depends_on if d[1] in ("START", "HEALTHY"))


def _state(status: ContainerStatus, condition: str) -> bool | None:
    """Whether ``condition`` holds; None where that is not decided yet."""
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
