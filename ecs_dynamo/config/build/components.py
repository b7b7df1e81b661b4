"""Construction of the `Graph` from the validated graph file and its task definitions.

Service and family of a component are both called ``{graph}-{component}``, so that a component is
easy to find in the console and two graphs never share a family.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_dynamo.config.build.etcd_cluster import (
    check_member,
    member_network,
    member_template,
)
from ecs_dynamo.config.build.service_names import dns_names
from ecs_dynamo.config.build.service_settings import component_settings, infrastructure_settings
from ecs_dynamo.config.build.volumes import (
    check_single_task,
    mount_volume,
    serving_container,
    single_task,
)
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.config.reading.variables import Variables
from ecs_dynamo.config.task_definitions.dynamo_containers import (
    override_containers,
    resolve_containers,
)
from ecs_dynamo.config.task_definitions.prepare import (
    TaskDefinition,
)
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.spec.capacity import CapacitySpec
from ecs_dynamo.model.spec.component import ComponentSpec
from ecs_dynamo.model.spec.graph import GraphSpec

ETCD_AND_NATS: Final = "etcd-nats"
MEMBERS: Final = tuple(f"{Role.ETCD}-{place}" for place in range(3))
"""Names of the members of an etcd cluster, by slot."""
RESERVED_NAMES: Final = frozenset({ETCD_AND_NATS, Role.ETCD.value, Role.NATS.value, *MEMBERS})
"""Names of the infrastructure's components in all of its forms."""


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """A component and its sources, so that checks can name the place of a problem."""

    component: Component
    path: FieldPath
    """Path in the graph file."""
    definition: TaskDefinition
    dynamo: tuple[int, ...]
    """Indexes of the containers that run Dynamo, or of those that serve etcd and NATS."""

    @property
    def containers(self) -> list[dict[str, Any]]:
        """The component's container definitions."""
        containers: list[dict[str, Any]] = self.component.template[CONTAINERS]
        return containers

    def declared_in(self, spec: GraphSpec) -> ComponentSpec | None:
        """Return the declaration of the component in the graph file; None for infrastructure."""
        kind, *index = self.path
        return spec.components[int(index[0])] if kind == "components" else None


@dataclass(frozen=True, slots=True)
class _Server:
    """An infrastructure component to build: etcd, NATS, or both in one task."""

    name: str
    roles: frozenset[Role]
    task_definition: str
    path: FieldPath


def _servers(spec: GraphSpec) -> Iterator[_Server]:
    infrastructure = spec.infrastructure
    if infrastructure.task_definition is not None:
        roles = frozenset({Role.ETCD, Role.NATS})
        definition = infrastructure.task_definition
        yield _Server(ETCD_AND_NATS, roles, definition, ("infrastructure",))
    for role, server in ((Role.ETCD, infrastructure.etcd), (Role.NATS, infrastructure.nats)):
        if server is not None and server.task_definition is not None:
            path = ("infrastructure", role.value)
            names = (role.value,) if server.replicas == 1 else MEMBERS
            for name in names:
                yield _Server(name, frozenset({role}), server.task_definition, path)


def build_components(
    spec: GraphSpec,
    definitions: Mapping[str, TaskDefinition | None],
    variables: Variables,
    document: Document,
    report: Report,
) -> list[BuiltComponent]:
    """Return every component whose task definition could be read, infrastructure first."""
    components = [
        _build_server(spec, server, definition, document, report)
        for server in _servers(spec)
        if (definition := definitions.get(server.task_definition)) is not None
    ]
    for index, component in enumerate(spec.components):
        definition = definitions.get(component.task_definition)
        if definition is not None:
            path = ("components", index)
            components.append(
                _build_component(spec, component, definition, variables, document, path, report)
            )
    return components


