"""Capacity providers: selection for a service's next task, and managed scaling. Pure.

The rules of strategies are from the ECS API reference (CapacityProviderStrategyItem): tasks are
first assigned to the provider with a base, then distributed by weight; a provider with weight 0
gets no task beyond its base. Managed scaling is simplified: it adds as many instances as the
waiting tasks (PROVISIONING) need, and never removes any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ecs_dynamo.local.placement.resources import RemainingResources, ResourceRequest
from ecs_dynamo.local.placement.selection import select_instance
from ecs_dynamo.local.wire.protocol import Json, invalid

FARGATE = ("FARGATE", "FARGATE_SPOT")


def with_defaults(strategy: Sequence[Json]) -> list[Json]:
    """Return a strategy with the defaults that ECS adds."""
    return [{"weight": 0, "base": 0, **item} for item in strategy]


def check_strategy(strategy: Sequence[Json], attached: Iterable[str]) -> None:
    """Check a strategy of a cluster with the providers ``attached``. Raises EcsError."""
    names = [str(item["capacityProvider"]).rsplit("/", 1)[-1] for item in strategy]
    if len(names) > 20:
        raise invalid("A capacity provider strategy can contain a maximum of 20 providers.")
    if len(set(names)) < len(names):
        raise invalid("The capacity provider strategy cannot contain duplicate providers.")
    if not any(item.get("weight", 0) for item in strategy):
        raise invalid("At least one capacity provider must have a weight greater than 0.")
    if sum(item.get("base", 0) > 0 for item in strategy) > 1:
        raise invalid("Only one capacity provider in a strategy can have a base defined.")
    fargate = set(names) & set(FARGATE)
    if fargate and fargate != set(names):
        raise invalid("A strategy cannot contain a mix of Fargate and EC2 capacity providers.")
    missing = set(names) - set(attached) - set(FARGATE)
    if missing:
        raise invalid(
            "The specified capacity provider strategy cannot contain a capacity provider that is "
            f"not associated with the cluster: {', '.join(sorted(missing))}."
        )


def next_provider(strategy: Sequence[Json], counts: Mapping[str, int]) -> str:
    """Return the provider of the next task. ``counts`` has the number of tasks per provider."""
    items = [
        (str(i["capacityProvider"]).rsplit("/", 1)[-1], i.get("weight", 0), i.get("base", 0))
        for i in strategy
    ]
    for name, _, base in items:
        if counts.get(name, 0) < base:
            return name
    weighted = [(n, w, b) for n, w, b in items if w]
    return min(weighted, key=lambda i: (counts.get(i[0], 0) - i[2] + 1) / i[1])[0]


def instances_needed(
    requests: Iterable[ResourceRequest], new_instance: RemainingResources, limit: int
) -> int:
    """Return how many instances like ``new_instance`` the tasks need, at most ``limit``."""
    instances: dict[str, RemainingResources] = {}
    for request in sorted(requests, key=lambda r: (-r.gpus, -r.memory)):
        arn, _ = select_instance(request, instances.values())
        if arn is None:
            if len(instances) >= limit or select_instance(request, [new_instance])[0] is None:
                continue
            arn = str(len(instances))
            instances[arn] = new_instance.with_arn(arn)
        instances[arn] = instances[arn].after_placing(request)
    return len(instances)
