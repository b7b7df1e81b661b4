"""What the checks share. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.model.spec.service import LaunchType

RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.UNKNOWN: 2, Severity.OK: 3}


def unknown(check: str, seen: Unknown) -> Finding:
    """It could not be looked at: never taken for good."""
    remedy = "grant the right (iam/doctor.json), or check by hand"
    return Finding(check, Severity.UNKNOWN, seen.reason, remedy)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, warnings, what is unknown, and what is fine; else in the order given."""
    return sorted(findings, key=lambda f: RANK[f.severity])


def largest(component: Component) -> int:
    """The component's count when it is scaled out."""
    return max(component.replicas, component.scaling.max if component.scaling else 0)


def on_instances(graph: Graph, cluster: str | None = None) -> list[Component]:
    """Components whose tasks run on EC2 instances (of ``cluster``)."""
    return [
        c
        for c in graph.components
        if c.launch_type is LaunchType.EC2 and cluster in (None, c.cluster)
    ]


def listed(names: Iterable[str], most: int = 6) -> str:
    """Names for a sentence, in order; a long list is cut."""
    ordered = sorted(set(names))
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