def _build_server(
    spec: GraphSpec,
    server: _Server,
    definition: TaskDefinition,
    document: Document,
    report: Report,
) -> BuiltComponent:
    infrastructure, name, roles = spec.infrastructure, server.name, server.roles
    template = _template(definition, f"{spec.name}-{name}")
    rollout, network, member = infrastructure.rollout, spec.network, None
    if name in MEMBERS:
        member = MEMBERS.index(name)
        if member == 0:
            check_member(definition, template, report)
            why = "a member of an etcd cluster is replaced by stopping it first"
            check_single_task(rollout, why, ("infrastructure", "rollout"), document, report)
        template = member_template(template, name)
        network = member_network(network, member, len(MEMBERS))
        # The circuit breaker would return to a revision of a member that no longer exists.
        rollout = single_task(rollout).model_copy(update={"circuit_breaker": False})
    for role, declared in ((Role.ETCD, infrastructure.etcd), (Role.NATS, infrastructure.nats)):
        if role in roles and declared is not None and declared.volume is not None:
            template = mount_volume(template, role, declared.volume, definition, report)
            why = f"infrastructure.{role}.volume allows only one"
            check_single_task(rollout, why, ("infrastructure", "rollout"), document, report)
            rollout = single_task(rollout)
    component = Component(
        name=name,
        roles=roles,
        cluster=spec.clusters.infrastructure,
        service=f"{spec.name}-{name}",
        family=f"{spec.name}-{name}",
        launch_type=infrastructure.launch_type,
        replicas=1,
        template=template,
        settings=infrastructure_settings(spec, roles, template, network, rollout),
        rollout=rollout.policy,
        member=member,
    )
    serving = {
        serving_container(template, role) for role in (Role.ETCD, Role.NATS) if role in roles
    }
    return BuiltComponent(component, server.path, definition, tuple(sorted(serving)))


def _template(definition: TaskDefinition, family: str) -> dict[str, Any]:
    content = copy.deepcopy(definition.content)
    content["family"] = family
    return content


def _build_component(
    spec: GraphSpec,
    declared: ComponentSpec,
    definition: TaskDefinition,
    variables: Variables,
    document: Document,
    path: FieldPath,
    report: Report,
) -> BuiltComponent:
    service = f"{spec.name}-{declared.name}"
    template = _template(definition, service)
    dynamo = resolve_containers(declared, template, document, path, report)
    override_containers(declared, template, dynamo, variables, document, path, report)
    component = Component(
        name=declared.name,
        roles=frozenset(Role(t.value) for t in (declared.type, *declared.also_runs)),
        cluster=declared.cluster or spec.clusters.workers,
        service=service,
        family=service,
        launch_type=declared.effective_launch_type,
        replicas=declared.replicas,
        template=template,
        settings=component_settings(spec, declared, template, dynamo.names),
        rollout=declared.rollout.policy,
        scaling=declared.scaling,
        containers=dynamo.names,
        containers_why=dynamo.why,
        drain_seconds=declared.drain_seconds,
    )
    indexes = (i for i, c in enumerate(template[CONTAINERS]) if c["name"] in dynamo.names)
    return BuiltComponent(component, path, definition, tuple(indexes))


def build_graph(spec: GraphSpec, components: list[BuiltComponent], region: str | None) -> Graph:
    """Return the graph. Its namespace is its name unless another is declared."""
    infrastructure = spec.infrastructure
    runs = {role for built in components for role in built.component.roles}
    return Graph(
        name=spec.name,
        namespace=spec.namespace or spec.name,
        region=region,
        components=tuple(built.component for built in components),
        runtime=spec.runtime,
        external_etcd=infrastructure.etcd.endpoints if infrastructure.etcd else (),
        external_nats=infrastructure.nats.endpoints if infrastructure.nats else (),
        tags=dict(spec.tags),
        capacity=_capacity(spec),
        security=infrastructure.security,
        names={role: name for role, name in dns_names(spec).items() if role in runs},
    )


def _capacity(spec: GraphSpec) -> CapacitySpec:
    """Return the declared capacity with the cluster of every group."""
    groups = tuple(
        g.model_copy(update={"cluster": g.cluster or spec.clusters.workers})
        for g in spec.capacity.auto_scaling_groups
    )
    return spec.capacity.model_copy(update={"auto_scaling_groups": groups})
