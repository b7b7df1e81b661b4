"""Services, deployments and tasks of the simulated ECS."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    ServiceSettings,
)
from ecs_dynamo.model.snapshot import (
    Task,
)
from ecs_dynamo.model.spec.service import NetworkSpec


def lease_of(arn: str) -> int:
    """The lease id with which the worker that is the task registers."""
    return int(arn.rpartition("/")[2])


@dataclass
class SimTask:
    arn: str
    revision: str
    ip: str
    age: int = 0
    orphaned: int = 0
    protected_until: float = 0.0
    bad: bool = False
    mute: bool = False
    """It runs and is healthy, and never registers."""
    created_at: float = 0.0
    instance: int | None = None
    slow: int = 0
    etcd: str | None = None
    """The etcd that a name led it to, once it had found one."""
    deployment: str = ""


@dataclass
class SimDeployment:
    id: str
    revision: str
    network: NetworkSpec | None
    created_at: float
    keeps: int = 0
    """Once it is not the newest: how many tasks it still has to have. One that is lost is replaced
    by its own revision, one that ECS stops for the newest is not."""
    completed: bool = False


@dataclass
class SimService:
    name: str
    cluster: str
    component: str
    deployments: list[SimDeployment]
    """The newest, which is in force, first."""
    desired: int
    settings: ServiceSettings
    """Its network is that of the newest deployment."""
    tags: dict[str, str]
    tasks: list[SimTask] = field(default_factory=list)
    previous: SimDeployment | None = None
    failures: int = 0
    failed: SimDeployment | None = None
    unplaced: bool = False
    stopped: list[Task] = field(default_factory=list)

    @property
    def primary(self) -> SimDeployment:
        return self.deployments[0]

    @property
    def revision(self) -> str:
        return self.primary.revision

    @property
    def limits(self) -> DeploymentLimits:
        return self.settings.limits or DeploymentLimits()

    @property
    def minimum(self) -> int:
        return self.limits.minimum_healthy_percent

    @property
    def maximum(self) -> int:
        return self.limits.maximum_percent

    @property
    def rebalancing(self) -> bool:
        return bool(self.settings.availability_zone_rebalancing)

    def change(self, **members: Any) -> None:
        """Somebody changes settings by hand."""
        self.settings = replace(self.settings, **members)

    @property
    def network(self) -> NetworkSpec | None:
        return self.primary.network

    def of(self, deployment: SimDeployment) -> list[SimTask]:
        return [t for t in self.tasks if t.deployment == deployment.id]
