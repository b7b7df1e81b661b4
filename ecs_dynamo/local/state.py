"""What the local ECS knows: clusters, task definitions, instances, services, tasks. In memory."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ecs_dynamo.local.network import Addresses
from ecs_dynamo.local.protocol import EcsError, Json, client_error
from ecs_dynamo.local.providers import Provider

if TYPE_CHECKING:
    from ecs_dynamo.local.runtime import TaskProcess

ACCOUNT = "123456789012"
"""moto's default account, so that both answer for the same one."""
KEPT_SECONDS = 3600.0
"""ECS shows stopped tasks for at least an hour."""


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
    group: str | None = None
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
    """Of a former deployment: how many tasks it is to have still (`local.deployments`)."""
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


class State:
    """All of one region's ECS, and the small questions that every handler asks of it."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.clusters: dict[str, Cluster] = {}
        self.definitions: dict[str, list[TaskDefinition]] = {}
        self.revisions: dict[str, int] = {}
        self.instances: dict[str, Instance] = {}
        self.services: dict[tuple[str, str], Service] = {}
        self.tasks: dict[str, Task] = {}
        self.providers: dict[str, Provider] = {}
        self.addresses = Addresses()
        self.run_tokens: dict[str, list[str]] = {}
        self._numbers = itertools.count(1)

    @staticmethod
    def now() -> float:
        return time.time()

    def arn(self, resource: str) -> str:
        return f"arn:aws:ecs:{self.region}:{ACCOUNT}:{resource}"

    def new_id(self) -> str:
        return uuid.uuid4().hex

    def cluster(self, name: str | None) -> Cluster:
        """By name or ARN; the default cluster is called ``default``."""
        short = (name or "default").rsplit("/", 1)[-1]
        found = self.clusters.get(short)
        if found is None or found.status == "INACTIVE":
            raise EcsError("ClusterNotFoundException", "Cluster not found.")
        return found

    def definition(self, name: str) -> TaskDefinition:
        """By ARN, ``family`` (its latest active revision) or ``family:revision``."""
        short = name.rsplit("/", 1)[-1]
        family, _, number = short.partition(":")
        known = self.definitions.get(family, [])
        if number:
            found = [d for d in known if str(d.revision) == number]
        else:
            found = [d for d in known if d.status == "ACTIVE"][-1:]
        if not found:
            raise client_error("Unable to describe task definition.")
        return found[0]

    def service(self, cluster: Cluster, name: str) -> Service | None:
        return self.services.get((cluster.name, name.rsplit("/", 1)[-1]))

    def task(self, cluster: Cluster, name: str) -> Task | None:
        found = self.tasks.get(name.rsplit("/", 1)[-1])
        return found if found is not None and found.cluster == cluster.name else None

    def instance(self, cluster: Cluster, name: str) -> Instance | None:
        found = self.instances.get(name.rsplit("/", 1)[-1])
        return found if found is not None and found.cluster == cluster.name else None

    def service_tasks(self, service: Service) -> list[Task]:
        return [
            t
            for t in self.tasks.values()
            if t.service == service.name and t.cluster == service.cluster
        ]

    def provider_of(self, instance: Instance) -> str | None:
        """The capacity provider of its cluster that its Auto Scaling group belongs to."""
        attached = self.clusters[instance.cluster].capacity_providers
        return next(
            (
                p.name
                for p in self.providers.values()
                if p.group is not None and p.group == instance.group and p.name in attached
            ),
            None,
        )

    def on_instance(self, instance: Instance) -> list[Task]:
        """Tasks that hold resources of ``instance``."""
        return [t for t in self.tasks.values() if t.instance is instance and t.holds_resources]

    def forget_old(self) -> None:
        """Drop stopped tasks, deleted services and revisions that ECS would show no more."""
        oldest = self.now() - KEPT_SECONDS
        self.tasks = {
            k: t for k, t in self.tasks.items() if t.stopped_at is None or t.stopped_at > oldest
        }
        self.services = {
            k: s for k, s in self.services.items() if s.deleted_at is None or s.deleted_at > oldest
        }
        # A revision is deleted when the last that refers to it is gone.
        used = {t.definition.arn for t in self.tasks.values() if t.holds_resources}
        used |= {
            d.definition.arn
            for s in self.services.values()
            if s.status != "INACTIVE"
            for d in s.deployments
        }
        for known in self.definitions.values():
            known[:] = [d for d in known if d.status != "DELETE_IN_PROGRESS" or d.arn in used]


def tags_of(request: dict[str, Any]) -> list[Json]:
    """The tags of a request, checked as ECS checks them."""
    tags: list[Json] = list(request.get("tags", ()))
    if len({t.get("key") for t in tags}) != len(tags):
        raise EcsError("InvalidParameterException", "Duplicate tag keys found.")
    if len(tags) > 50:
        raise EcsError("InvalidParameterException", "Tags can not have more than 50 elements.")
    return tags
