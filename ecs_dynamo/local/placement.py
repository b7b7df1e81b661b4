"""Where a task fits: GPU slots, CPU, memory and host ports of container instances. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NO_INSTANCE = (
    "was unable to place a task because no container instance met all of its requirements."
)
TROUBLESHOOTING = (
    "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a task takes. ``cpu`` units, ``memory`` MiB, ``gpus`` slots, ``ports`` on the host."""

    cpu: int
    memory: int
    gpus: int
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class Room:
    """What an instance has left. ``same_group``: tasks of the same service or family on it."""

    arn: str
    cpu: int
    memory: int
    gpus: int
    used_ports: frozenset[int]
    same_group: int = 0
    active: bool = True


def need_of(content: Mapping[str, object], network_mode: str) -> Need:
    """What a task definition's content asks for."""
    containers = list(_mappings(content.get("containerDefinitions")))
    cpu = int(str(content.get("cpu") or 0))
    memory = int(str(content.get("memory") or 0))
    if not cpu:
        cpu = sum(int(str(c.get("cpu") or 0)) for c in containers)
    if not memory:
        memory = sum(
            int(str(c.get("memory") or c.get("memoryReservation") or 0)) for c in containers
        )
    gpus = sum(
        int(str(r["value"]))
        for c in containers
        for r in _mappings(c.get("resourceRequirements"))
        if r["type"] == "GPU"
    )
    ports: set[int] = set()
    for container in containers:
        for mapping in _mappings(container.get("portMappings")):
            if network_mode == "host":
                ports.add(int(str(mapping.get("hostPort") or mapping["containerPort"])))
            elif network_mode == "bridge" and mapping.get("hostPort"):
                ports.add(int(str(mapping["hostPort"])))
    return Need(cpu, memory, gpus, frozenset(ports))


def _mappings(value: object) -> Iterable[Mapping[str, object]]:
    return value if isinstance(value, list) else ()


def shortage(need: Need, room: Room, distinct: bool) -> str | None:
    """Why the task does not fit, in ECS's words (RESOURCE:GPU, ...); None where it fits."""
    if not room.active:
        return "AGENT"
    if distinct and room.same_group:
        return "MemberOf placement constraint unsatisfied."
    if need.gpus > room.gpus:
        return "RESOURCE:GPU"
    if need.cpu > room.cpu:
        return "RESOURCE:CPU"
    if need.memory > room.memory:
        return "RESOURCE:MEMORY"
    if need.ports & room.used_ports:
        return "RESOURCE:PORTS"
    return None


def place(need: Need, rooms: Iterable[Room], distinct: bool = False) -> tuple[str | None, str]:
    """The instance to use and "", or None and the reason; spreads a group over instances."""
    best: tuple[tuple[int, int, int, str], str] | None = None
    reason = "no container instances were found in your cluster"
    for room in rooms:
        short = shortage(need, room, distinct)
        if short is not None:
            reason = short
            continue
        # Without a GPU of its own a task goes where the fewest GPU slots are left to block.
        key = (room.same_group, room.gpus if need.gpus == 0 else -room.gpus, -room.memory, room.arn)
        if best is None or key < best[0]:
            best = (key, room.arn)
    return (best[1], "") if best else (None, reason)
