"""What a replica needs, what an instance has left, and which replicas find a place.

The packing is best-fit, largest first: it tells what does not fit even when ECS places well, so
that what is called short is short. ECS may still place worse; then its own event says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecs_dynamo.model.capacity import InstanceSize
from ecs_dynamo.model.ecs.constraint_expressions import (
    EC2_INSTANCE_ID,
    holds,
)
from ecs_dynamo.model.ecs.gpus import gpu_request
from ecs_dynamo.model.graph import JsonObject, network_mode_of
from ecs_dynamo.model.snapshot import ContainerInstance

_NUMBER = re.compile(r"[0-9]{0,9}\.?[0-9]{1,9}")
INSTANCE_TYPE = "ecs.instance-type"
ZONE = "ecs.availability-zone"


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What one replica takes. ``cpu`` units, ``memory`` MiB, ``ports`` of the host.

    ``gpus`` are slots; with ``all_gpus`` it takes every one of its instance, and finds no place
    where another holds one.
    ``providers`` are the capacity providers whose instances it may use; None: any instance.
    """

    component: str
    gpus: int
    cpu: int
    memory: int
    ports: frozenset[int] = frozenset()
    distinct: bool = False
    expressions: tuple[str, ...] = ()
    providers: frozenset[str] | None = None
    all_gpus: bool = False


@dataclass(frozen=True, slots=True)
class Allocatable:
    """What an instance has left. ``components`` counts the replicas on it by component."""

    name: str
    gpus: int
    cpu: int
    memory: int
    used_ports: frozenset[int] = frozenset()
    components: Mapping[str, int] | None = None
    attributes: Mapping[str, str] | None = None
    provider: str | None = None
    gpus_in_all: int = 0
    """GPU slots of the instance, free or taken."""

    def why_not(self, need: ResourceRequest) -> str | None:
        """What keeps a replica from fitting, in words; None where it fits."""
        attributes = self.attributes or {}
        if need.providers is not None and self.provider not in need.providers:
            return "capacity provider"
        if not all(holds(text, attributes) for text in need.expressions):
            return "placement constraint"
        if need.gpus > self.gpus or (need.all_gpus and self.gpus < self.gpus_in_all):
            return "GPU"
        if need.cpu > self.cpu:
            return "CPU"
        if need.memory > self.memory:
            return "memory"
        if need.ports & self.used_ports:
            return "host port"
        if need.distinct and (self.components or {}).get(need.component):
            return "one replica an instance"
        return None

    def take(self, need: ResourceRequest) -> Allocatable:
        """What is left once a replica is here."""
        counts = Counter(self.components or {})
        counts[need.component] += 1
        return replace(
            self,
            gpus=0 if need.all_gpus else self.gpus - need.gpus,
            cpu=self.cpu - need.cpu,
            memory=self.memory - need.memory,
            used_ports=self.used_ports | need.ports,
            components=counts,
        )


def _number(value: object) -> int:
    """CPU or memory as task definitions write them: 1024, "1 vCPU", "2 GB"; 0 for what is neither.

    A revision that somebody else registered must not end a pass.
    """
    text = str(value or 0).strip().lower()
    unit = next((u for u in ("vcpu", "gb") if text.endswith(u)), "")
    number = text.removesuffix(unit).strip()
    if not _NUMBER.fullmatch(number):
        return 0
    return int(float(number) * (1024 if unit else 1))


def need_of(
    component: str,
    content: JsonObject,
    *,
    distinct: bool = False,
    expressions: Sequence[str] = (),
    providers: frozenset[str] | None = None,
) -> ResourceRequest:
    """What a replica of a task definition takes of an EC2 instance."""
    containers = content.get("containerDefinitions", ())
    mode = network_mode_of(content)
    ports: set[int] = set()
    for container in containers:
        for mapping in container.get("portMappings", ()):
            host = mapping.get("hostPort")
            if mode == "host":
                ports.add(int(host or mapping["containerPort"]))
            elif mode == "bridge" and host:
                ports.add(int(host))
    gpus = gpu_request(content)
    own = [
        str(c["expression"])
        for c in content.get("placementConstraints", ())
        if c.get("type") == "memberOf" and c.get("expression")
    ]
    return ResourceRequest(
        component=component,
        gpus=gpus.slots,
        all_gpus=gpus.all,
        cpu=_number(content.get("cpu")) or sum(_number(c.get("cpu")) for c in containers),
        memory=_number(content.get("memory"))
        or sum(_number(c.get("memoryReservation") or c.get("memory")) for c in containers),
        ports=frozenset(ports),
        distinct=distinct,
        expressions=(*own, *expressions),
        providers=providers,
    )


def room_of(instance: ContainerInstance, components: Mapping[str, int]) -> Allocatable:
    """What ``instance`` has left."""
    return Allocatable(
        name=instance.arn,
        gpus=instance.gpus_free,
        gpus_in_all=instance.gpus,
        cpu=instance.cpu_free,
        memory=instance.memory_free,
        used_ports=instance.used_ports,
        components=dict(components),
        attributes={**instance.attributes, EC2_INSTANCE_ID: instance.ec2_instance_id},
        provider=instance.capacity_provider,
    )


def empty_room(name: str, size: InstanceSize, attributes: Mapping[str, str]) -> Allocatable:
    """A new instance, before anything runs on it."""
    return Allocatable(
        name=name,
        gpus=size.gpus,
        gpus_in_all=size.gpus,
        cpu=size.cpu,
        memory=size.memory,
        attributes={**attributes, INSTANCE_TYPE: size.instance_type},
    )


def largest_first(needs: Iterable[ResourceRequest]) -> list[ResourceRequest]:
    """The order in which replicas are packed: what is hardest to place comes first."""
    return sorted(needs, key=lambda n: (-n.gpus, -n.memory, -n.cpu, n.component))


def _best(need: ResourceRequest, rooms: Sequence[Allocatable]) -> int | None:
    fitting = [
        (room.gpus - need.gpus, room.memory - need.memory, room.name, index)
        for index, room in enumerate(rooms)
        if room.why_not(need) is None
    ]
    return min(fitting)[-1] if fitting else None


@dataclass(frozen=True, slots=True)
class Packing:
    """``rooms`` after placing, ``left`` found no place, ``used`` are the rooms that got any."""

    rooms: tuple[Allocatable, ...]
    left: tuple[ResourceRequest, ...]
    used: frozenset[str]


def pack(needs: Iterable[ResourceRequest], rooms: Iterable[Allocatable]) -> Packing:
    """Place what can be placed."""
    now = list(rooms)
    left: list[ResourceRequest] = []
    used: set[str] = set()
    for need in largest_first(needs):
        index = _best(need, now)
        if index is None:
            left.append(need)
            continue
        now[index] = now[index].take(need)
        used.add(now[index].name)
    return Packing(tuple(now), tuple(left), frozenset(used))


def fits_empty(
    need: ResourceRequest, size: InstanceSize, attributes: Mapping[str, str] | None = None
) -> bool:
    """Whether a replica would fit an instance of this size with nothing on it.

    The capacity provider does not matter here: its instances are what is asked about.
    """
    alone = replace(need, providers=None)
    return empty_room("", size, attributes or {}).why_not(alone) is None
