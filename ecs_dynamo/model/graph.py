"""The declared graph, resolved: the input of `planning`.

Every name is final (service, family, cluster), and every task definition file has been read and
cleaned, with its variables replaced. Only the endpoints are open, because they are observed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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
"""A parsed JSON object; treated as immutable, like every value of the model."""

TAG_GRAPH = "ecs-dynamo:graph"
"""The ownership tag: only resources with it and the graph's name are changed or deleted."""
TAG_COMPONENT = "ecs-dynamo:component"
TAG_FINGERPRINT = "ecs-dynamo:fingerprint"
TAG_ROLLED_BACK = "ecs-dynamo:rolled-back"
"""On a service: fingerprint of the declaration that a user or a deadline rolled back."""
TAG_ROLLED_BACK_FOR = "ecs-dynamo:rolled-back-for"
"""On a service, beside `TAG_ROLLED_BACK`: the reason word."""
TAG_GOOD = "ecs-dynamo:good-revision"
"""On a service: number of the newest revision whose replicas were all observed ready."""
TAG_CANARY = "ecs-dynamo:canary"
"""On a service: progress of a revision's canary (`planning.rollout.canary`)."""
TAG_DRAINING = "ecs-dynamo:draining"
"""On a service: which old tasks may finish their work, and since when (`planning.protection`)."""
SERVICE_TAGS = (
    TAG_GRAPH,
    TAG_COMPONENT,
    TAG_ROLLED_BACK,
    TAG_ROLLED_BACK_FOR,
    TAG_GOOD,
    TAG_CANARY,
    TAG_DRAINING,
)
"""All tags of ecs-dynamo that a service may carry at once, in addition to the user's."""

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
NATS_CLIENT_PORT = 4222


class Role(StrEnum):
    """The role of a component's task. A task may have several (etcd and NATS in one task)."""

    ETCD = "etcd"
    NATS = "nats"
    FRONTEND = "frontend"
    PREFILL = "prefill"
    DECODE = "decode"
    WORKER = "worker"
    PLANNER = "planner"


INFRASTRUCTURE_ROLES = frozenset({Role.ETCD, Role.NATS})
WORKER_ROLES = frozenset({Role.PREFILL, Role.DECODE, Role.WORKER})
"""Roles that register instances in Dynamo's discovery (frontends register nothing)."""


class NetworkMode(StrEnum):
    """ECS network modes with which a task's private IP can be found."""

    AWSVPC = "awsvpc"
    HOST = "host"
    BRIDGE = "bridge"


def network_mode_of(template: JsonObject) -> str:
    """Return the network mode of a task definition, which may omit it.

    ECS's default is bridge on Linux, and awsvpc for Managed Instances (developer guide, "Amazon ECS
    task definition parameters for Amazon ECS Managed Instances").
    """
    made_for = template.get("requiresCompatibilities")
    made_for = (
        made_for if isinstance(made_for, list) else ()
    )  # The value may not have been checked yet.
    managed = "MANAGED_INSTANCES" in made_for and "EC2" not in made_for
    return str(template.get("networkMode") or ("awsvpc" if managed else "bridge"))


@dataclass(frozen=True, slots=True)
class Component:
    """A component of the graph: one ECS service.

    ``template`` is a RegisterTaskDefinition request (camelCase keys) without endpoints;
    its ``family`` is already ``family``. ``replicas`` is the declared count, which scaling
    may change within ``scaling``'s bounds. ``settings`` are those of its service, as far as they
    are declared; an undeclared placement strategy is None, and planning chooses a default.
    """

    name: str
    roles: frozenset[Role]
    cluster: str
    service: str
    family: str
    launch_type: LaunchType
    replicas: int
    template: JsonObject
    settings: ServiceSettings
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)
    scaling: ScalingSpec | None = None
    member: int | None = None
    """Its member slot in an etcd cluster, from 0; each member is a service with one replica."""
    containers: tuple[str, ...] = ()
    """Names of the containers that run Dynamo; empty: to be inferred (`planning.containers`)."""
    containers_why: str = ""
    """How they were determined, as the end of a sentence."""

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
    """A declared graph. ``components`` lists infrastructure first, then file order.

    ``external_etcd`` and ``external_nats`` are endpoints the user runs; they are empty where
    a component of the graph has that role. ``needs_nats`` tells whether dependants wait for it.
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
    """Its Auto Scaling groups have their cluster filled in."""
    security: SecuritySpec = field(default_factory=SecuritySpec)
    """TLS and credentials of etcd and NATS, as references to secrets."""
    names: Mapping[Role, str] = field(default_factory=dict)
    """The DNS names that dependants reach etcd and NATS by, instead of a private IP."""

    def component(self, name: str) -> Component:
        """Return the component called ``name``; KeyError if there is none."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    def with_role(self, role: Role) -> Component | None:
        """Return the first component with ``role``."""
        return next((c for c in self.components if role in c.roles), None)

    @property
    def etcd_members(self) -> tuple[Component, ...]:
        """The members of the etcd cluster by slot; empty if etcd is a single replica."""
        return tuple(c for c in self.components if c.member is not None)

    @property
    def has_nats(self) -> bool:
        return bool(self.external_nats) or self.with_role(Role.NATS) is not None

    @property
    def clusters(self) -> tuple[str, ...]:
        """Every cluster that the graph uses, each once, in component order."""
        return tuple(dict.fromkeys(c.cluster for c in self.components))


def registries_of(graph: Graph) -> dict[str, set[str]]:
    """Return ARN of each declared Cloud Map service -> the DNS names that it must have."""
    found: dict[str, set[str]] = {}
    for component in graph.components:
        arn = component.settings.service_registry
        for role in sorted(component.roles) if arn is not None else ():
            if role in graph.names:
                found.setdefault(str(arn), set()).add(graph.names[role])
    return found


def namespaces_of(graph: Graph) -> set[str]:
    """Return every declared Service Connect namespace, by name or ARN."""
    connected = (c.settings.service_connect for c in graph.components)
    return {connect.namespace for connect in connected if connect is not None}
