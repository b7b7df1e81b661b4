"""Checks of capacity providers and Auto Scaling groups. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ecs_dynamo.model.capacity import AutoScalingGroup, CapacityProvider
from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Snapshot, Unknown
from ecs_dynamo.model.spec.capacity import AutoScalingGroupSpec

_CHECK = "capacity"


def check_capacity(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    """Check that each declared provider and group exists, and which controller sizes it."""
    yield from _providers(graph, snapshot)
    declared, groups = graph.capacity.auto_scaling_groups, snapshot.groups
    if isinstance(groups, Unknown):
        if declared:
            yield Finding(_CHECK, Severity.UNKNOWN, groups.reason)
        return
    for group in declared:
        observed = groups.get(group.name)
        yield _group(group, observed, snapshot.providers)
        if observed is not None:
            yield from _zones(observed)


def _providers(graph: Graph, snapshot: Snapshot) -> Iterator[Finding]:
    declared = {p.name: c.cluster for c in graph.components for p in c.capacity_providers}
    providers = snapshot.providers
    if isinstance(providers, Unknown):
        if declared:
            yield Finding(_CHECK, Severity.UNKNOWN, providers.reason)
        return
    for name, cluster in sorted(declared.items()):
        provider = providers.get(name)
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


def _zones(group: AutoScalingGroup) -> Iterator[Finding]:
    """Check whether EC2 Auto Scaling may terminate busy instances after an instance is released."""
    if group.rebalances:
        yield Finding(
            _CHECK,
            Severity.WARNING,
            f"Auto Scaling group {group.name} has {len(group.zones)} Availability Zones "
            f"({', '.join(group.zones)}) and evens them out: when an empty instance is "
            "released, it may terminate a busy one in another zone, without draining it",
            "suspend its process AZRebalance (`aws autoscaling suspend-processes`), "
            "or use one group per zone",
        )


def _group(
    group: AutoScalingGroupSpec,
    observed: AutoScalingGroup | None,
    providers: Observed[Mapping[str, CapacityProvider]],
) -> Finding:
    if observed is None:
        return Finding(
            _CHECK,
            Severity.ERROR,
            f"Auto Scaling group {group.name} does not exist",
            "correct capacity.autoScalingGroups",
        )
    if isinstance(providers, Unknown):
        return Finding(
            _CHECK,
            Severity.UNKNOWN,
            f"cannot determine what sizes Auto Scaling group {group.name}: {providers.reason}",
        )
    own = next((p for p in providers.values() if p.group == group.name), None)
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
