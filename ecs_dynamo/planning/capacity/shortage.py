"""Which replicas find no place, said before anything is tried. Pure.

It is told from what the instances have left, not from ECS's "unable to place a task": so it also
covers replicas that scaling has just asked for, and those whose service does not exist yet.
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
    fits_empty,
    pack,
    room_of,
)
from ecs_dynamo.planning.capacity.surge import surge_need
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import distribute
from ecs_dynamo.planning.observed.lookup import known_tasks

_SHOWN = 12
"""Instances whose free slots are listed; more would hide the sentence."""


@dataclass(frozen=True, slots=True)
class ClusterNeeds:
    """One cluster: the replicas without a place yet, what there is, and what is left over."""

    name: str
    instances: tuple[ContainerInstance, ...]
    needs: tuple[ResourceRequest, ...]
    packing: Packing


def usable(instance: ContainerInstance) -> bool:
    """ECS places tasks on it."""
    return instance.status == "ACTIVE" and instance.agent_connected


def _provider(snapshot: Snapshot, name: str) -> CapacityProvider | None:
    known = snapshot.providers
    return None if isinstance(known, Unknown) else known.get(name)


def scaled_by_aws(component: Component, snapshot: Snapshot) -> tuple[str, ...]:
    """The component's capacity providers that add instances by themselves."""
    return tuple(
        p.name
        for p in component.capacity_providers
        if (found := _provider(snapshot, p.name)) is not None and found.scales_itself
    )


def basic_need(state: ComponentState) -> ResourceRequest:
    """What one replica of the component takes, on whichever instance."""
    return replace(surge_need(state), providers=None)


def _alive(state: ComponentState) -> tuple[Task, ...]:
    return tuple(t for t in known_tasks(state.observed) if t.desired_status == "RUNNING")


def missing_needs(
    state: ComponentState, leaving: frozenset[str] = frozenset()
) -> list[ResourceRequest]:
    """A need for each replica that is wanted and is on no instance yet, or on one that leaves.

    ``leaving`` are the ARNs of instances that are DRAINING: ECS is about to replace what is there.
    """
    component, need = state.component, basic_need(state)
    alive = tuple(t for t in _alive(state) if t.container_instance_arn not in leaving)
    waiting = [t for t in alive if t.container_instance_arn is None]
    missing = max(0, state.desired - (len(alive) - len(waiting)))
    if not component.capacity_providers:
        return [need] * missing
    # ECS chose the provider of a task that waits (PROVISIONING); for the others it will.
    chosen = [t.capacity_provider for t in waiting if t.capacity_provider][:missing]
    have = Counter(t.capacity_provider for t in alive if t.capacity_provider)
    names = chosen + distribute(component.capacity_providers, dict(have), missing - len(chosen))
    return [replace(need, providers=frozenset({name})) for name in names]


def _given_back(room: Allocatable, need: ResourceRequest, count: int) -> Allocatable:
    return replace(
        room,
        gpus=room.gpus_in_all if need.all_gpus and count else room.gpus + need.gpus * count,
        cpu=room.cpu + need.cpu * count,
        memory=room.memory + need.memory * count,
        used_ports=room.used_ports - need.ports if count else room.used_ports,
    )


def _rooms(
    instances: Iterable[ContainerInstance], wanted: Sequence[ComponentState]
) -> list[Allocatable]:
    """What each usable instance has left, with what stopping tasks are about to give back."""
    on: dict[str, Counter[str]] = {}
    stopping: dict[str, Counter[str]] = {}
    for one in wanted:
        for task in known_tasks(one.observed):
            if task.container_instance_arn:
                on.setdefault(task.container_instance_arn, Counter())[one.component.name] += 1
        stopped = one.observed.stopped
        for task in () if isinstance(stopped, Unknown) else stopped:
            if task.container_instance_arn and task.last_status != "STOPPED":
                stopping.setdefault(task.container_instance_arn, Counter())[one.component.name] += 1
    needs = {one.component.name: basic_need(one) for one in wanted}
    rooms = []
    for instance in instances:
        if not usable(instance):
            continue
        room = room_of(instance, on.get(instance.arn, Counter()))
        for name, count in stopping.get(instance.arn, Counter()).items():
            room = _given_back(room, needs[name], count)
        rooms.append(room)
    return rooms


def cluster_needs(wanted: Sequence[ComponentState], snapshot: Snapshot) -> list[ClusterNeeds]:
    """Each cluster whose instances were seen, with what is wanted of them."""
    found: list[ClusterNeeds] = []
    for name, instances in snapshot.container_instances.items():
        if isinstance(instances, Unknown):
            continue
        here = [
            w
            for w in wanted
            if w.component.cluster == name and w.component.launch_type is LaunchType.EC2
        ]
        leaving = frozenset(i.arn for i in instances if i.status == "DRAINING")
        needs = [n for w in here for n in missing_needs(w, leaving)]
        packing = pack(needs, _rooms(instances, here))
        found.append(ClusterNeeds(name, instances, tuple(needs), packing))
    return found


def sizes_seen(instances: Iterable[ContainerInstance]) -> dict[InstanceSize, Mapping[str, str]]:
    """The sizes of the cluster's instances, each with the attributes of one that has it."""
    found: dict[InstanceSize, Mapping[str, str]] = {}
    for i in instances:
        if i.instance_type:
            size = InstanceSize(i.instance_type, i.gpus, i.cpu, i.memory)
            found.setdefault(size, i.attributes)
    return found


def types_that_do(
    need: ResourceRequest, sizes: Mapping[InstanceSize, Mapping[str, str]]
) -> tuple[str, ...]:
    """Instance types on which the replica would fit."""
    return tuple(sorted({s.instance_type for s, has in sizes.items() if fits_empty(need, s, has)}))


def _free_slots(rooms: Sequence[Allocatable]) -> str:
    free = sorted((room.gpus for room in rooms), reverse=True)
    more = f" and {len(free) - _SHOWN} more" if len(free) > _SHOWN else ""
    return ", ".join(map(str, free[:_SHOWN])) + more


def why_short(
    left: Sequence[ResourceRequest],
    desired: int,
    rooms: Sequence[Allocatable],
    types: Sequence[str],
) -> str:
    """The sentence about a component's replicas that find no place."""
    need = left[0]
    slots = f" ({need.gpus} GPU slot{'s' * (need.gpus != 1)} each)" if need.gpus else ""
    if need.all_gpus:
        slots = " (all GPUs of an instance each)"
    text = f"{len(left)} of {desired} replicas do not fit{slots}: "
    if not rooms:
        text += "the cluster has no active instance"
    else:
        reasons = Counter(r for room in rooms if (r := room.why_not(need)) is not None)
        text += ", ".join(
            f"{why} on {count} instance{'s' * (count != 1)}" for why, count in reasons.most_common()
        )
        if reasons["GPU"]:
            text += f" (free slots: {_free_slots(rooms)})"
    return text + (
        f"; {' or '.join(types)} would do" if types else "; no instance type of the cluster does"
    )
