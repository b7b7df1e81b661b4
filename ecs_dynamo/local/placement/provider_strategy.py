"""Capacity providers: which one a service's next task goes to, and how many instances it needs.

Pure. Rules from the ECS API reference (CapacityProviderStrategyItem): the base of one provider
comes first, then tasks go by weight; a provider of weight 0 takes none beyond its base. Managed
scaling is kept to its essence: as many more instances as the tasks that wait for room
(PROVISIONING) need; it takes none away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ecs_dynamo.local.placement.resources import Need, Room
from ecs_dynamo.local.placement.selection import place
from ecs_dynamo.local.wire.protocol import Json, invalid

FARGATE = ("FARGATE", "FARGATE_SPOT")


def whole(strategy: Sequence[Json]) -> list[Json]:
    """A strategy with the defaults that ECS fills in."""
    return [{"weight": 0, "base": 0, **item} for item in strategy]


def check_strategy(strategy: Sequence[Json], attached: Iterable[str]) -> None:
    """Refuse what ECS refuses. Raises EcsError."""
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
    """Where the next task goes, beside the ``counts`` that run by provider."""
    items = [
        (str(i["capacityProvider"]).rsplit("/", 1)[-1], i.get("weight", 0), i.get("base", 0))
        for i in strategy
    ]
    for name, _, base in items:
        if counts.get(name, 0) < base:
            return name
    weighted = [(n, w, b) for n, w, b in items if w]
    return min(weighted, key=lambda i: (counts.get(i[0], 0) - i[2] + 1) / i[1])[0]


def instances_needed(waiting: Iterable[Need], fresh: Room, most: int) -> int:
    """How many instances like ``fresh`` the waiting tasks need; at most ``most``."""
    rooms: list[Room] = []
    for need in sorted(waiting, key=lambda n: (-n.gpus, -n.memory)):
        arn, _ = place(need, rooms)
        if arn is None:
            if len(rooms) >= most or place(need, [fresh])[0] is None:
                continue
            rooms.append(fresh.named(str(len(rooms))))
            arn = rooms[-1].arn
        index = next(i for i, room in enumerate(rooms) if room.arn == arn)
        rooms[index] = rooms[index].take(need)
    return len(rooms)
