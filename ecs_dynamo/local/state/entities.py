"""The entities of ECS: clusters, capacity providers, instances, services, tasks, and so on."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field

from ecs_dynamo.local.placement.provider_strategy import FARGATE
from ecs_dynamo.local.runtime import TaskProcess
from ecs_dynamo.local.wire.protocol import Json


@dataclass(slots=True)
class Cluster:
    """A cluster."""

    name: str
    arn: str
    status: str = "ACTIVE"
    tags: list[Json] = field(default_factory=list)
    capacity_providers: list[str] = field(default_factory=list)
    default_strategy: list[Json] = field(default_factory=list)
    settings: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class TaskDefinition:
    """A revision of a task definition. ``content`` is what was registered, with defaults."""

    arn: str
    family: str
    revision: int
    content: Json
    tags: list[Json]
    registered_at: float
    status: str = "ACTIVE"
    deregistered_at: float | None = None

    @property
    def network_mode(self) -> str:
        """The network mode; ``bridge`` if the task definition does not set one."""
        return str(self.content.get("networkMode") or "bridge")

    @property
    def containers(self) -> list[Json]:
        """The container definitions."""
        return list(self.content["containerDefinitions"])


@dataclass(slots=True)
class Instance:
    """A container instance. It registered ``cpu`` units, ``memory`` in MiB, and ``gpus`` slots."""

    arn: str
    cluster: str
    ec2_id: str
    address: str
    instance_type: str
    zone: str
    cpu: int
    memory: int
    gpus: int
    registered_at: float
    status: str = "ACTIVE"
    agent_connected: bool = True
    attributes: dict[str, str] = field(default_factory=dict)
    tags: list[Json] = field(default_factory=list)
    version: int = 0
    scaling_group: str | None = None
    """The Auto Scaling group that it belongs to."""

    @property
    def all_attributes(self) -> dict[str, str]:
        """The attributes that ECS sets, and those that the instance declares."""
        return {
            "ecs.availability-zone": self.zone,
            "ecs.instance-type": self.instance_type,
            "ecs.os-type": "linux",
            **self.attributes,
        }


@dataclass(slots=True)
class ContainerState:
    """A container of a task."""

    name: str
    image: str
    arn: str
    last_status: str = "PENDING"
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None
    bindings: list[Json] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(slots=True)
class Task:
    """A task. Times are in seconds since the epoch."""

    arn: str
    cluster: str
    definition: TaskDefinition
    launch_type: str
    group: str
    created_at: float
    containers: list[ContainerState]
    overrides: Json = field(default_factory=dict)
    service: str | None = None
    deployment: str | None = None
    started_by: str | None = None
    instance: Instance | None = None
    address: str = ""
    eni: str | None = None
    subnet: str | None = None
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    started_at: float | None = None
    stopping_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    protected_until: float | None = None
    execute_command: bool = False
    """Whether ECS Exec may run commands in it."""
    tags: list[Json] = field(default_factory=list)
    version: int = 0
    process: TaskProcess | None = None
    capacity_provider: str | None = None
    registries: list[Json] = field(default_factory=list)
    service_connect: Json | None = None
    awaiting_capacity: bool = False
    """Whether the task waits for its capacity provider to add an instance."""

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]

    @property
    def alive(self) -> bool:
        """Whether the task runs or starts, and is not being stopped."""
        return self.desired_status == "RUNNING" and self.last_status != "STOPPED"

    @property
    def holds_resources(self) -> bool:
        """Whether the task still uses resources of its instance."""
        return self.last_status != "STOPPED"

    @property
    def health(self) -> str:
        """HEALTHY if every essential container with a health check is, UNHEALTHY if one is not.

        It is UNKNOWN in all other cases, and if there is no such container.
        """
        checked = {
            c["name"]
            for c in self.definition.containers
            if c.get("healthCheck") and c.get("essential", True)
        }
        states = [c.health for c in self.containers if c.name in checked]
        if "UNHEALTHY" in states:
            return "UNHEALTHY"
        return "HEALTHY" if states and all(s == "HEALTHY" for s in states) else "UNKNOWN"

    @property
    def has_health_check(self) -> bool:
        """Whether any essential container has a health check."""
        return any(
            c.get("healthCheck") and c.get("essential", True) for c in self.definition.containers
        )

    def protected(self, now: float) -> bool:
        """Whether the task has scale-in protection at the time ``now``."""
        return self.protected_until is not None and self.protected_until > now


@dataclass(slots=True)
class Deployment:
    """A deployment of a service. Times are in seconds since the epoch."""

    id: str
    definition: TaskDefinition
    desired: int
    created_at: float
    updated_at: float
    status: str = "PRIMARY"
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    failed_tasks: int = 0
    succeeded_once: bool = False
    completed_once: bool = False
    retained: int = 0
    """How many tasks an earlier deployment should still have (`scheduling.rolling_update`)."""
    not_before: float = 0.0
    """No task is started before this time."""
    launch_failures: int = 0
    """Consecutive launch failures, which determine the back-off."""
    network: Json | None = None
    strategy: list[Json] = field(default_factory=list)
    registries: list[Json] = field(default_factory=list)
    service_connect: Json | None = None


@dataclass(slots=True)
class Service:
    """A service. ``request`` has the parameters of CreateService, with later updates."""

    arn: str
    name: str
    cluster: str
    request: Json
    desired: int
    created_at: float
    deployments: list[Deployment]
    status: str = "ACTIVE"
    client_token: str | None = None
    tags: list[Json] = field(default_factory=list)
    events: deque[Json] = field(default_factory=lambda: deque(maxlen=100))
    deleted_at: float | None = None
    steady: bool = False
    last_completed_definition: TaskDefinition | None = None
    """The revision that the circuit breaker rolls back to."""

    @property
    def primary(self) -> Deployment:
        """The deployment with the status PRIMARY."""
        return next(d for d in self.deployments if d.status == "PRIMARY")

    def add_event(self, message: str, now: float) -> None:
        """Add a service event. The message of the newest event is not repeated."""
        text = f"(service {self.name}) {message}"
        if self.events and self.events[0]["message"] == text:
            return
        self.events.appendleft({"id": str(uuid.uuid4()), "createdAt": now, "message": text})


@dataclass(slots=True)
class Provider:
    """A capacity provider. ``request`` has the parameters that it was created with."""

    name: str
    arn: str
    request: Json
    cluster: str | None = None
    """The cluster of a Managed Instances provider; None for other providers."""
    status: str = "ACTIVE"
    tags: list[Json] = field(default_factory=list)

    @property
    def scaling_group(self) -> str | None:
        """The name of its Auto Scaling group."""
        arn = self.request.get("autoScalingGroupProvider", {}).get("autoScalingGroupArn")
        return str(arn).rsplit("/", 1)[-1] if arn else None

    @property
    def managed_scaling(self) -> bool:
        """Whether managed scaling is enabled."""
        group_provider = self.request.get("autoScalingGroupProvider", {})
        return bool(group_provider.get("managedScaling", {}).get("status") == "ENABLED")

    @property
    def type(self) -> str:
        """The provider's type, as ECS reports it."""
        if self.name in FARGATE:
            return self.name
        return "EC2_AUTOSCALING" if self.scaling_group else "MANAGED_INSTANCES"
