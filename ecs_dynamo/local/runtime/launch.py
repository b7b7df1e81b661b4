"""Immutable descriptions of tasks to launch, and the status of their containers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

METADATA_VARIABLE = "ECS_CONTAINER_METADATA_URI_V4"
"""Names the URL at which a container reads ECS's task metadata (developer guide, version 4)."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A container health check as a task definition declares it. Times are in seconds.

    ``command`` begins with ``CMD`` (followed by words) or ``CMD-SHELL`` (followed by one shell
    line).
    """

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0


@dataclass(frozen=True, slots=True)
class ContainerLaunch:
    """A container to launch.

    If ``entry_point`` or ``command`` is empty, the image's own is used. ``depends_on`` has pairs of
    a container name and a condition (START, HEALTHY, COMPLETE, or SUCCESS). ``mounts`` has pairs of
    a path in the container and the folder that it is mapped to.
    """

    name: str
    image: str
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    essential: bool = True
    stop_timeout: float = 30.0
    health_check: HealthCheck | None = None
    depends_on: tuple[tuple[str, str], ...] = ()
    mounts: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskLaunch:
    """A task to launch.

    Its containers listen on the IP address ``address``. Its files are in a subfolder of
    ``directory``. ``network`` is the network of bridge containers that it may connect to, in the
    form that `fence` expects; if it is empty, there is no restriction.
    """

    task_id: str
    address: str
    containers: tuple[ContainerLaunch, ...]
    directory: Path
    network: str = ""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """The status of a container.

    ``last_status`` is PENDING, RUNNING, or STOPPED; ``health`` is HEALTHY, UNHEALTHY, or UNKNOWN.
    """

    name: str
    last_status: str = "PENDING"
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None
    pid: int | None = None
