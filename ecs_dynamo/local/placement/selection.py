"""Selection of a container instance for a task, as ECS's placement rules require. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.local.placement.expressions import matches
from ecs_dynamo.local.placement.resources import ALL_GPUS, RemainingResources, ResourceRequest

NO_INSTANCE = (
    "was unable to place a task because no container instance met all of its requirements."
)
TROUBLESHOOTING = (
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """Placement constraints and strategies, the latter in the shape of the API."""

    distinct_instances: bool = False
    expressions: tuple[str, ...] = ()
    strategy: tuple[Mapping[str, str], ...] = ()


NO_RULES = PlacementRules()


def placement_rules(
    constraints: Iterable[Mapping[str, str]], strategy: Sequence[Mapping[str, str]]
) -> PlacementRules:
    """Convert the placementConstraints and the placementStrategy of a request."""
    listed = list(constraints)
    return PlacementRules(
        any(c.get("type") == "distinctInstance" for c in listed),
        tuple(c["expression"] for c in listed if c.get("type") == "memberOf"),
        tuple(strategy),
    )


def unmet_requirement(
    request: ResourceRequest, instance: RemainingResources, rules: PlacementRules
) -> str | None:
    """Return ECS's reason why the task does not fit (such as RESOURCE:GPU); None if it fits."""
    if not instance.active:
        return "AGENT"
    if rules.distinct_instances and instance.tasks_of_group:
        return "distinctInstance placement constraint unsatisfied."
    if not all(matches(text, instance.attributes) for text in rules.expressions):
        return "memberOf placement constraint unsatisfied."
    if request.gpus >= ALL_GPUS:
        gpus_fit = 0 < instance.gpus == instance.total_gpus
    else:
        gpus_fit = request.gpus <= instance.gpus
    if not gpus_fit:
        return "RESOURCE:GPU"
    if request.cpu > instance.cpu:
        return "RESOURCE:CPU"
    if request.memory > instance.memory:
        return "RESOURCE:MEMORY"
    if request.ports & instance.used_ports:
        return "RESOURCE:PORTS"
    return None


def select_instance(
    request: ResourceRequest,
    instances: Iterable[RemainingResources],
    rules: PlacementRules = NO_RULES,
) -> tuple[str | None, str]:
    """Return the ARN of the instance to use and "", or None and the reason."""
    all_instances = list(instances)
    candidates: list[RemainingResources] = []
    reason = "no container instances were found in your cluster"
    for instance in all_instances:
        unmet = unmet_requirement(request, instance, rules)
        if unmet is None:
            candidates.append(instance)
        else:
            reason = unmet
    if not candidates:
        return None, reason
    for strategy in rules.strategy:
        candidates = _narrow(strategy, candidates, all_instances)
    # Spreads a group over instances. A task without GPUs goes to the instance with the fewest free
    # GPU slots, so that it blocks as few of them as possible.
    best = min(
        candidates,
        key=lambda i: (
            i.tasks_of_group,
            i.gpus if request.gpus == 0 else -i.gpus,
            -i.memory,
            i.arn,
        ),
    )
    return best.arn, ""


def _narrow(
    strategy: Mapping[str, str],
    candidates: list[RemainingResources],
    instances: Iterable[RemainingResources],
) -> list[RemainingResources]:
    """Return the candidates that are best according to one strategy."""
    kind, field = strategy.get("type"), strategy.get("field", "")
    if kind == "random":
        return [secrets.choice(candidates)]
    if kind == "binpack":
        least = min(_remaining(instance, field) for instance in candidates)
        return [instance for instance in candidates if _remaining(instance, field) == least]
    counts: dict[str, int] = {}
    for instance in instances:
        value = _value(instance, field)
        counts[value] = counts.get(value, 0) + instance.tasks_of_group
    fewest = min(counts[_value(instance, field)] for instance in candidates)
    return [instance for instance in candidates if counts[_value(instance, field)] == fewest]


def _remaining(instance: RemainingResources, field: str) -> int:
    return instance.cpu if field.lower() == "cpu" else instance.memory


def _value(instance: RemainingResources, field: str) -> str:
    if field.startswith("attribute:"):
        return instance.attributes.get(field.removeprefix("attribute:"), "")
    return instance.arn
