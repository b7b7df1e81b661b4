"""Declared Auto Scaling groups as they are now: who joined, what a new instance offers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.model.capacity import (
    AutoScalingGroup,
    CapacityProvider,
    InstanceSize,
)
from ecs_dynamo.model.graph import TAG_GRAPH, Graph
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import AutoScalingGroupSpec
from ecs_dynamo.planning.capacity.packing import (
    ZONE,
    Allocatable,
    empty_room,
)
from ecs_dynamo.planning.capacity.shortage import (
    ClusterNeeds,
    sizes_seen,
)

JOIN_SECONDS = 900.0
"""An instance that has not joined its cluster for this long is not counted on any more: GPU
instances take some minutes to boot, and one whose agent is broken would be waited for for ever."""


@dataclass(frozen=True, slots=True)
class Group:
    """A declared group as it is now. ``members`` are its instances that joined the cluster."""

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
        return max(self.spec.min, self.state.min_size)

    @property
    def on_the_way(self) -> int:
        """Instances that are asked for and have not joined the cluster yet."""
        return max(0, self.state.desired - len(self.members) - self.lost)

    def new_room(self, number: int) -> Allocatable | None:
        """What a new instance offers at least; None where that is not known."""
        sizes = self.state.sizes or tuple(sizes_seen(self.members))
        if not sizes:
            return None
        least = InstanceSize(
            sizes[0].instance_type if len({s.instance_type for s in sizes}) == 1 else "",
            min(s.gpus for s in sizes),
            min(s.cpu for s in sizes),
            min(s.memory for s in sizes),
        )
        made = empty_room(f"{self.name}#{number}", least, self._common())
        return Allocatable(
            made.name,
            made.gpus,
            made.cpu,
            made.memory,
            attributes=made.attributes,
            provider=self.provider,
        )

    def _common(self) -> Mapping[str, str]:
        """Attributes that every instance of the group has: what a new one may be counted on for."""
        if not self.members:
            zones = self.state.zones
            return {ZONE: zones[0]} if len(zones) == 1 else {}
        first, *others = (dict(m.attributes) for m in self.members)
        common = {k: v for k, v in first.items() if all(o.get(k) == v for o in others)}
        if len(self.state.zones) != 1:
            common.pop(ZONE, None)
        return common


def empty(instance: ContainerInstance) -> bool:
    """Nothing runs on it, or is about to, but daemons; and what was stopped has ended."""
    return (
        instance.tasks - instance.daemons <= 0
        and instance.gpus_free == instance.gpus
        and (instance.daemons > 0 or instance.memory_free == instance.memory)
    )


def returning(instance: ContainerInstance, graph: Graph) -> bool:
    """It is on its way out, and this graph's daemon put it there."""
    return instance.status == "DRAINING" and instance.tags.get(TAG_GRAPH) == graph.name


def fullest_zone_first(
    group: Group,
    members: Iterable[ContainerInstance],
    *,
    gone: Iterable[ContainerInstance] = (),
) -> list[str]:
    """ARNs of ``members`` in the order in which to give them back; they come in order of rank.

    Each is taken from the Availability Zone that has most of the group's instances then, without
    those that are as good as ``gone``: EC2 Auto Scaling evens out the zones of a group, and
    terminates instances with work to do so.
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


def _lost(
    state: AutoScalingGroup,
    members: Sequence[ContainerInstance],
    before: CapacityMemory,
    now: float,
    unjoined: dict[str, float],
) -> list[str]:
    """EC2 ids of what should have joined the cluster long ago."""
    joined = {m.ec2_instance_id for m in members}
    lost: list[str] = []
    for instance in state.instances:
        name = instance.ec2_instance_id
        if instance.lives and name not in joined:
            unjoined[name] = before.unjoined_since.get(name, now)
            if now - unjoined[name] > JOIN_SECONDS:
                lost.append(name)
    return sorted(lost)


def own_groups(
    graph: Graph,
    snapshot: Snapshot,
    cluster: ClusterNeeds,
    notes: list[str],
    before: CapacityMemory,
    now: float,
    unjoined: dict[str, float],
) -> list[Group]:
    """The cluster's declared groups that are this daemon's to size."""
    declared = [g for g in graph.capacity.auto_scaling_groups if g.cluster == cluster.name]
    if not declared:
        return []
    if isinstance(snapshot.groups, Unknown):
        notes.append(f"Auto Scaling groups could not be observed: {snapshot.groups.reason}")
        return []
    if isinstance(snapshot.providers, Unknown):
        notes.append(
            "Auto Scaling groups are left alone, as ECS may size them: capacity providers could "
            f"not be observed: {snapshot.providers.reason}"
        )
        return []
    providers: Mapping[str, CapacityProvider] = snapshot.providers
    found: list[Group] = []
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
        members = tuple(i for i in cluster.instances if i.ec2_instance_id in ids)
        seen = next((m.capacity_provider for m in members if m.capacity_provider), None)
        lost = _lost(state, members, before, now, unjoined)
        if lost:
            notes.append(
                f"Auto Scaling group {spec.name}: {', '.join(lost)} did not join cluster "
                f"{cluster.name} within {JOIN_SECONDS:.0f} s: look at the ECS agent there"
            )
        found.append(Group(spec, state, own.name if own else seen, members, len(lost)))
    return found
