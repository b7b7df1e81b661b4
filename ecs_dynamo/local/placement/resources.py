"""The resources that a task requests, and those that a container instance has left. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

ALL_GPUS = 1_000_000
"""The GPU slots of a request for all GPUs of an instance: more than any instance has."""


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """The resources that a task requests.

    ``cpu`` is in CPU units, ``memory`` in MiB, ``gpus`` in GPU slots (or `ALL_GPUS`); ``ports`` are
    those of the host.
    """

    cpu: int
    memory: int
    gpus: int
    ports: frozenset[int]


@dataclass(frozen=True, slots=True)
class RemainingResources:
    """The resources that a container instance has left, in the units of `ResourceRequest`.

    ``tasks_of_group`` is the number of tasks of the same service or family on it.
    """

    arn: str
    cpu: int
    memory: int
    gpus: int
    used_ports: frozenset[int]
    tasks_of_group: int = 0
    active: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict)
    total_gpus: int = 0

    def with_arn(self, arn: str) -> RemainingResources:
        """Return the same resources of another instance."""
        return replace(self, arn=arn)

    def after_placing(self, request: ResourceRequest) -> RemainingResources:
        """Return what is left after another task of the group is placed."""
        return replace(
            self,
            cpu=self.cpu - request.cpu,
            memory=self.memory - request.memory,
            gpus=max(0, self.gpus - request.gpus),
            used_ports=self.used_ports | request.ports,
            tasks_of_group=self.tasks_of_group + 1,
        )


def gpu_slots(value: str) -> int:
    """Return the GPU slots of a requirement: a fraction of a GPU needs a slot, ``ALL`` every slot.

    Raises ValueError for values that ECS rejects (developer guide, "Specifying GPUs in an Amazon
    ECS task definition").
    """
    if value == "ALL":
        return ALL_GPUS
    number = Decimal(value) if value.replace(".", "", 1).isdecimal() else Decimal(0)
    if number <= 0:
        raise ValueError(value)
    return math.ceil(number)


def requested_resources(content: Mapping[str, object], network_mode: str) -> ResourceRequest:
    """Return the resources that a task definition requests."""
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
    return ResourceRequest(cpu, memory, gpus, frozenset(ports))


def _mappings(value: object) -> Iterable[Mapping[str, object]]:
    return value if isinstance(value, list) else ()
