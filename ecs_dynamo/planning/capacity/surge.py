"""Whether a rollout can surge, and what it does where it cannot.

ECS waits indefinitely for a place that a full cluster cannot give, so a rollout that may not go
below 100 % healthy would never end. There the limits are lowered to "replace one at a time" for the
time of the rollout, and restored when it is done. What is full is told by everything that ECS
places by: GPUs, CPU, memory, host ports, placement constraints, one replica per instance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.ecs.task_definition import gpus_of
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.capacity.packing import (
    Allocatable,
    ResourceRequest,
    need_of,
    pack,
    room_of,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import placement_constraints
from ecs_dynamo.planning.observed.lookup import known_tasks


@dataclass(frozen=True, slots=True)
class FreeRooms:
    """What active instances have left, by cluster; clusters not observed are left out.

    ``elastic`` are the capacity providers that add instances themselves.
    """

    rooms: Mapping[str, tuple[Allocatable, ...]] = field(default_factory=dict)
    elastic: frozenset[str] = frozenset()


def free_rooms(snapshot: Snapshot) -> FreeRooms:
    """What the active instances have left now."""
    providers = {} if isinstance(snapshot.providers, Unknown) else snapshot.providers
    on: dict[str, Counter[str]] = {}
    for name, seen in snapshot.components.items():
        for task in known_tasks(seen):
            if task.container_instance_arn:
                on.setdefault(task.container_instance_arn, Counter())[name] += 1
    rooms = {
        cluster: tuple(
            room_of(i, on.get(i.arn, Counter()))
            for i in instances
            if i.status == "ACTIVE" and i.agent_connected
        )
        for cluster, instances in snapshot.container_instances.items()
        if not isinstance(instances, Unknown)
    }
    return FreeRooms(rooms, frozenset(p.name for p in providers.values() if p.scales_itself))


def surge_need(state: ComponentState) -> ResourceRequest:
    """What one more replica takes, and on which instances it may run."""
    component = state.component
    constraints = placement_constraints(component, one_per_instance=state.one_per_instance) or ()
    own = frozenset(p.name for p in component.capacity_providers)
    return need_of(
        component.name,
        state.content or component.template,
        distinct=any(c.type == "distinctInstance" for c in constraints),
        expressions=[c.expression for c in constraints if c.expression],
        providers=own or None,
    )


def surge_left(state: ComponentState, replicas: int, free: FreeRooms) -> FreeRooms | None:
    """What is left once ``replicas`` more replicas have their place; None where they do not fit.

    Who surges at the same time must share: what fits for each alone may not fit for all. Fargate
    gives any number, and so does a provider that adds instances: ECS takes the time for it. On a
    cluster that was not observed nothing is promised to who needs GPUs.
    """
    component = state.component
    own = {p.name for p in component.capacity_providers}
    if replicas == 0 or component.launch_type is not LaunchType.EC2 or own & free.elastic:
        return free
    rooms = free.rooms.get(component.cluster)
    if rooms is None:
        return None if gpus_of(component) else free
    packing = pack([surge_need(state)] * replicas, rooms)
    if packing.left:
        return None
    return replace(free, rooms={**free.rooms, component.cluster: packing.rooms})


def surge_fits(state: ComponentState, replicas: int, free: FreeRooms) -> bool:
    """Whether ``replicas`` more replicas find a place beside those that run."""
    return surge_left(state, replicas, free) is not None


def why_no_surge(state: ComponentState, free: FreeRooms) -> str:
    """What one more replica lacks, in words, where it does not fit."""
    rooms = free.rooms.get(state.component.cluster)
    if rooms is None:
        return "its instances could not be observed"
    need = surge_need(state)
    reasons = Counter(why for room in rooms if (why := room.why_not(need)) is not None)
    if not reasons:
        return "the cluster has no active instance"
    return ", ".join(
        f"{why} on {count} instance{'s' * (count != 1)}" for why, count in reasons.most_common()
    )


def one_at_a_time(limits: DeploymentLimits, replicas: int) -> DeploymentLimits:
    """Limits with which ECS frees a place before it fills it: one replica at a time."""
    floor = (max(replicas, 1) - 1) * 100 // max(replicas, 1)
    return replace(
        limits,
        minimum_healthy_percent=min(limits.minimum_healthy_percent, floor),
        maximum_percent=100,
    )
