"""The declared graph after loading, from which `planning` works.

Every name is final (service, family, cluster), and every task definition is read, cleaned and has
its variables filled in. Only the endpoints are open: they are observed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ecs_dynamo.model.generations import Generations
from ecs_dynamo.model.service_settings import DeploymentLimits, ServiceSettings
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
    CapacitySpec,
)
from ecs_dynamo.model.spec.graph import RuntimeSpec
from ecs_dynamo.model.spec.rollout import RolloutPolicy
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.model.spec.security import SecuritySpec
from ecs_dynamo.model.spec.service import (
    LaunchType,
    NetworkSpec,
)

JsonObject = Mapping[str, Any]
"""A parsed JSON object. It is treated as immutable, like every value of the model."""

TAG_GRAPH = "ecs-dynamo:graph"
"""The ownership tag. Only resources with this tag and the graph's name are changed or deleted."""
TAG_COMPONENT = "ecs-dynamo:component"
TAG_GENERATION = "ecs-dynamo:generation"
"""On a service of workers: their generation (`model.generations`)."""
TAG_WITHDRAWN = "ecs-dynamo:withdrawn"
"""On the services of a serving generation: another that was withdrawn, and the reason word."""
TAG_REPLICAS = "ecs-dynamo:replicas"
"""On a service of a generation that comes up: the replicas of all generations together."""
TAG_FINGERPRINT = "ecs-dynamo:fingerprint"
TAG_ROLLED_BACK = "ecs-dynamo:rolled-back"
"""On a service: fingerprint of the declaration that was rolled back, manually or by a deadline."""
TAG_ROLLED_BACK_FOR = "ecs-dynamo:rolled-back-for"
"""On a service, with `TAG_ROLLED_BACK`: the reason word."""
TAG_GOOD = "ecs-dynamo:good-revision"
"""On a service: number of the newest revision whose replicas were all ready."""
TAG_CANARY = "ecs-dynamo:canary"
"""On a service: progress of a revision's canary (`planning.rollout.canary`)."""
TAG_DRAINING = "ecs-dynamo:draining"
"""On a service: old tasks that may finish their work, and since when (`drain_record`)."""
SERVICE_TAGS = (
    TAG_GRAPH,
    TAG_COMPONENT,
    TAG_GENERATION,
    TAG_WITHDRAWN,
    TAG_REPLICAS,
    TAG_ROLLED_BACK,
    TAG_ROLLED_BACK_FOR,
    TAG_GOOD,
    TAG_CANARY,
    TAG_DRAINING,
)
"""Tags of ecs-dynamo that a service may have at once, in addition to the user's tags."""

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
NATS_CLIENT_PORT = 4222


class Role(StrEnum):
    """Function of a component's task. A task may have several (etcd and NATS in one task)."""

    ETCD = "etcd"
    NATS = "nats"
    FRONTEND = "frontend"
    PREFILL = "prefill"
    DECODE = "decode"
    WORKER = "worker"
    PLANNER = "planner"


CLIENT_PORTS: Mapping[Role, int] = {Role.ETCD: ETCD_CLIENT_PORT, Role.NATS: NATS_CLIENT_PORT}
"""Ports at which the infrastructure serves the dependants."""
INFRASTRUCTURE_ROLES = frozenset({Role.ETCD, Role.NATS})
WORKER_ROLES = frozenset({Role.PREFILL, Role.DECODE, Role.WORKER})
"""Roles that register themselves in Dynamo's discovery. Frontends do not."""
DECODING_ROLES = frozenset({Role.DECODE, Role.WORKER})
"""Roles that generate the output tokens."""


class NetworkMode(StrEnum):
    """ECS network modes in which a task can be reached at a private IP."""

    AWSVPC = "awsvpc"
    HOST = "host"
    BRIDGE = "bridge"


def network_mode_of(template: JsonObject) -> str:
    """Return the network mode of a task definition, or ECS's default where it has none.

    ECS's default is bridge on Linux, and awsvpc for Managed Instances (developer guide, "Amazon ECS
    task definition parameters for Amazon ECS Managed Instances").
    """
    compatibilities = template.get("requiresCompatibilities")
    if not isinstance(compatibilities, list):  # `config` calls this before it checks the types.
        compatibilities = []
    managed = "MANAGED_INSTANCES" in compatibilities and "EC2" not in compatibilities
    return str(template.get("networkMode") or ("awsvpc" if managed else "bridge"))


