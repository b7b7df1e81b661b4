"""From the validated graph file and its task definitions to the `Graph` that planning takes.

Names are settled here and nowhere else: ``{graph}-{component}`` for service and family alike, so
that anyone can find a component in the console, and two graphs never meet in one family.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ecs_dynamo.config.build.etcd_cluster import (
    check_member,
    member_template,
    spread,
)
from ecs_dynamo.config.build.service_names import (
    client_names,
    dns_names,
    server_names,
)
from ecs_dynamo.config.build.volumes import (
    alone,
    check_alone,
    mount_volume,
    serving_container,
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
    CONTAINERS,
    TaskDefinition,
)
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.spec.capacity import CapacitySpec
from ecs_dynamo.model.spec.component import ComponentSpec
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.infrastructure import InfraServiceSpec

ETCD_AND_NATS: Final = "etcd-nats"
MEMBERS: Final = tuple(f"{Role.ETCD}-{place}" for place in range(3))
"""The places of an etcd cluster."""
RESERVED_NAMES: Final = frozenset({ETCD_AND_NATS, Role.ETCD.value, Role.NATS.value, *MEMBERS})
"""Names of the infrastructure's components, in every way it can be set up."""


@dataclass(frozen=True, slots=True)
class BuiltComponent:
    """A component with where it comes from, for checks that must point there."""

    component: Component
    path: FieldPath
    definition: TaskDefinition
    dynamo: tuple[int, ...]
    """Indexes of the containers that run Dynamo, or of those that serve etcd and NATS."""

    @property
    def containers(self) -> list[dict[str, Any]]:
        containers: list[dict[str, Any]] = self.component.template[CONTAINERS]
        return containers


def _infrastructure(
    spec: GraphSpec,
) -> Iterator[tuple[str, frozenset[Role], str, FieldPath]]:
    """Name, roles, task definition reference and place of each infrastructure component."""
    infra = spec.infrastructure
    if infra.task_definition is not None:
        roles = frozenset({Role.ETCD, Role.NATS})
        yield ETCD_AND_NATS, roles, infra.task_definition, ("infrastructure",)
    parts: tuple[tuple[Role, InfraServiceSpec | None], ...] = (
        (Role.ETCD, infra.etcd),
        (Role.NATS, infra.nats),
    )
    for role, part in parts:
        if part is not None and part.task_definition is not None:
            place = ("infrastructure", role.value)
            names = (role.value,) if part.replicas == 1 else MEMBERS
            for name in names:
                yield name, frozenset({role}), part.task_definition, place


def build_components(
    spec: GraphSpec,
    definitions: Mapping[str, TaskDefinition | None],
    variables: Variables,
    document: Document,
    report: Report,
) -> list[BuiltComponent]:
    """Every component whose task definition could be read, infrastructure first."""
    components = [
        _infrastructure_part(spec, name, roles, definition, place, document, report)
        for name, roles, reference, place in _infrastructure(spec)
        if (definition := definitions.get(reference)) is not None
    ]
    for index, component in enumerate(spec.components):
        found = definitions.get(component.task_definition)
        if found is not None:
            place = ("components", index)
            components.append(_component(spec, component, found, variables, document, place, report))
    return components


def _infrastructure_part(
    spec: GraphSpec,
    name: str,
    roles: frozenset[Role],
    definition: TaskDefinition,
    place: FieldPath,
    document: Document,
    report: Report,
) -> BuiltComponent:
    infra = spec.infrastructure
    template = _template(definition, f"{spec.name}-{name}")
    rollout, network, member = infra.rollout, spec.network, None
    if name in MEMBERS:
        member = MEMBERS.index(name)
        if member == 0:
            check_member(definition, template, report)
            why = "a member of an etcd cluster is replaced by stopping it first"
            check_alone(rollout, why, ("infrastructure", "rollout"), document, report)
        template, network = member_template(template, name), spread(network, member, len(MEMBERS))
        # ECS would take it back to a revision that joins as a member that is no more.
        rollout = alone(rollout).model_copy(update={"circuit_breaker": False})
    for role, part in ((Role.ETCD, infra.etcd), (Role.NATS, infra.nats)):
        if role in roles and part is not None and part.volume is not None:
            template = mount_volume(template, role, part.volume, definition, report)
            why = f"infrastructure.{role}.volume bears one"
            check_alone(rollout, why, ("infrastructure", "rollout"), document, report)
            rollout = alone(rollout)
    made = Component(
        name=name,
        roles=roles,
        cluster=spec.clusters.infrastructure,
        service=f"{spec.name}-{name}",
        family=f"{spec.name}-{name}",
        launch_type=infra.launch_type,
        replicas=1,
        template=template,
        network=network,
        rollout=rollout,
        member=member,
        names=server_names(spec, roles, template),
    )
    serving = {
        serving_container(template, role) for role in (Role.ETCD, Role.NATS) if role in roles
    }
    return BuiltComponent(made, place, definition, tuple(sorted(serving)))


def _template(definition: TaskDefinition, family: str) -> dict[str, Any]:
    content = copy.deepcopy(definition.content)
    content["family"] = family
    return content


def _component(
    spec: GraphSpec,
    component: ComponentSpec,
    definition: TaskDefinition,
    variables: Variables,
    document: Document,
    place: FieldPath,
    report: Report,
) -> BuiltComponent:
    service = f"{spec.name}-{component.name}"
    template = _template(definition, service)
    dynamo = resolve_containers(component, template, document, place, report)
    override_containers(component, template, dynamo, variables, document, place, report)
    made = Component(
        name=component.name,
        roles=frozenset(Role(kind.value) for kind in (component.type, *component.also_runs)),
        cluster=component.cluster or spec.clusters.workers,
        service=service,
        family=service,
        launch_type=component.effective_launch_type,
        replicas=component.replicas,
        template=template,
        network=component.network or spec.network,
        rollout=component.rollout,
        scaling=component.scaling,
        target_group_arn=component.target_group_arn,
        frontend_port=spec.runtime.frontend_port,
        capacity_providers=component.capacity_providers,
        placement=component.placement,
        names=client_names(spec),
        containers=dynamo.names,
        containers_why=dynamo.why,
        availability_zone_rebalancing=component.availability_zone_rebalancing,
    )
    indexes = (i for i, c in enumerate(template[CONTAINERS]) if c["name"] in dynamo.names)
    return BuiltComponent(made, place, definition, tuple(indexes))


def build_graph(spec: GraphSpec, components: list[BuiltComponent], region: str | None) -> Graph:
    """The graph; the namespace is the graph's name unless it is given."""
    infra = spec.infrastructure
    runs = {role for built in components for role in built.component.roles}
    return Graph(
        name=spec.name,
        namespace=spec.namespace or spec.name,
        region=region,
        components=tuple(built.component for built in components),
        runtime=spec.runtime,
        external_etcd=infra.etcd.endpoints if infra.etcd else (),
        external_nats=infra.nats.endpoints if infra.nats else (),
        tags=dict(spec.tags),
        capacity=_capacity(spec),
        security=infra.security,
        names={role: name for role, name in dns_names(spec).items() if role in runs},
    )


def _capacity(spec: GraphSpec) -> CapacitySpec:
    """The declared capacity with every group's cluster named."""
    groups = tuple(
        g.model_copy(update={"cluster": g.cluster or spec.clusters.workers})
        for g in spec.capacity.auto_scaling_groups
    )
    return spec.capacity.model_copy(update={"auto_scaling_groups": groups})
