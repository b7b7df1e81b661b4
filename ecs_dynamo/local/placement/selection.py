"""Where a task fits: GPU slots, CPU, memory and host ports of container instances. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.local.placement.expressions import matches
from ecs_dynamo.local.placement.resources import EVERY_GPU, Need, Room

NO_INSTANCE = (
    "was unable to place a task because no container instance met all of its requirements."
)
TROUBLESHOOTING = (
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)


@dataclass(frozen=True, slots=True)
class Rules:
    """Placement constraints and strategies of a service or task, in the API's shapes."""

    distinct: bool = False
    expressions: tuple[str, ...] = ()
    strategy: tuple[Mapping[str, str], ...] = ()


def rules_of(
    constraints: Iterable[Mapping[str, str]], strategy: Sequence[Mapping[str, str]]
) -> Rules:
    """From a request's placementConstraints and placementStrategy."""
    wanted = list(constraints)
    return Rules(
        any(c.get("type") == "distinctInstance" for c in wanted),
        tuple(c["expression"] for c in wanted if c.get("type") == "memberOf"),
        tuple(strategy),
    )


def shortage(need: Need, room: Room, rules: Rules) -> str | None:
    """Why the task does not fit, in ECS's words (RESOURCE:GPU, ...); None where it fits."""
    if not room.active:
        return "AGENT"
    if rules.distinct and room.same_group:
        return "distinctInstance placement constraint unsatisfied."
    if not all(matches(text, room.attributes) for text in rules.expressions):
        return "memberOf placement constraint unsatisfied."
    every = need.gpus >= EVERY_GPU
    if (every and not 0 < room.gpus == room.gpus_in_all) or (not every and need.gpus > room.gpus):
        return "RESOURCE:GPU"
    if need.cpu > room.cpu:
        return "RESOURCE:CPU"
    if need.memory > room.memory:
        return "RESOURCE:MEMORY"
    if need.ports & room.used_ports:
        return "RESOURCE:PORTS"
    return None


NONE = Rules()


def place(need: Need, rooms: Iterable[Room], rules: Rules = NONE) -> tuple[str | None, str]:
    """The instance to use and "", or None and the reason."""
    everywhere = list(rooms)
    fitting: list[Room] = []
    reason = "no container instances were found in your cluster"
    for room in everywhere:
        short = shortage(need, room, rules)
        if short is None:
            fitting.append(room)
        else:
            reason = short
    if not fitting:
        return None, reason
    for step in rules.strategy:
        fitting = _narrow(step, fitting, everywhere)
    # Spreads a group over instances. Without a GPU of its own a task goes where the fewest GPU
    # slots are left to block.
    best = min(
        fitting,
        key=lambda r: (r.same_group, r.gpus if need.gpus == 0 else -r.gpus, -r.memory, r.arn),
    )
    return best.arn, ""


def _narrow(step: Mapping[str, str], fitting: list[Room], rooms: Iterable[Room]) -> list[Room]:
    """The candidates that are best by one strategy."""
    kind, by = step.get("type"), step.get("field", "")
    if kind == "random":
        return [secrets.choice(fitting)]
    if kind == "binpack":
        least = min(_left(room, by) for room in fitting)
        return [room for room in fitting if _left(room, by) == least]
    counts: dict[str, int] = {}
    for room in rooms:
        counts[_value(room, by)] = counts.get(_value(room, by), 0) + room.same_group
    fewest = min(counts[_value(room, by)] for room in fitting)
    return [room for room in fitting if counts[_value(room, by)] == fewest]


def _left(room: Room, by: str) -> int:
    return room.cpu if by.lower() == "cpu" else room.memory


def _value(room: Room, by: str) -> str:
    if by.startswith("attribute:"):
        return room.attributes.get(by.removeprefix("attribute:"), "")
    return room.arn
