"""What a task requests, and what a container instance has left. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

EVERY_GPU = 1_000_000
"""More than any instance has."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a task takes. ``cpu`` units, ``memory`` MiB, ``ports`` on the host.

    ``gpus`` are slots; `EVERY_GPU` for all of the instance.
    """

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
    attributes: Mapping[str, str] = field(default_factory=dict)
    gpus_in_all: int = 0

    def named(self, arn: str) -> Room:
        """The same room of another instance."""
        return replace(self, arn=arn)

    def take(self, need: Need) -> Room:
        """What is left with a task more."""
        return replace(
            self,
            cpu=self.cpu - need.cpu,
            memory=self.memory - need.memory,
            gpus=max(0, self.gpus - need.gpus),
            used_ports=self.used_ports | need.ports,
            same_group=self.same_group + 1,
        )


def gpu_slots(value: str) -> int:
    """Slots behind a GPU requirement: a share of a GPU is a device of its own, ``ALL`` every one.

    ValueError for what ECS refuses (developer guide, "Specifying GPUs in an Amazon ECS task
    definition").
    """
    if value == "ALL":
        return EVERY_GPU
    number = Decimal(value) if value.replace(".", "", 1).isdecimal() else Decimal(0)
    if number <= 0:
        raise ValueError(value)
    return math.ceil(number)


def need_of(content: Mapping[str, object], network_mode: str) -> Need:
    """What a task definition's content asks for."""
    containers = list(_mappings(content.get("containerDefinitions")))
    cpu = int(str(content.get("cpu") or 0))
    memory = int(str(content.get("memory") or 0))
    if not cpu:
        cpu = sum(int(str(c.get("cpu") or 0)) for c in containers)
    if not memory:
        memory = sum(
            int(str(c.get("memoryReservation") or c.get("memory") or 0)) for c in containers
        )
    gpus = sum(
        gpu_slots(str(r["value"]))
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
