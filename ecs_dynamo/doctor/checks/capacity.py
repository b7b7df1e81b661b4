"""Checks of capacity providers and Auto Scaling groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import AutoScalingGroupSpec

_CHECK = "capacity"


def check_capacity(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Check that each declared provider and group exists, and which controller sizes it."""
    yield from _providers(graph, snapshot)
    if graph.capacity.auto_scaling_groups and isinstance(snapshot.groups, Unknown):
        yield Finding(_CHECK, Severity.UNKNOWN, snapshot.groups.reason)
        return
    for group in graph.capacity.auto_scaling_groups:
        yield _group(group, snapshot)
        yield from _zones(group, snapshot)


def _providers(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    declared = {p.name: c.cluster for c in graph.components for p in c.capacity_providers}
    if declared and isinstance(snapshot.providers, Unknown):
        yield Finding(_CHECK, Severity.UNKNOWN, snapshot.providers.reason)
        return
    for name, cluster in sorted(declared.items()):
        provider = None if isinstance(snapshot.providers, Unknown) else snapshot.providers.get(name)
        if provider is None:
            yield Finding(
                _CHECK,
                Severity.ERROR,
                f"capacity provider {name} is not one of cluster {cluster}",
                "create it, and attach it with `aws ecs put-cluster-capacity-providers`",
            )
        elif provider.type == "EC2_AUTOSCALING" and not provider.managed_scaling:
            yield Finding(
                _CHECK,
                Severity.WARNING,
                f"capacity provider {name} has no managed scaling: nothing adds instances",
                f"enable it, or declare {provider.group} under capacity.autoScalingGroups",
            )
        else:
            yield Finding(_CHECK, Severity.OK, f"capacity provider {name} ({provider.type})")


def _zones(group: AutoScalingGroupSpec, snapshot: Snapshot) -> Iterator[Finding]:
    """Check whether EC2 Auto Scaling may terminate busy instances after an instance is released."""
    observed = None if isinstance(snapshot.groups, Unknown) else snapshot.groups.get(group.name)
    if observed is not None and observed.rebalances:
        yield Finding(
            _CHECK,
            Severity.WARNING,
            f"Auto Scaling group {group.name} has {len(observed.zones)} Availability Zones "
            f"({', '.join(observed.zones)}) and evens them out: when an empty instance is "
            "released, it may terminate a busy one in another zone, without draining it",
            "suspend its process AZRebalance (`aws autoscaling suspend-processes`), "
            "or use one group per zone",
        )


def _group(group: AutoScalingGroupSpec, snapshot: Snapshot) -> Finding:
    groups = {} if isinstance(snapshot.groups, Unknown) else snapshot.groups
    observed = groups.get(group.name)
    if observed is None:
        return Finding(
            _CHECK,
            Severity.ERROR,
            f"Auto Scaling group {group.name} does not exist",
            "correct capacity.autoScalingGroups",
        )
    if isinstance(snapshot.providers, Unknown):
        return Finding(
            _CHECK,
            Severity.UNKNOWN,
            f"cannot determine what sizes Auto Scaling group {group.name}: "
            f"{snapshot.providers.reason}",
        )
    own = next((p for p in snapshot.providers.values() if p.group == group.name), None)
    if own is not None and own.managed_scaling:
        return Finding(
            _CHECK,
            Severity.ERROR,
            f"ECS sizes Auto Scaling group {group.name} (capacity provider {own.name})",
            "remove it from capacity.autoScalingGroups, or disable managed scaling",
        )
    text = f"Auto Scaling group {group.name}: {observed.desired} of {group.min} to {group.max}"
    if observed.max_size < group.max or observed.min_size > group.min:
        return Finding(
            _CHECK,
            Severity.WARNING,
            f"{text}; its own bounds, {observed.min_size} to {observed.max_size}, apply as well",
            "set both to the same values",
        )
    return Finding(_CHECK, Severity.OK, text)
