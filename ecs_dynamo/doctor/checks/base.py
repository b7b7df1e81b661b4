"""Helpers that the checks share. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.model.spec.service import LaunchType

RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.UNKNOWN: 2, Severity.OK: 3}


def unknown(check: str, observed: Unknown) -> Finding:
    """Return the finding for a check that could not be made, which never counts as ok."""
    remedy = "grant the permission (iam/doctor.json), or check manually"
    return Finding(check, Severity.UNKNOWN, observed.reason, remedy)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by severity: errors, warnings, unknown, ok."""
    return sorted(findings, key=lambda f: RANK[f.severity])


def largest(component: Component) -> int:
    """Return the component's maximum count."""
    return max(component.replicas, component.scaling.max if component.scaling else 0)


def on_instances(graph: Graph, cluster: str | None = None) -> list[Component]:
    """Return components whose tasks run on EC2 instances (of ``cluster``)."""
    return [
        c
        for c in graph.components
        if c.launch_type is LaunchType.EC2 and cluster in (None, c.cluster)
    ]


def listed(names: Iterable[str], most: int = 6) -> str:
    """Join names for a sentence, sorted; a long list is shortened."""
    ordered = sorted(set(names))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
