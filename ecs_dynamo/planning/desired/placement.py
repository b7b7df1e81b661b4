"""Placement strategies, constraints and capacity provider strategies: what a service should have.

The default spreads over Availability Zones, then keeps frontends on different instances and packs
all else by memory. ECS packs by CPU or memory only, so memory stands in for GPU slots: a GPU
worker takes most of its share of an instance's memory. Packing leaves whole instances free, for
replicas that need several GPUs on one, and for scale-in to give back. A zone or instance that is
lost takes as few replicas as can be, and the price is traffic between zones: who counts that
higher declares another strategy. Where ECS has no such strategies (Fargate, Managed Instances)
none is sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
    PlacementConstraintSpec,
    PlacementStrategySpec,
)
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.desired.ports import PortPlan

_ZONES = PlacementStrategySpec(type="spread", field="attribute:ecs.availability-zone")
_APART = PlacementStrategySpec(type="spread", field="instanceId")
_PACKED = PlacementStrategySpec(type="binpack", field="memory")
DISTINCT = PlacementConstraintSpec(type="distinctInstance")


def provider_strategy(component: Component) -> tuple[tuple[str, int, int], ...]:
    """The declared capacity provider strategy as (name, weight, base)."""
    return tuple((p.name, p.weight, p.base) for p in component.capacity_providers)


def providers_differ(component: Component, service: Service) -> bool:
    """Whether the service's capacity provider strategy is not the declared one."""
    return sorted(provider_strategy(component)) != sorted(service.capacity_providers)


def _places(component: Component, snapshot: Snapshot) -> bool:
    """Whether ECS takes placement strategies for it: on EC2, and not on Managed Instances."""
    if component.launch_type is not LaunchType.EC2:
        return False
    if not component.capacity_providers:
        return True
    if isinstance(snapshot.providers, Unknown):
        return False
    found = [snapshot.providers.get(p.name) for p in component.capacity_providers]
    return all(p is not None and p.type == "EC2_AUTOSCALING" for p in found)


def wanted_strategy(
    component: Component, snapshot: Snapshot
) -> tuple[PlacementStrategySpec, ...] | None:
    """The placement strategy; None where none can be set."""
    declared = component.placement.strategy
    if declared is not None:
        return declared
    if not _places(component, snapshot):
        return None
    return (_ZONES, _APART) if component.is_frontend else (_ZONES, _PACKED)


def wanted_constraints(
    component: Component, distinct: bool
) -> tuple[PlacementConstraintSpec, ...] | None:
    """The declared constraints, with one replica an instance where ports demand it."""
    if component.launch_type is not LaunchType.EC2:
        return None
    declared = component.placement.constraints
    return (*declared, DISTINCT) if distinct and DISTINCT not in declared else declared


@dataclass(frozen=True, slots=True)
class Placing:
    """How a component's service should place its tasks; None: not to be set."""

    strategy: tuple[PlacementStrategySpec, ...] | None = None
    constraints: tuple[PlacementConstraintSpec, ...] | None = None

    def missing_in(self, service: Service) -> Placing:
        """Just what the service has otherwise."""
        return Placing(
            self.strategy if strategy_differs(self.strategy, service) else None,
            self.constraints if constraints_differ(self.constraints, service) else None,
        )


def desired_placing(component: Component, snapshot: Snapshot, ports: PortPlan) -> Placing:
    """The strategy and constraints of the component's service."""
    distinct = component.name in ports.distinct_instances
    return Placing(wanted_strategy(component, snapshot), wanted_constraints(component, distinct))


def _field(text: str | None) -> str:
    field = text or ""
    lower = field.lower()
    return {"host": "instanceId", "instanceid": "instanceId", "cpu": "cpu", "memory": "memory"}.get(
        lower, field
    )


def strategy_differs(wanted: tuple[PlacementStrategySpec, ...] | None, service: Service) -> bool:
    """Whether the service's strategy is not the wanted one; the order is part of it."""
    if wanted is None:
        return False
    have = tuple((kind, _field(field)) for kind, field in service.placement_strategy)
    return tuple((s.type, _field(s.field)) for s in wanted) != have


def constraints_differ(
    wanted: tuple[PlacementConstraintSpec, ...] | None, service: Service
) -> bool:
    """Whether the service's constraints are not the wanted ones (order is no matter)."""
    if wanted is None:
        return False
    return sorted((c.type, c.expression or "") for c in wanted) != sorted(
        service.placement_constraints
    )


def distribute(
    strategy: tuple[CapacityProviderItem, ...], have: dict[str, int], count: int
) -> list[str]:
    """The provider of each of the next ``count`` replicas, beside those that it has already.

    First the base, then by weight: each goes to where the share is furthest behind.
    """
    counts = {p.name: have.get(p.name, 0) for p in strategy}
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
