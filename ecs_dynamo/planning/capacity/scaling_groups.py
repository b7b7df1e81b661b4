"""Declared Auto Scaling groups as observed: their members, and what a new instance offers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ecs_dynamo.model.capacity import AutoScalingGroup, InstanceSize
from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import AutoScalingGroupSpec
from ecs_dynamo.planning.capacity.packing import ZONE, Allocatable, empty_instance
from ecs_dynamo.planning.capacity.shortage import ClusterDemand, observed_sizes

JOIN_SECONDS = 900.0
"""An instance that has not joined its cluster for this long no longer counts: GPU instances take
some minutes to boot, and one whose agent is broken would be waited for indefinitely."""


@dataclass(frozen=True, slots=True)
class Group:
    """A declared group as observed. ``members`` are its instances that joined the cluster."""

    spec: AutoScalingGroupSpec
    state: AutoScalingGroup
    provider: str | None
    members: tuple[ContainerInstance, ...]
    lost: int = 0
    """Instances that have not joined for too long."""

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def ceiling(self) -> int:
        """The largest desired size that both the file and the group allow."""
        return min(self.spec.max, self.state.max_size)

    @property
    def floor(self) -> int:
        """The smallest desired size that both the file and the group allow."""
        return max(self.spec.min, self.state.min_size)

    @property
    def joining(self) -> int:
        """Number of requested instances that have not joined the cluster yet."""
        return max(0, self.state.desired - len(self.members) - self.lost)

    def new_instances(self, count: int, *, first: int = 0) -> list[Allocatable]:
        """Return what ``count`` new instances offer at least; nothing if their size is unknown.

        They are numbered from ``first``.
        """
        sizes = self.state.sizes or tuple(observed_sizes(self.members))
        if not sizes:
            return []
        least = InstanceSize(
            sizes[0].instance_type if len({s.instance_type for s in sizes}) == 1 else "",
            min(s.gpus for s in sizes),
            min(s.cpu for s in sizes),
            min(s.memory for s in sizes),
        )
        new = replace(
            empty_instance("", least, self._common()), provider=self.provider, gpus_total=0
        )
        return [replace(new, name=f"{self.name}#{first + n}") for n in range(count)]

    def _common(self) -> Mapping[str, str]:
        """Return the attributes that a new instance will have: those of every member."""
        if not self.members:
            zones = self.state.zones
            return {ZONE: zones[0]} if len(zones) == 1 else {}
        first, *others = (dict(m.attributes) for m in self.members)
        common = {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
        if len(self.state.zones) != 1:
            common.pop(ZONE, None)
        return common


def is_empty(instance: ContainerInstance) -> bool:
    """Return whether only daemons run on it, nothing is starting, and stopped tasks have ended."""
    return (
        instance.tasks - instance.daemons <= 0
        and instance.gpus_free == instance.gpus
        and (instance.daemons > 0 or instance.memory_free == instance.memory)
    )


def is_returning(instance: ContainerInstance, graph: Graph) -> bool:
    """Return whether this graph's daemon has set the instance to DRAINING to release it."""
    return instance.status == "DRAINING" and instance.tags.get(TAG_GRAPH) == graph.name


def fullest_zone_first(
    group: Group,
    members: Iterable[ContainerInstance],
    *,
    gone: Iterable[ContainerInstance] = (),
) -> list[str]:
    """Return the ARNs of ``members`` in the order in which to release them.

    ``members`` come in order of preference. Each one is taken from the Availability Zone that then
    has most of the group's instances, not counting those that are about to be ``gone``: EC2 Auto
    Scaling evens out the zones of a group, and would terminate instances with work to do so.
    """
    zones = {i.ec2_instance_id: i.availability_zone for i in group.state.instances}
    counts = Counter(zones[i.ec2_instance_id] for i in group.state.instances if i.lives)
    counts.subtract(zones.get(m.ec2_instance_id) for m in gone)
    left, order = list(members), []
    while left:
        fullest = max(left, key=lambda m: counts[zones.get(m.ec2_instance_id)])  # The first of it.
        left.remove(fullest)
        counts[zones.get(fullest.ec2_instance_id)] -= 1
        order.append(fullest.arn)
    return order


@dataclass(frozen=True, slots=True)
class SizedGroups:
    """The groups of a cluster that this daemon sizes, with notes on others.

    ``unjoined_since``: EC2 id -> since when an instance of a group has not joined the cluster.
    """

    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    unjoined_since: Mapping[str, float] = field(default_factory=dict)


def _unjoined(
    state: AutoScalingGroup,
    members: Sequence[ContainerInstance],
    before: CapacityMemory,
    monotonic: float,
) -> dict[str, float]:
    joined = {m.ec2_instance_id for m in members}
    return {
        i.ec2_instance_id: before.unjoined_since.get(i.ec2_instance_id, monotonic)
        for i in state.instances
        if i.lives and i.ec2_instance_id not in joined
    }


def find_groups(
    graph: Graph,
    snapshot: Snapshot,
    demand: ClusterDemand,
    before: CapacityMemory,
    monotonic: float,
) -> SizedGroups:
    """Return the cluster's declared groups, without those that ECS sizes."""
    declared = [g for g in graph.capacity.auto_scaling_groups if g.cluster == demand.name]
    if not declared:
        return SizedGroups()
    if isinstance(snapshot.groups, Unknown):
        note = f"Auto Scaling groups could not be observed: {snapshot.groups.reason}"
        return SizedGroups(notes=(note,))
    providers = snapshot.providers
    if isinstance(providers, Unknown):
        note = (
            "Auto Scaling groups are left alone, as ECS may size them: capacity providers could "
            f"not be observed: {providers.reason}"
        )
        return SizedGroups(notes=(note,))
    groups: list[Group] = []
    notes: list[str] = []
    unjoined_since: dict[str, float] = {}
    for spec in declared:
        state = snapshot.groups.get(spec.name)
        if state is None:
            notes.append(f"Auto Scaling group {spec.name} does not exist: correct capacity")
            continue
        own = next((p for p in providers.values() if p.group == spec.name), None)
        if own is not None and own.managed_scaling:
            notes.append(
                f"Auto Scaling group {spec.name} is sized by ECS (managed scaling of capacity "
                f"provider {own.name}): it is left alone; take it out of capacity"
            )
            continue
        ids = {i.ec2_instance_id for i in state.instances if i.lives}
        members = tuple(i for i in demand.instances if i.ec2_instance_id in ids)
        used = next((m.capacity_provider for m in members if m.capacity_provider), None)
        unjoined = _unjoined(state, members, before, monotonic)
        unjoined_since |= unjoined
        lost = sorted(i for i, since in unjoined.items() if monotonic - since > JOIN_SECONDS)
        if lost:
            notes.append(
                f"Auto Scaling group {spec.name}: {', '.join(lost)} did not join cluster "
                f"{demand.name} within {JOIN_SECONDS:.0f} s: look at the ECS agent there"
            )
        groups.append(Group(spec, state, own.name if own else used, members, len(lost)))
    return SizedGroups(tuple(groups), tuple(notes), unjoined_since)
