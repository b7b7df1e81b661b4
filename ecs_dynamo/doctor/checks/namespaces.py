"""Check that no other Dynamo namespace in the graph's etcd matches the frontends' prefix. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ecs_dynamo.model.doctor import Finding, Severity
from ecs_dynamo.model.generations import GenerationMode
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown
from ecs_dynamo.planning.desired.generations.clashes import (
    REMEDY,
    find_clash,
    why_adoption_waits,
)


def check_namespaces(graph: Graph, namespaces: Observed[frozenset[str]]) -> Iterator[Finding]:
    """Check the namespaces in etcd against the prefixes of ``graph``, the effective graph."""
    mode = graph.generations.mode
    if mode is GenerationMode.OFF:
        return
    if isinstance(namespaces, Unknown):
        yield Finding(
            "namespaces",
            Severity.UNKNOWN,
            f"the namespaces in etcd could not be listed: {namespaces.reason}",
            "run doctor where it reaches etcd; each pass of the daemon checks them, too",
        )
        return
    clash = find_clash(graph, namespaces)
    waits = why_adoption_waits(graph, namespaces) if mode is GenerationMode.PLAIN else None
    if clash is not None:
        yield Finding("namespaces", Severity.ERROR, clash.removesuffix(f": {REMEDY}"), REMEDY)
    elif waits is not None:
        yield Finding("namespaces", Severity.WARNING, waits.removesuffix(f": {REMEDY}"), REMEDY)
    else:
        text = f"no other namespace in etcd matches the prefix of {graph.namespace}"
        yield Finding("namespaces", Severity.OK, text)
