"""The service settings that a graph file declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ecs_dynamo.config.build.service_names import client_names, server_names
from ecs_dynamo.model.ecs.task_definition import CONTAINERS
from ecs_dynamo.model.graph import NetworkMode, Role, network_mode_of
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    LoadBalancer,
    PlacementConstraint,
    PlacementStrategy,
    ServiceSettings,
)
from ecs_dynamo.model.spec.capacity import PlacementSpec
from ecs_dynamo.model.spec.component import ComponentSpec
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.rollout import MAX_GRACE_SECONDS, RolloutSpec
from ecs_dynamo.model.spec.service import LaunchType, NetworkSpec

Template = Mapping[str, Any]


def component_settings(
    spec: GraphSpec, component: ComponentSpec, template: Template, containers: tuple[str, ...]
) -> ServiceSettings:
    """Return the settings of a component's service; ``containers`` are those that run Dynamo."""
    launch_type = component.effective_launch_type
    arn, port = component.target_group_arn, spec.runtime.frontend_port
    return ServiceSettings(
        launch_type=None if component.capacity_providers else launch_type.value,
        capacity_providers=component.capacity_providers,
        load_balancers=load_balancers(arn, port, template, containers),
        network=service_network(template, component.network or spec.network),
        limits=DeploymentLimits.of(component.rollout),
        availability_zone_rebalancing=component.availability_zone_rebalancing,
        health_check_grace_seconds=grace_seconds(component.rollout, infrastructure=False),
        placement_strategy=placement_strategy(component.placement),
        placement_constraints=placement_constraints(component.placement, launch_type),
        tags_reach_tasks=True,
        enable_execute_command=component.enable_execute_command,
    ).updated(client_names(spec))


def infrastructure_settings(
    spec: GraphSpec,
    roles: frozenset[Role],
    template: dict[str, Any],
    network: NetworkSpec,
    rollout: RolloutSpec,
) -> ServiceSettings:
    """Return the settings of a service of etcd or NATS.

    Its target groups are not managed, because the graph file declares none.
    """
    launch_type = spec.infrastructure.launch_type
    return ServiceSettings(
        launch_type=launch_type.value,
        capacity_providers=(),
        network=service_network(template, network),
        limits=DeploymentLimits.of(rollout),
        availability_zone_rebalancing=False,
        health_check_grace_seconds=grace_seconds(rollout, infrastructure=True),
        placement_constraints=placement_constraints(PlacementSpec(), launch_type),
        tags_reach_tasks=True,
        enable_execute_command=spec.infrastructure.enable_execute_command,
    ).updated(server_names(spec, roles, template))


def service_network(template: Template, network: NetworkSpec) -> NetworkSpec | None:
    """Return the awsvpc configuration; None in host and bridge mode, where tasks have none."""
    return network if network_mode_of(template) == NetworkMode.AWSVPC else None


def grace_seconds(rollout: RolloutSpec, *, infrastructure: bool) -> int:
    """Return for how long ECS ignores failing health checks of a task that has started.

    A model takes its time to load, and the progress deadline ends a failing rollout anyway. etcd
    and NATS start at once, and must be replaced at any time if they fail.
    """
    if rollout.health_check_grace_seconds is not None:
        return rollout.health_check_grace_seconds
    if infrastructure:
        return 0
    return min(math.ceil(rollout.progress_deadline_seconds), MAX_GRACE_SECONDS)


def load_balancers(
    arn: str | None, port: int, template: Template, containers: tuple[str, ...]
) -> tuple[LoadBalancer, ...]:
    """Return the declared target group at ``port``: of the container that maps it, else Dynamo's.

    Empty where no target group is declared.
    """
    if arn is None:
        return ()
    mapping = (
        str(container["name"])
        for container in template.get(CONTAINERS, ())
        for mapped in container.get("portMappings", ())
        if mapped.get("containerPort") == port
    )
    return (LoadBalancer(arn, next(mapping, next(iter(containers), "")), port),)


def placement_strategy(placement: PlacementSpec) -> tuple[PlacementStrategy, ...] | None:
    """Return the declared placement strategy; None leaves it to planning's default."""
    if placement.strategy is None:
        return None
    return tuple(PlacementStrategy(s.type, s.field or "") for s in placement.strategy)


def placement_constraints(
    placement: PlacementSpec, launch_type: LaunchType
) -> tuple[PlacementConstraint, ...] | None:
    """Return the declared placement constraints; None on Fargate, where ECS takes none."""
    if launch_type is not LaunchType.EC2:
        return None
    return tuple(PlacementConstraint(c.type, c.expression or "") for c in placement.constraints)