@dataclass(frozen=True, slots=True)
class Component:
    """A component of the graph: one ECS service."""

    name: str
    roles: frozenset[Role]
    cluster: str
    service: str
    family: str
    launch_type: LaunchType
    replicas: int
    """Declared count. Scaling may change it within its bounds."""
    template: JsonObject
    """RegisterTaskDefinition request (camelCase keys) of ``family``, without endpoints."""
    settings: ServiceSettings
    """Declared settings of its service. Planning chooses an undeclared placement strategy."""
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)
    scaling: ScalingSpec | None = None
    member: int | None = None
    """Its member slot in an etcd cluster, from 0; each member is a service with one replica."""
    containers: tuple[str, ...] = ()
    """Names of the containers that run Dynamo. Empty: they are inferred (`dynamo.containers`)."""
    containers_why: str = ""
    """How they were determined, as the end of a sentence."""
    drain_seconds: float | None = None
    """Its own drain time. None: the graph's (`Graph.drain_seconds`)."""
    generation: str | None = None
    """The generation of its workers; None where they have none."""
    declared_name: str = ""
    """Name of the declared component of which this is another generation; empty for itself."""

    @property
    def origin(self) -> str:
        """Name of the declared component, whatever the generation."""
        return self.declared_name or self.name

    @property
    def limits(self) -> DeploymentLimits:
        """The declared deployment limits."""
        return self.settings.limits or DeploymentLimits()

    @property
    def network(self) -> NetworkSpec:
        """The declared awsvpc configuration; empty in host and bridge mode."""
        return self.settings.network or NetworkSpec()

    @property
    def capacity_providers(self) -> tuple[CapacityProviderItem, ...]:
        """The declared capacity provider strategy; empty where the launch type applies."""
        return self.settings.capacity_providers or ()

    @property
    def network_mode(self) -> NetworkMode:
        """The template's network mode, or ECS's default."""
        return NetworkMode(network_mode_of(self.template))

    @property
    def is_infrastructure(self) -> bool:
        return bool(self.roles & INFRASTRUCTURE_ROLES)

    @property
    def is_worker(self) -> bool:
        return bool(self.roles & WORKER_ROLES)

    @property
    def is_frontend(self) -> bool:
        return Role.FRONTEND in self.roles


@dataclass(frozen=True, slots=True)
class Graph:
    """A declared graph. ``components`` has infrastructure first, then the order of the file.

    ``external_etcd`` and ``external_nats`` are endpoints of servers that the user runs. They are
    empty where a component of the graph has that role.
    """

    name: str
    namespace: str
    region: str | None
    components: tuple[Component, ...]
    runtime: RuntimeSpec
    external_etcd: tuple[str, ...] = ()
    external_nats: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    capacity: CapacitySpec = field(default_factory=CapacitySpec)
    """Declared capacity. Each Auto Scaling group has its cluster."""
    security: SecuritySpec = field(default_factory=SecuritySpec)
    """TLS and credentials of etcd and NATS, as references to secrets."""
    names: Mapping[Role, str] = field(default_factory=dict)
    """DNS names of etcd and NATS that dependants use instead of a private IP."""
    generations: Generations = field(default_factory=Generations)
    """Derived from the observed services in each pass; a graph as loaded has none."""

    def component(self, name: str) -> Component:
        """Return the component called ``name``. Raises KeyError where there is none."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    def drain_seconds(self, component: Component) -> float:
        """Return how many seconds a busy replica of ``component`` has to finish its requests."""
        declared = component.drain_seconds
        return self.runtime.drain_seconds if declared is None else declared

    def with_role(self, role: Role) -> Component | None:
        """Return the first component that has ``role``; None where there is none."""
        return next((c for c in self.components if role in c.roles), None)

    @property
    def etcd_members(self) -> tuple[Component, ...]:
        """Members of the etcd cluster, by slot. Empty where etcd is a single replica."""
        return tuple(c for c in self.components if c.member is not None)

    @property
    def has_nats(self) -> bool:
        return bool(self.external_nats) or self.with_role(Role.NATS) is not None

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster that the graph uses, each once, in the order of components."""
        return tuple(dict.fromkeys(c.cluster for c in self.components))


def registries_of(graph: Graph) -> dict[str, set[str]]:
    """Return the DNS names that each declared Cloud Map service must have, by its ARN."""
    registries: dict[str, set[str]] = {}
    for component in graph.components:
        arn = component.settings.service_registry
        for role in sorted(component.roles) if arn is not None else ():
            if role in graph.names:
                registries.setdefault(str(arn), set()).add(graph.names[role])
    return registries


def namespaces_of(graph: Graph) -> set[str]:
    """Return every declared Service Connect namespace, by name or ARN."""
    connected = (c.settings.service_connect for c in graph.components)
    return {connect.namespace for connect in connected if connect is not None}
