"""The entities of ECS: clusters, task definitions, container instances, services, and tasks."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field

from ecs_dynamo.local.placement.provider_strategy import FARGATE
from ecs_dynamo.local.runtime import TaskProcess
from ecs_dynamo.local.wire.protocol import Json


@dataclass(slots=True)
class Cluster:
    name: str
    arn: str
    status: str = "ACTIVE"
    tags: list[Json] = field(default_factory=list)
    capacity_providers: list[str] = field(default_factory=list)
    default_strategy: list[Json] = field(default_factory=list)
    settings: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class TaskDefinition:
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
        return str(self.content.get("networkMode") or "bridge")

    @property
    def containers(self) -> list[Json]:
        return list(self.content["containerDefinitions"])


@dataclass(slots=True)
class Instance:
    """A container instance and what it registered: CPU units, memory in MiB, GPU slots."""

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
        """ECS's own attributes and the instance's."""
        return {
            "ecs.availability-zone": self.zone,
            "ecs.instance-type": self.instance_type,
            "ecs.os-type": "linux",
            **self.attributes,
        }


@dataclass(slots=True)
class ContainerState:
    name: str
    image: str
    arn: str
    last_status: str = "PENDING"
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None
    bindings: list[Json] = field(default_factory=list)


@dataclass(slots=True)
class Task:
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
    tags: list[Json] = field(default_factory=list)
    version: int = 0
    process: TaskProcess | None = None
    provider: str | None = None
    registries: list[Json] = field(default_factory=list)
    connect: Json | None = None
    waits: bool = False
    """It waits for its capacity provider to add an instance."""

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    @property
    def alive(self) -> bool:
        """Wanted and not stopped."""
        return self.desired_status == "RUNNING" and self.last_status != "STOPPED"

    @property
    def holds_resources(self) -> bool:
        return self.last_status != "STOPPED"

    @property
    def health(self) -> str:
        """HEALTHY when every essential container with a health check is, UNKNOWN without any."""
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
        return any(
            c.get("healthCheck") and c.get("essential", True) for c in self.definition.containers
        )

    def protected(self, now: float) -> bool:
        return self.protected_until is not None and self.protected_until > now


@dataclass(slots=True)
class Deployment:
    id: str
    definition: TaskDefinition
    desired: int
    created_at: float
    updated_at: float
    status: str = "PRIMARY"
    rollout_state: str = "IN_PROGRESS"
    rollout_reason: str = ""
    failed: int = 0
    succeeded_once: bool = False
    completed_once: bool = False
    keeps: int = 0
    """Of a former deployment: how many tasks it is to have still (`scheduling.rolling_update`)."""
    not_before: float = 0.0
    launch_failures: int = 0
    network: Json | None = None
    strategy: list[Json] = field(default_factory=list)
    registries: list[Json] = field(default_factory=list)
    connect: Json | None = None


@dataclass(slots=True)
class Service:
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
    last_complete: TaskDefinition | None = None

    @property
    def primary(self) -> Deployment:
        return next(d for d in self.deployments if d.status == "PRIMARY")

    def say(self, message: str, now: float) -> None:
        """A service event, newest first; the same message is not repeated at once."""
        text = f"(service {self.name}) {message}"
        if self.events and self.events[0]["message"] == text:
            return
        self.events.appendleft({"id": str(uuid.uuid4()), "createdAt": now, "message": text})


@dataclass(slots=True)
class Provider:
    """A capacity provider and what it was created with."""

    name: str
    arn: str
    request: Json
    cluster: str | None = None
    """Set for Managed Instances, which belong to one cluster."""
    status: str = "ACTIVE"
    tags: list[Json] = field(default_factory=list)

    @property
    def scaling_group(self) -> str | None:
        """The name of its Auto Scaling group."""
        arn = self.request.get("autoScalingGroupProvider", {}).get("autoScalingGroupArn")
        return str(arn).rsplit("/", 1)[-1] if arn else None

    @property
    def managed(self) -> bool:
        """Managed scaling is enabled."""
        own = self.request.get("autoScalingGroupProvider", {})
        return bool(own.get("managedScaling", {}).get("status") == "ENABLED")

    @property
    def type(self) -> str:
        if self.name in FARGATE:
            return self.name
        return "EC2_AUTOSCALING" if self.scaling_group else "MANAGED_INSTANCES"
