"""The generations of a component in the simulated account, taken together."""

from __future__ import annotations

from ecs_dynamo.model.graph import TAG_COMPONENT, TAG_GENERATION, TAG_REPLICAS
from tests.helpers.simulated_services import SimService, SimTask
from tests.unit.chaos.simulation.account import SimulatedAccount


def services_of(ecs: SimulatedAccount, component: str) -> list[SimService]:
    """Return the graph's services of a component, of all generations."""
    services = [s for s in ecs.services.values() if ecs.ours(s)]
    return [s for s in services if s.tags.get(TAG_COMPONENT) == component]


def tasks_of(ecs: SimulatedAccount, component: str) -> list[tuple[SimService, SimTask]]:
    """Return a component's tasks of all generations, with their services."""
    return [(s, t) for s in services_of(ecs, component) for t in s.tasks]


def replicas_of(ecs: SimulatedAccount, component: str) -> int:
    """Return the replicas that a component is to have, as the services record it.

    In an exchange both generations together have more, and the number is in a tag.
    """
    desired = [s for s in services_of(ecs, component) if s.desired > 0]
    recorded = [int(s.tags[TAG_REPLICAS]) for s in desired if TAG_REPLICAS in s.tags]
    if len(desired) > 1 and recorded:
        return max(recorded)
    return max((s.desired for s in desired), default=0)


def complete_generations(ecs: SimulatedAccount) -> set[str]:
    """Return the generations that serve: with a serving worker of each component, at one etcd.

    Workers without a generation count as one that is called ``""``.
    """
    serving: dict[tuple[str, str | None], set[str]] = {}
    for component, service, task in ecs._workers():
        if ecs.is_serving(service, task):
            key = (service.tags.get(TAG_GENERATION, ""), ecs._etcd_of(task))
            serving.setdefault(key, set()).add(component.name)
    needed = {c.name for c in ecs.graph.components if c.is_worker and c.replicas > 0}
    return {generation for (generation, _), names in serving.items() if names >= needed}


def check_names(ecs: SimulatedAccount) -> None:
    """Check that each generation of a component has one service, which is named after both."""
    for service in ecs.services.values():
        if not ecs.ours(service):
            continue
        generation = service.tags.get(TAG_GENERATION)
        name = f"{ecs.graph.name}-{service.tags[TAG_COMPONENT]}"
        expected = name if generation is None else f"{name}-{generation}"
        assert service.name == expected, f"{service.name} is tagged as {expected}"
