"""Raising capacity and giving it back: the desired size of declared Auto Scaling groups. Pure.

Up: just as many instances as the replicas need that find no place, counting those that were
launched already and have not joined yet. Down: an instance goes back when it was seen empty for
the whole window, in two steps that AWS remembers for us: first it is tagged and set to DRAINING,
so that nothing more is placed on it, and in a later pass, still empty, it is terminated with the
group's desired size lowered by one. Whoever starts anew finds the steps done in AWS; only the
window begins again. A group that ECS's managed scaling sizes is left to ECS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.capacity.packing import (
    ResourceRequest,
    pack,
    room_of,
)
from ecs_dynamo.planning.capacity.scaling_groups import (
    Group,
    empty,
    fullest_zone_first,
    own_groups,
    returning,
)
from ecs_dynamo.planning.capacity.shortage import (
    ClusterNeeds,
    cluster_needs,
    scaled_by_aws,
    sizes_seen,
    types_that_do,
    usable,
    why_short,
)
from ecs_dynamo.planning.desired.component import ComponentState


@dataclass(slots=True)
class CapacityPlan:
    """What there is to say and to do about capacity."""

    shortages: dict[str, Shortage] = field(default_factory=dict)
    actions: list[AnyAction] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    memory: CapacityMemory = field(default_factory=CapacityMemory)


def plan_capacity(
    graph: Graph,
    snapshot: Snapshot,
    wanted: Sequence[ComponentState],
    before: CapacityMemory,
    now: float,
) -> CapacityPlan:
    """Shortages, and what is to be done about them. Unknown instances or groups: hands off."""
    made = CapacityPlan()
    made.notes.extend(_missing_providers(snapshot, wanted))
    empty_since: dict[str, float] = {}
    unjoined: dict[str, float] = {}
    for cluster in cluster_needs(wanted, snapshot):
        groups = own_groups(graph, snapshot, cluster, made.notes, before, now, unjoined)
        raising, kept = _raise(graph, cluster, groups, made)
        _tell(cluster, groups, wanted, snapshot, raising, made)
        rolling = any(
            w.needs_rollout or w.rollout_in_progress
            for w in wanted
            if w.component.cluster == cluster.name
        )
        for group in groups:
            resting = not cluster.packing.left and not rolling and not group.on_the_way
            _return(graph, group, kept, resting, before, now, empty_since, made)
    made.memory = CapacityMemory(empty_since, unjoined)
    return made


def _missing_providers(snapshot: Snapshot, wanted: Sequence[ComponentState]) -> list[str]:
    """ECS would refuse the service: told before it does."""
    if isinstance(snapshot.providers, Unknown):
        return [f"capacity providers could not be observed: {snapshot.providers.reason}"]
    known = snapshot.providers
    return [
        f"{w.component.name}: capacity provider {p.name} is not one of cluster "
        f"{w.component.cluster}"
        for w in wanted
        for p in w.component.capacity_providers
        if p.name not in known
    ]


def _raise(
    graph: Graph, cluster: ClusterNeeds, groups: Sequence[Group], made: CapacityPlan
) -> tuple[dict[str, str], set[str]]:
    """Who adds instances for whom, by component; and the names of instances that must stay."""
    left: tuple[ResourceRequest, ...] = cluster.packing.left
    kept = set(cluster.packing.used)
    raising: dict[str, str] = {}

    def told(
        before: tuple[ResourceRequest, ...], after: tuple[ResourceRequest, ...], text: str
    ) -> None:
        for name in {n.component for n in before}:
            count = [sum(n.component == name for n in part) for part in (before, after)]
            if count[1] < count[0]:
                raising[name] = f"{raising[name]}, {text}" if name in raising else text

    for group in groups:
        back = [room_of(m, {}) for m in group.members if returning(m, graph)]
        packing = pack(left, back)
        if packing.used:
            made.actions.append(
                SetInstancesState(
                    component=group.name,
                    reason="it was to go back, and is needed",
                    cluster=cluster.name,
                    instances=tuple(sorted(packing.used)),
                    status="ACTIVE",
                )
            )
            kept |= packing.used
            told(left, packing.left, f"an instance of {group.name} is kept after all")
            left = packing.left
        coming = [r for n in range(group.on_the_way) if (r := group.new_room(n)) is not None]
        packing = pack(left, coming)
        told(left, packing.left, f"{group.on_the_way} of {group.name} on the way")
        left = packing.left
        target, rest = _target(group, left)
        if target > group.state.desired:
            warm = min(group.state.warm, target - group.state.desired)
            more = f", {warm} of them from its warm pool" if warm else ""
            text = f"{group.name} {group.state.desired} -> {target}{more}"
            what = f"{len(left) - len(rest)} replicas need a place" if left else "its minimum"
            made.actions.append(
                SetDesiredCapacity(
                    component=group.name,
                    reason=f"{what}: {group.state.desired} -> {target} instances{more}",
                    group=group.name,
                    desired=target,
                )
            )
            told(left, rest, text)
        left = rest
    return raising, kept


def _target(
    group: Group, left: tuple[ResourceRequest, ...]
) -> tuple[int, tuple[ResourceRequest, ...]]:
    """The desired size that gives ``left`` a place as far as the bounds allow; who has none."""
    desired = group.state.desired
    target = max(desired, min(group.spec.min, group.ceiling))
    spare = max(0, group.ceiling - desired)
    offered = [r for n in range(spare) if (r := group.new_room(group.on_the_way + n)) is not None]
    packing = pack(left, offered)
    return max(target, desired + len(packing.used)), packing.left


def _tell(
    cluster: ClusterNeeds,
    groups: Sequence[Group],
    wanted: Sequence[ComponentState],
    snapshot: Snapshot,
    raising: Mapping[str, str],
    made: CapacityPlan,
) -> None:
    """A shortage for each component with replicas that find no place now."""
    sizes = dict(sizes_seen(cluster.instances))
    for group in groups:
        for size in group.state.sizes:
            sizes.setdefault(size, {})
    by_name = {w.component.name: w for w in wanted}
    for name in dict.fromkeys(n.component for n in cluster.packing.left):
        left = [n for n in cluster.packing.left if n.component == name]
        one = by_name[name]
        types = types_that_do(left[0], sizes)
        message = why_short(left, one.desired, cluster.packing.rooms, types)
        managed = scaled_by_aws(one.component, snapshot)
        who = raising.get(name)
        if managed:
            who = f"ECS adds instances through {', '.join(managed)}"
        elif who is None and groups:
            who_not = ", ".join(
                f"{g.name} is at its maximum {g.ceiling}"
                for g in groups
                if g.state.desired >= g.ceiling
            )
            message += f"; {who_not or 'none of the declared groups gives an instance for it'}"
        made.shortages[name] = Shortage(
            component=name,
            replicas=len(left),
            gpus=left[0].gpus,
            message=f"{message}; {who}" if who else message,
            instance_types=types,
            raising=who,
        )


def _return(
    graph: Graph,
    group: Group,
    kept: set[str],
    resting: bool,
    before: CapacityMemory,
    now: float,
    empty_since: dict[str, float],
    made: CapacityPlan,
) -> None:
    """Give back what is empty: drain after the window, terminate what has been drained."""
    leaving = [m for m in group.members if returning(m, graph) and m.arn not in kept]
    spare = max(0, group.state.desired - group.floor)
    order = fullest_zone_first(group, sorted(leaving, key=lambda m: m.arn))
    by_arn = {m.arn: m for m in leaving}
    for instance in (by_arn[arn] for arn in order[:spare]):
        if empty(instance):
            made.actions.append(
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
            made.waits.append(Wait(group.name, f"{instance.ec2_instance_id} drains"))
    stay = tuple(sorted(order[spare:]))
    if stay:
        made.actions.append(
            SetInstancesState(
                component=group.name,
                reason=f"the group is at its minimum {group.floor}",
                cluster=group.spec.cluster or "",
                instances=stay,
                status="ACTIVE",
            )
        )
    spare -= len(leaving)
    for member in group.members:
        if usable(member) and empty(member) and member.arn not in kept:
            empty_since[member.arn] = before.empty_since.get(member.arn, now)
    window = graph.capacity.scale_in_seconds
    ripe = sorted(
        (m for m in group.members if m.arn in empty_since and now - empty_since[m.arn] >= window),
        key=lambda m: (empty_since[m.arn], m.arn),
    )
    if not resting or spare <= 0 or not ripe:
        return
    gone = tuple(fullest_zone_first(group, ripe, gone=leaving)[:spare])
    made.actions.append(
        SetInstancesState(
            component=group.name,
            reason=f"empty for {window:.0f} s",
            cluster=group.spec.cluster or "",
            instances=gone,
            status="DRAINING",
        )
    )
