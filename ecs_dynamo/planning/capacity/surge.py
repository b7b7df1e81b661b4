"""Whether a rollout can surge, and its limits where it cannot.

On a full cluster ECS never finds capacity for the extra task, so a rollout that must stay at 100 %
healthy would never finish. For such a rollout the limits are lowered to "replace one at a time",
and restored when it is done. Whether a replica fits depends on everything by which ECS places
tasks: GPUs, CPU, memory, host ports, placement constraints, one replica per instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.capacity.packing import (
    Allocatable,
    ResourceRequest,
    allocatable_of,
    count_reasons,
    describe_reasons,
    is_usable,
    pack,
    resource_request,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import placement_constraints
from ecs_dynamo.planning.observed.lookup import known_tasks


@dataclass(frozen=True, slots=True)
class FreeCapacity:
    """Free resources of active instances by cluster; unobserved clusters are left out.

    ``elastic``: the capacity providers for which AWS adds instances itself.
    """

    clusters: Mapping[str, tuple[Allocatable, ...]] = field(default_factory=dict)
    elastic: frozenset[str] = frozenset()


def free_capacity(snapshot: Snapshot) -> FreeCapacity:
    """Return what the active instances have left."""
    providers = {} if isinstance(snapshot.providers, Unknown) else snapshot.providers
    placed: dict[str, Counter[str]] = {}
    for name, observed in snapshot.components.items():
        for task in known_tasks(observed):
            if task.container_instance_arn:
                placed.setdefault(task.container_instance_arn, Counter())[name] += 1
    clusters = {
        cluster: tuple(
            allocatable_of(i, placed.get(i.arn, Counter())) for i in filter(is_usable, instances)
        )
        for cluster, instances in snapshot.container_instances.items()
        if not isinstance(instances, Unknown)
    }
    return FreeCapacity(clusters, frozenset(p.name for p in providers.values() if p.scales_itself))


def surge_request(state: ComponentState) -> ResourceRequest:
    """Return what one more replica uses, and on which instances it may run."""
    component = state.component
    constraints = placement_constraints(component, one_per_instance=state.one_per_instance) or ()
    own = frozenset(p.name for p in component.capacity_providers)
    return resource_request(
        component.name,
        state.content or component.template,
        distinct=any(c.type == "distinctInstance" for c in constraints),
        expressions=[c.expression for c in constraints if c.expression],
        providers=own or None,
    )


def surge_left(state: ComponentState, replicas: int, free: FreeCapacity) -> FreeCapacity | None:
    """Return what is left once ``replicas`` more replicas are placed; None if they do not fit.

    Components that surge at the same time share the capacity: replicas that fit for each alone may
    not fit for all. Fargate has capacity for any number, and so has a provider that adds instances,
    for which ECS waits. On an unobserved cluster, replicas that use GPUs are assumed not to fit.
    """
    component = state.component
    own = {p.name for p in component.capacity_providers}
    if replicas == 0 or component.launch_type is not LaunchType.EC2 or own & free.elastic:
        return free
    instances = free.clusters.get(component.cluster)
    if instances is None:
        return None if gpus_of(component) else free
    packing = pack([surge_request(state)] * replicas, instances)
    if packing.unplaced:
        return None
    clusters = {**free.clusters, component.cluster: packing.allocatable}
    return replace(free, clusters=clusters)


def surge_fits(state: ComponentState, replicas: int, free: FreeCapacity) -> bool:
    """Return whether ``replicas`` more replicas fit beside those that run."""
    return surge_left(state, replicas, free) is not None


def why_no_surge(state: ComponentState, free: FreeCapacity) -> str:
    """Return what instances lack for one more replica, in words."""
    instances = free.clusters.get(state.component.cluster)
    if instances is None:
        return "its instances could not be observed"
    reasons = count_reasons(surge_request(state), instances)
    return describe_reasons(reasons) or "the cluster has no active instance"


def one_at_a_time(limits: DeploymentLimits, replicas: int) -> DeploymentLimits:
    """Return limits with which ECS stops a replica before it starts another, one at a time."""
    floor = (max(replicas, 1) - 1) * 100 // max(replicas, 1)
    return replace(
        limits,
        minimum_healthy_percent=min(limits.minimum_healthy_percent, floor),
        maximum_percent=100,
    )
