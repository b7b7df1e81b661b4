"""The desired size of declared Auto Scaling groups: adding and releasing instances.

Up: exactly as many instances as the unplaced replicas need, counting those that were launched
already and have not joined the cluster yet.

Down: an instance is released after it was observed empty for a whole window, in two steps that AWS
records. First it is tagged and set to DRAINING, so that nothing more is placed on it. In a later
pass, still empty, it is terminated, and the desired size of the group is lowered by one. A new
daemon finds these steps in AWS; only the window begins again.

A group that is sized by ECS's managed scaling is left to ECS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ecs_dynamo.model.capacity import Shortage
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.plan import (
    AnyAction,
    SetDesiredCapacity,
    SetInstancesState,
    TerminateInstance,
    Wait,
)
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.capacity.packing import (
    ResourceRequest,
    allocatable_of,
    is_usable,
    pack,
)
from ecs_dynamo.planning.capacity.scaling_groups import (
    Group,
    find_groups,
    fullest_zone_first,
    is_empty,
    is_returning,
)
from ecs_dynamo.planning.capacity.shortage import (
    ClusterDemand,
    cluster_demands,
    fitting_types,
    observed_sizes,
    scaled_by_aws,
    shortage_message,
)
from ecs_dynamo.planning.desired.component import ComponentState


@dataclass(frozen=True, slots=True)
class CapacityPlan:
    """Shortages by component, actions and waits of Auto Scaling groups, notes, and the memory."""

    shortages: Mapping[str, Shortage] = field(default_factory=dict)
    actions: tuple[AnyAction, ...] = ()
    waits: tuple[Wait, ...] = ()
    notes: tuple[str, ...] = ()
    memory: CapacityMemory = field(default_factory=CapacityMemory)


@dataclass(frozen=True, slots=True)
class _Raise:
    """The actions that raise groups, and what they achieve.

    ``raising``: component -> who adds instances for it. ``kept``: names of instances that stay.
    """

    actions: tuple[AnyAction, ...]
    raising: Mapping[str, str]
    kept: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Release:
    """The actions that release instances of a group, and since when its instances are empty."""

    actions: tuple[AnyAction, ...]
    waits: tuple[Wait, ...]
    empty_since: Mapping[str, float]


def plan_capacity(
    graph: Graph,
    snapshot: Snapshot,
    states: Sequence[ComponentState],
    before: CapacityMemory,
    monotonic: float,
) -> CapacityPlan:
    """Return the shortages and what is done about them.

    Clusters whose instances are unknown, and unknown groups, are left alone.
    """
    notes = _missing_providers(snapshot, states)
    actions: list[AnyAction] = []
    waits: list[Wait] = []
    shortages: dict[str, Shortage] = {}
    empty_since: dict[str, float] = {}
    unjoined_since: dict[str, float] = {}
    for demand in cluster_demands(states, snapshot):
        sized = find_groups(graph, snapshot, demand, before, monotonic)
        notes += sized.notes
        unjoined_since |= sized.unjoined_since
        raised = _raise(graph, demand, sized.groups)
        actions += raised.actions
        shortages |= _shortages(demand, sized.groups, states, snapshot, raised.raising)
        here = [s for s in states if s.component.cluster == demand.name]
        rolling = any(s.needs_rollout or s.rollout_in_progress for s in here)
        for group in sized.groups:
            may_shrink = not demand.packing.unplaced and not rolling and not group.joining
            released = _release_empty(
                graph, group, raised.kept, before, monotonic, may_shrink=may_shrink
            )
            actions += released.actions
            waits += released.waits
            empty_since |= released.empty_since
    return CapacityPlan(
        shortages=shortages,
        actions=tuple(actions),
        waits=tuple(waits),
        notes=tuple(notes),
        memory=CapacityMemory(empty_since, unjoined_since),
    )


def _missing_providers(snapshot: Snapshot, states: Sequence[ComponentState]) -> list[str]:
    """Return notes on declared capacity providers that ECS would reject."""
    known = snapshot.providers
    if isinstance(known, Unknown):
        return [f"capacity providers could not be observed: {known.reason}"]
    return [
        f"{s.name}: capacity provider {p.name} is not one of cluster {s.component.cluster}"
        for s in states
        for p in s.component.capacity_providers
        if p.name not in known
    ]


def _gains(
    before: Iterable[ResourceRequest], after: Sequence[ResourceRequest], text: str
) -> dict[str, str]:
    """Return ``text`` for each component with fewer unplaced replicas ``after`` than ``before``."""
    counts: dict[str, int] = {}
    for request in before:
        counts[request.component] = counts.get(request.component, 0) + 1
    left = [request.component for request in after]
    return {name: text for name, count in counts.items() if left.count(name) < count}


def _raise(graph: Graph, demand: ClusterDemand, groups: Sequence[Group]) -> _Raise:
    """Raise groups for unplaced replicas; the cheapest capacity is used first.

    That is an instance that was being released, then one that is joining, then a new one.
    """
    actions: list[AnyAction] = []
    unplaced = demand.packing.unplaced
    kept = set(demand.packing.used)
    raising: dict[str, str] = {}

    def note_gains(after: Sequence[ResourceRequest], text: str) -> None:
        for name, gain in _gains(unplaced, after, text).items():
            raising[name] = f"{raising[name]}, {gain}" if name in raising else gain

    for group in groups:
        returning = [allocatable_of(m, {}) for m in group.members if is_returning(m, graph)]
        packing = pack(unplaced, returning)
        if packing.used:
            actions.append(
                SetInstancesState(
                    component=group.name,
                    reason="it was being returned and is needed again",
                    cluster=demand.name,
                    instances=tuple(sorted(packing.used)),
                    status="ACTIVE",
                )
            )
            kept |= packing.used
            note_gains(packing.unplaced, f"an instance of {group.name} is kept after all")
            unplaced = packing.unplaced
        packing = pack(unplaced, group.new_instances(group.joining))
        note_gains(packing.unplaced, f"{group.joining} instances of {group.name} are starting")
        unplaced = packing.unplaced
        target, rest = _target(group, unplaced)
        if target > group.state.desired:
            warm = min(group.state.warm, target - group.state.desired)
            more = f", {warm} of them from its warm pool" if warm else ""
            change = f"{group.state.desired} -> {target}"
            placed = len(unplaced) - len(rest)
            cause = f"{placed} replicas need capacity" if unplaced else "its minimum"
            actions.append(
                SetDesiredCapacity(
                    component=group.name,
                    reason=f"{cause}: {change} instances{more}",
                    group=group.name,
                    desired=target,
                )
            )
            note_gains(rest, f"{group.name} {change}{more}")
        unplaced = rest
    return _Raise(tuple(actions), raising, frozenset(kept))


def _target(
    group: Group, unplaced: tuple[ResourceRequest, ...]
) -> tuple[int, tuple[ResourceRequest, ...]]:
    """Return the size that places ``unplaced`` as far as the bounds allow, and what remains."""
    desired = group.state.desired
    target = max(desired, min(group.spec.min, group.ceiling))
    spare = max(0, group.ceiling - desired)
    packing = pack(unplaced, group.new_instances(spare, first=group.joining))
    return max(target, desired + len(packing.used)), packing.unplaced


def _shortages(
    demand: ClusterDemand,
    groups: Sequence[Group],
    states: Sequence[ComponentState],
    snapshot: Snapshot,
    raising: Mapping[str, str],
) -> dict[str, Shortage]:
    """Return a shortage for each component with replicas that no instance can run now."""
    sizes = dict(observed_sizes(demand.instances))
    for group in groups:
        for size in group.state.sizes:
            sizes.setdefault(size, {})
    by_name = {s.name: s for s in states}
    shortages: dict[str, Shortage] = {}
    for name in dict.fromkeys(r.component for r in demand.packing.unplaced):
        unplaced = [r for r in demand.packing.unplaced if r.component == name]
        state = by_name[name]
        types = fitting_types(unplaced[0], sizes)
        message = shortage_message(unplaced, state.desired, demand.packing.allocatable, types)
        managed = scaled_by_aws(state.component, snapshot)
        who = raising.get(name)
        if managed:
            who = f"ECS adds instances through {', '.join(managed)}"
        elif who is None and groups:
            at_maximum = ", ".join(
                f"{g.name} is at its maximum {g.ceiling}"
                for g in groups
                if g.state.desired >= g.ceiling
            )
            message += f"; {at_maximum or 'none of the declared groups can add an instance for it'}"
        shortages[name] = Shortage(
            component=name,
            replicas=len(unplaced),
            gpus=unplaced[0].gpus,
            message=f"{message}; {who}" if who else message,
            instance_types=types,
            raising=who,
        )
    return shortages


def _release_empty(
    graph: Graph,
    group: Group,
    kept: frozenset[str],
    before: CapacityMemory,
    monotonic: float,
    *,
    may_shrink: bool,
) -> _Release:
    """Release empty instances: drain them after the window, and terminate drained ones.

    ``may_shrink``: nothing in the cluster waits for capacity, rolls out or is joining.
    """
    returning = [m for m in group.members if is_returning(m, graph) and m.arn not in kept]
    spare = max(0, group.state.desired - group.floor)
    order = fullest_zone_first(group, sorted(returning, key=lambda m: m.arn))
    by_arn = {m.arn: m for m in returning}
    actions: list[AnyAction] = []
    waits: list[Wait] = []
    for instance in (by_arn[arn] for arn in order[:spare]):
        if is_empty(instance):
            actions.append(
                TerminateInstance(
                    component=group.name,
                    reason="drained and empty",
                    group=group.name,
                    cluster=group.spec.cluster or "",
                    instance=instance.arn,
                    ec2_instance_id=instance.ec2_instance_id,
                    floor=group.floor,
                )
            )
        else:
            text = f"{instance.ec2_instance_id} drains"
            waits.append(Wait(group.name, text, WaitPurpose.INSTANCE_DRAINS))
    if needed := tuple(sorted(order[spare:])):
        reason = f"the group is at its minimum {group.floor}"
        actions.append(_set_state(group, needed, "ACTIVE", reason))
    empty_since = {
        m.arn: before.empty_since.get(m.arn, monotonic)
        for m in group.members
        if is_usable(m) and is_empty(m) and m.arn not in kept
    }
    window = graph.capacity.scale_in_seconds
    ripe = sorted(
        (
            m
            for m in group.members
            if m.arn in empty_since and monotonic - empty_since[m.arn] >= window
        ),
        key=lambda m: (empty_since[m.arn], m.arn),
    )
    spare -= len(returning)
    if may_shrink and spare > 0 and ripe:
        drained = tuple(fullest_zone_first(group, ripe, gone=returning)[:spare])
        actions.append(_set_state(group, drained, "DRAINING", f"empty for {window:.0f} s"))
    return _Release(tuple(actions), tuple(waits), empty_since)


def _set_state(
    group: Group, instances: tuple[str, ...], status: str, reason: str
) -> SetInstancesState:
    return SetInstancesState(
        component=group.name,
        reason=reason,
        cluster=group.spec.cluster or "",
        instances=instances,
        status=status,
    )
