"""Which replicas no instance can run, predicted before anything is tried.

The prediction uses what the instances have left, and not ECS's "unable to place a task". It
therefore also covers replicas that scaling has just requested, and those of services that do not
exist yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecs_dynamo.model.capacity import CapacityProvider, InstanceSize
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Task, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.capacity.packing import (
    Allocatable,
    Packing,
    ResourceRequest,
    allocatable_of,
    count_reasons,
    describe_reasons,
    fits_empty,
    is_usable,
    pack,
)
from ecs_dynamo.planning.capacity.surge import surge_request
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import distribute

_SHOWN_INSTANCES = 12
"""Number of instances whose free slots a message lists."""


@dataclass(frozen=True, slots=True)
class ClusterDemand:
    """The requests of replicas that run on no instance of a cluster yet, and their packing."""

    name: str
    instances: tuple[ContainerInstance, ...]
    requests: tuple[ResourceRequest, ...]
    packing: Packing


def _provider(snapshot: Snapshot, name: str) -> CapacityProvider | None:
    known = snapshot.providers
    return None if isinstance(known, Unknown) else known.get(name)


def scaled_by_aws(component: Component, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the component's capacity providers for which AWS adds instances itself."""
    return tuple(
        p.name
        for p in component.capacity_providers
        if (known := _provider(snapshot, p.name)) is not None and known.scales_itself
    )


def basic_request(state: ComponentState) -> ResourceRequest:
    """Return what one replica of the component uses, whatever the capacity provider."""
    return replace(surge_request(state), providers=None)


def missing_requests(
    state: ComponentState, draining: frozenset[str] = frozenset()
) -> list[ResourceRequest]:
    """Return a request for each desired replica that is on no instance, or on a draining one.

    ``draining`` are the ARNs of draining instances: ECS is about to replace their tasks.
    """
    component, request = state.component, basic_request(state)
    alive = [
        t
        for t in state.observed.tasks
        if t.desired_status == "RUNNING" and t.container_instance_arn not in draining
    ]
    waiting = [t for t in alive if t.container_instance_arn is None]
    missing = max(0, state.desired - (len(alive) - len(waiting)))
    if not component.capacity_providers:
        return [request] * missing
    # ECS has chosen the provider of a task that waits (PROVISIONING), and will choose the others.
    chosen = [t.capacity_provider for t in waiting if t.capacity_provider][:missing]
    current = Counter(t.capacity_provider for t in alive if t.capacity_provider)
    count = missing - len(chosen)
    names = chosen + distribute(component.capacity_providers, dict(current), count)
    return [replace(request, providers=frozenset({name})) for name in names]


def _with_returned(instance: Allocatable, request: ResourceRequest, count: int) -> Allocatable:
    """Return what an instance has left once ``count`` replicas have stopped."""
    all_gpus = request.all_gpus and count > 0
    return replace(
        instance,
        gpus=instance.gpus_total if all_gpus else instance.gpus + request.gpus * count,
        cpu=instance.cpu + request.cpu * count,
        memory=instance.memory + request.memory * count,
        used_ports=instance.used_ports - request.ports if count else instance.used_ports,
    )


def _allocatable(
    instances: Iterable[ContainerInstance], states: Sequence[ComponentState]
) -> list[Allocatable]:
    """Return what each usable instance has left, including what stopping tasks will return."""
    placed: dict[str, Counter[str]] = {}
    stopping: dict[str, Counter[str]] = {}

    def count(counts: dict[str, Counter[str]], name: str, task: Task) -> None:
        if task.container_instance_arn:
            counts.setdefault(task.container_instance_arn, Counter())[name] += 1

    for state in states:
        for task in state.observed.tasks:
            count(placed, state.name, task)
        stopped = state.observed.snapshot.stopped
        for task in () if isinstance(stopped, Unknown) else stopped:
            if task.last_status != "STOPPED":
                count(stopping, state.name, task)
    requests = {s.name: basic_request(s) for s in states}
    allocatable = []
    for instance in filter(is_usable, instances):
        left = allocatable_of(instance, placed.get(instance.arn, Counter()))
        for name, stopped_count in stopping.get(instance.arn, Counter()).items():
            left = _with_returned(left, requests[name], stopped_count)
        allocatable.append(left)
    return allocatable


def cluster_demands(states: Sequence[ComponentState], snapshot: Snapshot) -> list[ClusterDemand]:
    """Return the demand for each cluster whose instances were observed."""
    demands: list[ClusterDemand] = []
    for name, instances in snapshot.container_instances.items():
        if isinstance(instances, Unknown):
            continue
        here = [
            s
            for s in states
            if s.component.cluster == name and s.component.launch_type is LaunchType.EC2
        ]
        draining = frozenset(i.arn for i in instances if i.status == "DRAINING")
        requests = [r for s in here for r in missing_requests(s, draining)]
        packing = pack(requests, _allocatable(instances, here))
        demands.append(ClusterDemand(name, instances, tuple(requests), packing))
    return demands


def observed_sizes(
    instances: Iterable[ContainerInstance],
) -> dict[InstanceSize, Mapping[str, str]]:
    """Return the sizes of the instances, each with the attributes of one that has it."""
    sizes: dict[InstanceSize, Mapping[str, str]] = {}
    for i in instances:
        if i.instance_type:
            size = InstanceSize(i.instance_type, i.gpus, i.cpu, i.memory)
            sizes.setdefault(size, i.attributes)
    return sizes


def fitting_types(
    request: ResourceRequest, sizes: Mapping[InstanceSize, Mapping[str, str]]
) -> tuple[str, ...]:
    """Return the instance types on which the replica would fit."""
    fitting = {
        s.instance_type for s, attributes in sizes.items() if fits_empty(request, s, attributes)
    }
    return tuple(sorted(fitting))


def _free_slots(allocatable: Sequence[Allocatable]) -> str:
    free = sorted((instance.gpus for instance in allocatable), reverse=True)
    hidden = len(free) - _SHOWN_INSTANCES
    more = f" and {hidden} more" if hidden > 0 else ""
    return ", ".join(map(str, free[:_SHOWN_INSTANCES])) + more


def shortage_message(
    unplaced: Sequence[ResourceRequest],
    desired: int,
    allocatable: Sequence[Allocatable],
    types: Sequence[str],
) -> str:
    """Return the message about a component's unplaced replicas."""
    request = unplaced[0]
    slots = f" ({request.gpus} GPU slot{'s' * (request.gpus != 1)} each)" if request.gpus else ""
    if request.all_gpus:
        slots = " (all GPUs of an instance each)"
    text = f"{len(unplaced)} of {desired} replicas do not fit{slots}: "
    if not allocatable:
        text += "the cluster has no active instance"
    else:
        reasons = count_reasons(request, allocatable)
        text += describe_reasons(reasons)
        if reasons["GPU"]:
            text += f" (free slots: {_free_slots(allocatable)})"
    return text + (
        f"; {' or '.join(types)} would fit"
        if types
        else "; no instance type of the cluster would fit"
    )
