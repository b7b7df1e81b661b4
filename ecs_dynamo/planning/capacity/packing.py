"""Requests of replicas, allocatable resources of instances, and which replicas fit.

The packing is best-fit, largest first. A replica that does not fit would not fit even if ECS placed
tasks well, so a reported shortage is one. ECS may still place tasks worse; its own event then
reports the shortage.
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
from ecs_dynamo.model.ecs.task_definition import containers_in
from ecs_dynamo.model.graph import JsonObject, network_mode_of
from ecs_dynamo.model.snapshot import ContainerInstance

_NUMBER = re.compile(r"[0-9]{0,9}\.?[0-9]{1,9}")
INSTANCE_TYPE = "ecs.instance-type"
ZONE = "ecs.availability-zone"


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """The resources of one replica: ``cpu`` in units, ``memory`` in MiB, ``ports`` of the host.

    ``gpus`` are slots. With ``all_gpus`` it uses all slots of its instance, and fits only if none
    of them is taken. ``distinct``: one replica per instance. ``providers``: the capacity providers
    whose instances it may use; None allows any instance.
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
    """The free resources of an instance. ``components`` counts its replicas by component."""

    name: str
    gpus: int
    cpu: int
    memory: int
    used_ports: frozenset[int] = frozenset()
    components: Mapping[str, int] | None = None
    attributes: Mapping[str, str] | None = None
    provider: str | None = None
    gpus_total: int = 0
    """GPU slots of the instance, free or taken."""

    def why_not(self, request: ResourceRequest) -> str | None:
        """Return what the instance lacks for a replica, in words; None if it fits."""
        attributes = self.attributes or {}
        if request.providers is not None and self.provider not in request.providers:
            return "capacity provider"
        if not all(holds(text, attributes) for text in request.expressions):
            return "placement constraint"
        if request.gpus > self.gpus or (request.all_gpus and self.gpus < self.gpus_total):
            return "GPU"
        if request.cpu > self.cpu:
            return "CPU"
        if request.memory > self.memory:
            return "memory"
        if request.ports & self.used_ports:
            return "host port"
        if request.distinct and (self.components or {}).get(request.component):
            return "one replica per instance"
        return None

    def take(self, request: ResourceRequest) -> Allocatable:
        """Return the free resources after placing a replica here."""
        counts = Counter(self.components or {})
        counts[request.component] += 1
        return replace(
            self,
            gpus=0 if request.all_gpus else self.gpus - request.gpus,
            cpu=self.cpu - request.cpu,
            memory=self.memory - request.memory,
            used_ports=self.used_ports | request.ports,
            components=counts,
        )


def _number(value: object) -> int:
    """Return CPU or memory as task definitions write them: 1024, "1 vCPU", "2 GB".

    Anything else is 0: a revision that somebody else registered must not end a pass.
    """
    text = str(value or 0).strip().lower()
    unit = next((u for u in ("vcpu", "gb") if text.endswith(u)), "")
    number = text.removesuffix(unit).strip()
    if not _NUMBER.fullmatch(number):
        return 0
    return int(float(number) * (1024 if unit else 1))


def resource_request(
    component: str,
    content: JsonObject,
    *,
    distinct: bool = False,
    expressions: Sequence[str] = (),
    providers: frozenset[str] | None = None,
) -> ResourceRequest:
    """Return what a replica of a task definition uses of an EC2 instance."""
    containers = containers_in(content)
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


def is_usable(instance: ContainerInstance) -> bool:
    """Return whether ECS places tasks on the instance."""
    return instance.status == "ACTIVE" and instance.agent_connected


def allocatable_of(instance: ContainerInstance, components: Mapping[str, int]) -> Allocatable:
    """Return what ``instance`` has left; ``components`` counts its replicas by component."""
    return Allocatable(
        name=instance.arn,
        gpus=instance.gpus_free,
        gpus_total=instance.gpus,
        cpu=instance.cpu_free,
        memory=instance.memory_free,
        used_ports=instance.used_ports,
        components=dict(components),
        attributes={**instance.attributes, EC2_INSTANCE_ID: instance.ec2_instance_id},
        provider=instance.capacity_provider,
    )


def empty_instance(name: str, size: InstanceSize, attributes: Mapping[str, str]) -> Allocatable:
    """Return what a new instance offers before anything runs on it."""
    return Allocatable(
        name=name,
        gpus=size.gpus,
        gpus_total=size.gpus,
        cpu=size.cpu,
        memory=size.memory,
        attributes={**attributes, INSTANCE_TYPE: size.instance_type},
    )


def count_reasons(request: ResourceRequest, instances: Iterable[Allocatable]) -> Counter[str]:
    """Return what instances lack for a replica, in words, each with the number of instances."""
    return Counter(why for i in instances if (why := i.why_not(request)) is not None)


def describe_reasons(reasons: Counter[str]) -> str:
    """Return the result of `count_reasons` in words, the most frequent one first."""
    return ", ".join(
        f"{why} on {count} instance{'s' * (count != 1)}" for why, count in reasons.most_common()
    )


def largest_first(requests: Iterable[ResourceRequest]) -> list[ResourceRequest]:
    """Return the order in which replicas are packed: the one that is hardest to place is first."""
    return sorted(requests, key=lambda r: (-r.gpus, -r.memory, -r.cpu, r.component))


def _best(request: ResourceRequest, instances: Sequence[Allocatable]) -> int | None:
    """Return the index of the fitting instance that would have least left."""
    fitting = [
        (instance.gpus - request.gpus, instance.memory - request.memory, instance.name, index)
        for index, instance in enumerate(instances)
        if instance.why_not(request) is None
    ]
    return min(fitting)[-1] if fitting else None


@dataclass(frozen=True, slots=True)
class Packing:
    """Free resources of instances after placing, and the requests that are ``unplaced``.

    ``used``: names of the instances that got a replica.
    """

    allocatable: tuple[Allocatable, ...]
    unplaced: tuple[ResourceRequest, ...]
    used: frozenset[str]


def pack(requests: Iterable[ResourceRequest], allocatable: Iterable[Allocatable]) -> Packing:
    """Place as many requests as possible."""
    instances = list(allocatable)
    unplaced: list[ResourceRequest] = []
    used: set[str] = set()
    for request in largest_first(requests):
        index = _best(request, instances)
        if index is None:
            unplaced.append(request)
            continue
        instances[index] = instances[index].take(request)
        used.add(instances[index].name)
    return Packing(tuple(instances), tuple(unplaced), frozenset(used))


def fits_empty(
    request: ResourceRequest, size: InstanceSize, attributes: Mapping[str, str] | None = None
) -> bool:
    """Return whether a replica would fit on an empty instance of this size.

    The capacity provider does not matter, because the question is about its instances.
    """
    alone = replace(request, providers=None)
    return empty_instance("", size, attributes or {}).why_not(alone) is None
