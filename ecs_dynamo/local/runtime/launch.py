"""What is to run, and what became of it: frozen values between scheduler and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A container health check as ECS declares it; times are seconds.

    ``command`` begins with ``CMD`` (words) or ``CMD-SHELL`` (one shell line).
    """

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0


@dataclass(frozen=True, slots=True)
class ContainerLaunch:
    """One container. Empty ``entry_point`` and ``command`` mean the image's own.

    ``depends_on`` holds (container name, START | HEALTHY | COMPLETE | SUCCESS), ``mounts``
    (path in the container, folder that stands for it).
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
    """One task: ``address`` is the IP its containers listen on, ``directory`` holds its files.

    ``network``: the network of bridge containers that its own may connect to, as `fence` takes it;
    empty for all.
    """

    task_id: str
    address: str
    containers: tuple[ContainerLaunch, ...]
    directory: Path
    network: str = ""


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """``last_status``: PENDING, RUNNING or STOPPED. ``health``: HEALTHY, UNHEALTHY, UNKNOWN."""

    name: str
    last_status: str = "PENDING"
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None
    pid: int | None = None
