"""GPU slots: whether a surge fits, and what a rollout does where it does not.

ECS waits for ever for a place that a full cluster can not give, so a rollout that may not go below
100 % healthy would never end. There the limits are lowered to "replace one at a time" for the
time of the rollout, and restored when it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec import RolloutSpec


def gpus_of(component: Component) -> int:
    """GPU slots that one replica takes."""
    return sum(
        int(requirement.get("value", 0))
        for container in component.template.get("containerDefinitions", ())
        for requirement in container.get("resourceRequirements", ())
        if requirement.get("type") == "GPU"
    )


class Slots(NamedTuple):
    """Free GPU slots of one instance; ``added``: of one that its capacity provider can add."""

    gpus: int
    provider: str | None = None
    added: bool = False


_PLENTY = 1_000_000
"""As many as are wanted: how many a provider can add is not known here."""

FreeSlots = Mapping[str, tuple[Slots, ...]]


def free_gpus(snapshot: Snapshot) -> FreeSlots:
    """Free GPU slots of each active instance, by cluster; clusters not observed are left out."""
    providers = {} if isinstance(snapshot.providers, Unknown) else snapshot.providers
    more = tuple(Slots(_PLENTY, p.name, True) for p in providers.values() if p.raises_itself)
    return {
        cluster: (
            *(
                Slots(i.gpus_free, i.capacity_provider)
                for i in instances
                if i.status == "ACTIVE" and i.agent_connected
            ),
            *more,
        )
        for cluster, instances in snapshot.container_instances.items()
        if not isinstance(instances, Unknown)
    }


def surge_fits(component: Component, replicas: int, free: FreeSlots) -> bool:
    """Whether ``replicas`` more replicas find GPU slots, on instances of their providers.

    A component without GPUs always fits; on a cluster that was not observed nothing is promised.
    A provider that adds instances gives any number: ECS takes the time and the instances for it.
    """
    gpus = gpus_of(component)
    if gpus == 0 or replicas == 0:
        return True
    slots = free.get(component.cluster, ())
    return sum(s.gpus // gpus for s in slots if _may_use(component, s)) >= replicas


def _may_use(component: Component, slots: Slots) -> bool:
    own = {p.name for p in component.capacity_providers}
    return slots.provider in own if own else not slots.added


def surge_left(component: Component, replicas: int, free: FreeSlots) -> FreeSlots | None:
    """The free slots once ``replicas`` more replicas have taken theirs; None where they do not fit.

    Who surges at the same time must share: what fits for each alone may not fit for all.
    """
    if not surge_fits(component, replicas, free):
        return None
    gpus, left = gpus_of(component), replicas
    slots = list(free.get(component.cluster, ()))
    for index, have in enumerate(slots):
        if gpus and _may_use(component, have):
            taken = min(left, have.gpus // gpus)
            slots[index] = have._replace(gpus=have.gpus - taken * gpus)
            left -= taken
    return {**free, component.cluster: tuple(slots)}


def one_at_a_time(spec: RolloutSpec, replicas: int) -> RolloutSpec:
    """Limits with which ECS frees a place before it fills it: one replica at a time."""
    floor = (max(replicas, 1) - 1) * 100 // max(replicas, 1)
    return spec.model_copy(
        update={
            "minimum_healthy_percent": min(spec.minimum_healthy_percent, floor),
            "maximum_percent": 100,
        }
    )
