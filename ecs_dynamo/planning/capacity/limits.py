"""The GPU slots for which components compete, from the observed instances and the declaration.

An unknown capacity is never a limit: a cluster whose instances, groups or providers could not be
observed has none, nor has a component for which AWS adds instances itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ecs_dynamo.model.ecs.gpus import gpu_request, gpus_of
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.limits import SharedLimit, Slots
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Task, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.capacity.packing import (
    Allocatable,
    ResourceRequest,
    allocatable_of,
    is_usable,
    pack,
    resource_request,
)
from ecs_dynamo.planning.capacity.scaling_groups import find_groups
from ecs_dynamo.planning.capacity.shortage import ClusterDemand, scaled_by_aws
from ecs_dynamo.planning.observed.lookup import known_tasks


def shared_limits(
    graph: Graph, snapshot: Snapshot, before: CapacityMemory, monotonic: float
) -> tuple[SharedLimit, ...]:
    """Return the limits that at least two components share, and the declared one of the graph.

    ``before`` and ``monotonic`` are needed to tell which instances of a group are lost.
    """
    users = [c for c in graph.components if not c.declared_name and _may_use_gpus(c)]
    limits = [
        limit
        for cluster in graph.clusters
        for limit in _limits_of(cluster, users, graph, snapshot, before, monotonic)
    ]
    most = graph.capacity.max_gpus
    if most is not None:
        gpus = {c.name: gpus_of(c) for c in users}
        slots = (Slots(most, frozenset(gpus)),)
        limits.append(SharedLimit("capacity.maxGpus", gpus, slots, declared=True))
    return tuple(limits)


def _may_use_gpus(component: Component) -> bool:
    return not component.is_infrastructure and gpus_of(component) > 0


def _limits_of(
    cluster: str,
    users: Iterable[Component],
    graph: Graph,
    snapshot: Snapshot,
    before: CapacityMemory,
    monotonic: float,
) -> list[SharedLimit]:
    """Return the limits of a cluster, one for each set of components that share instances."""
    here = [
        c
        for c in users
        if c.cluster == cluster
        and c.launch_type is LaunchType.EC2
        and not scaled_by_aws(c, snapshot)
    ]
    instances = snapshot.container_instances.get(cluster)
    if len(here) < 2 or instances is None or isinstance(instances, Unknown):
        return []
    if any(c.capacity_providers for c in here) and isinstance(snapshot.providers, Unknown):
        return []
    new = _future_instances(cluster, instances, graph, snapshot, before, monotonic)
    if new is None:
        return []
    usable = [i for i in instances if is_usable(i)]
    largest = {i.gpus for i in usable if i.gpus} | {n.gpus for n in new if n.gpus}
    if len(largest) != 1 and any(gpu_request(c.template).all for c in here):
        return []  # Such a replica takes as many slots as its instance has, which differ.
    gpus = {c.name: gpus_of(c, max(largest, default=1)) for c in here}
    own = _own_slots(graph, snapshot, gpus)
    requests = {c.name: _location(c) for c in here}
    slots = [
        Slots(min(i.gpus, i.gpus_free + own.get(i.arn, 0)), _users(requests, allocatable_of(i, {})))
        for i in usable
        if i.gpus > 0
    ]
    slots += [Slots(n.gpus, _users(requests, n)) for n in new if n.gpus > 0]
    return [
        SharedLimit(f"{sum(s.count for s in part)} GPU slots of {_named(cluster)}", own_gpus, part)
        for names, part in _parts(gpus, slots)
        if len(names) > 1 and (own_gpus := {name: gpus[name] for name in names})
    ]


def _named(cluster: str) -> str:
    return f"cluster {cluster.rsplit('/', 1)[-1]}"


def _future_instances(
    cluster: str,
    instances: tuple[ContainerInstance, ...],
    graph: Graph,
    snapshot: Snapshot,
    before: CapacityMemory,
    monotonic: float,
) -> list[Allocatable] | None:
    """Return what the cluster's declared groups may add at most; None if this is unknown."""
    if all(g.cluster != cluster for g in graph.capacity.auto_scaling_groups):
        return []
    if isinstance(snapshot.groups, Unknown) or isinstance(snapshot.providers, Unknown):
        return None
    demand = ClusterDemand(cluster, instances, (), pack((), ()))
    new: list[Allocatable] = []
    for group in find_groups(graph, snapshot, demand, before, monotonic).groups:
        usable = sum(is_usable(m) for m in group.members)
        more = max(0, group.ceiling - usable)
        added = group.new_instances(more)
        if len(added) < more:
            return None  # The size of a new instance is unknown.
        new += added
    return new


def _own_slots(graph: Graph, snapshot: Snapshot, gpus: Mapping[str, int]) -> dict[str, int]:
    """Return the slots that tasks of the components take of each instance, by its ARN.

    Tasks that stop count, because their slots are about to be free.
    """
    own: dict[str, int] = {}
    for component in graph.components:
        observed = snapshot.components.get(component.name)
        if observed is None or component.origin not in gpus:
            continue
        stopped = () if isinstance(observed.stopped, Unknown) else observed.stopped
        stopping = [t for t in stopped if t.last_status != "STOPPED"]
        tasks: dict[str, Task] = {t.arn: t for t in (*stopping, *known_tasks(observed))}
        for task in tasks.values():
            if task.container_instance_arn:
                own.setdefault(task.container_instance_arn, 0)
                own[task.container_instance_arn] += gpus[component.origin]
    return own


def _location(component: Component) -> ResourceRequest:
    """Return the request of a replica, reduced to what decides where it may run at all."""
    constraints = component.settings.placement_constraints or ()
    request = resource_request(
        component.name,
        component.template,
        expressions=[c.expression for c in constraints if c.expression],
        providers=frozenset(p.name for p in component.capacity_providers) or None,
    )
    return replace(request, gpus=0, all_gpus=False, cpu=0, memory=0, ports=frozenset())


def _users(requests: Mapping[str, ResourceRequest], instance: Allocatable) -> frozenset[str]:
    return frozenset(n for n, request in requests.items() if instance.why_not(request) is None)


def _parts(
    names: Iterable[str], slots: Sequence[Slots]
) -> list[tuple[tuple[str, ...], tuple[Slots, ...]]]:
    """Return the sets of components that compete, directly or through others, and their slots."""
    parts: list[set[str]] = [{name} for name in names]
    for users in (s.usable_by for s in slots):
        joined = [p for p in parts if p & users]
        if len(joined) > 1:
            parts = [p for p in parts if not p & users] + [set[str]().union(*joined)]
    return [(tuple(sorted(part)), tuple(s for s in slots if s.usable_by & part)) for part in parts]
