"""Placement strategies and constraints of services, and the split over capacity providers.

The default spreads over Availability Zones, then keeps frontends on different instances and packs
everything else by memory. ECS packs by CPU or memory only, so memory stands in for GPU slots: a GPU
worker takes most of its share of an instance's memory. Packing leaves whole instances free, for
replicas that need several GPUs on one, and for scale-in to return. A zone or instance that is
lost takes as few replicas as possible, at the price of traffic between zones; a graph that weighs
this differently declares another strategy. Where ECS has no such strategies (Fargate, Managed
Instances) none is sent.
"""

from __future__ import annotations

from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.service_settings import PlacementConstraint, PlacementStrategy
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
)
from ecs_dynamo.model.spec.service import LaunchType

_ZONES = PlacementStrategy("spread", "attribute:ecs.availability-zone")
_APART = PlacementStrategy("spread", "instanceId")
_PACKED = PlacementStrategy("binpack", "memory")
DISTINCT = PlacementConstraint("distinctInstance")


def _takes_strategies(component: Component, snapshot: Snapshot) -> bool:
    """Return whether ECS takes placement strategies: on EC2, and not on Managed Instances."""
    if component.launch_type is not LaunchType.EC2:
        return False
    if not component.capacity_providers:
        return True
    if isinstance(snapshot.providers, Unknown):
        return False
    providers = (snapshot.providers.get(p.name) for p in component.capacity_providers)
    return all(p is not None and p.type == "EC2_AUTOSCALING" for p in providers)


def default_strategy(
    component: Component, snapshot: Snapshot
) -> tuple[PlacementStrategy, ...] | None:
    """Return the strategy of a component that declares none; None where ECS takes none."""
    if not _takes_strategies(component, snapshot):
        return None
    return (_ZONES, _APART) if component.is_frontend else (_ZONES, _PACKED)


def placement_constraints(
    component: Component, *, one_per_instance: bool
) -> tuple[PlacementConstraint, ...] | None:
    """Return the declared constraints, with one replica per instance where ports demand it.

    None where ECS takes no constraints (Fargate).
    """
    declared = component.settings.placement_constraints
    if declared is None or not one_per_instance or DISTINCT in declared:
        return declared
    return (*declared, DISTINCT)


def distribute(
    strategy: tuple[CapacityProviderItem, ...], current: dict[str, int], count: int
) -> list[str]:
    """Return the provider of each of the next ``count`` replicas.

    ``current`` counts the replicas of each provider. The bases are filled first. After that, each
    replica goes to the provider whose share is furthest below its weight.
    """
    counts = {p.name: current.get(p.name, 0) for p in strategy}
    chosen: list[str] = []
    for _ in range(count):
        behind = next((p for p in strategy if counts[p.name] < p.base), None)
        if behind is None:
            able = [p for p in strategy if p.weight]
            if not able:
                break
            behind = min(able, key=lambda p: (counts[p.name] - p.base + 1) / p.weight)
        counts[behind.name] += 1
        chosen.append(behind.name)
    return chosen
