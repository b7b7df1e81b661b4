"""Placement of tasks on the container instances of a cluster."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.local.placement.expressions import EC2_INSTANCE_ID
from ecs_dynamo.local.placement.resources import RemainingResources, requested_resources
from ecs_dynamo.local.placement.selection import PlacementRules, placement_rules, select_instance
from ecs_dynamo.local.state.entities import Cluster, Instance, TaskDefinition
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.network_bindings import bound_ports


class PlacementError(Exception):
    """No container instance fits. The message is ECS's reason (such as ``RESOURCE:GPU``)."""


def remaining_resources(state: State, instance: Instance, group: str = "") -> RemainingResources:
    """Return what ``instance`` has left, and how many tasks of ``group`` are on it."""
    tasks = state.tasks_on_instance(instance)
    requests = [requested_resources(t.definition.content, t.definition.network_mode) for t in tasks]
    dynamic_ports = {
        host_port
        for task in tasks
        if task.definition.network_mode == "bridge"
        for container in task.containers
        for binding in container.bindings
        for host_port, _ in bound_ports(binding)
    }
    declared_ports = (port for request in requests for port in request.ports)
    return RemainingResources(
        arn=instance.arn,
        cpu=instance.cpu - sum(r.cpu for r in requests),
        memory=instance.memory - sum(r.memory for r in requests),
        gpus=max(0, instance.gpus - sum(r.gpus for r in requests)),
        used_ports=frozenset({*declared_ports, *dynamic_ports}),
        tasks_of_group=sum(1 for t in tasks if t.group == group),
        active=instance.status == "ACTIVE" and instance.agent_connected,
        attributes={**instance.all_attributes, EC2_INSTANCE_ID: instance.ec2_id},
        total_gpus=instance.gpus,
    )


def place_task(
    state: State,
    cluster: Cluster,
    definition: TaskDefinition,
    *,
    group: str,
    rules: PlacementRules,
    capacity_provider: str | None,
) -> Instance:
    """Select an instance of ``cluster``, and of ``capacity_provider`` unless that is None.

    ``rules`` are extended by the task definition's own constraints. Raises `PlacementError` if no
    instance fits.
    """
    declared = placement_rules(definition.content.get("placementConstraints", ()), ())
    all_rules = replace(rules, expressions=(*rules.expressions, *declared.expressions))
    candidates = [
        remaining_resources(state, instance, group)
        for instance in state.instances.values()
        if instance.cluster == cluster.name
        and (capacity_provider is None or state.provider_of(instance) == capacity_provider)
    ]
    request = requested_resources(definition.content, definition.network_mode)
    arn, reason = select_instance(request, candidates, all_rules)
    if arn is None:
        raise PlacementError(reason)
    return state.instances[arn.rsplit("/", 1)[-1]]
