"""Clashes of prefixes: other Dynamo namespaces in the same etcd that frontends would serve, too.

A frontend serves every namespace that starts with its prefix, and workers of another graph there
would answer the requests for this graph's model. The keys of a generation that was just deleted
stay for a discovery lease, and are not a clash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from ecs_dynamo.model.generations import (
    SUFFIX_START,
    GenerationMode,
    frontend_prefix,
    generation_in,
    is_own_namespace,
    shorter_namespaces,
)
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import Observed, Unknown
from ecs_dynamo.planning.desired.generations.expansion import why_off

SHOWN_NAMESPACES = 5
REMEDY = (
    "set another namespace in the graph file of one of the graphs, or use another etcd for one of "
    "them"
)


def served_too(graph: Graph, namespaces: Iterable[str], prefix: str | None) -> tuple[str, ...]:
    """Return the namespaces of others that frontends with ``prefix`` would serve, sorted."""
    if prefix is None:
        return ()
    return tuple(
        sorted(
            n
            for n in set(namespaces)
            if n.startswith(prefix) and not is_own_namespace(graph.namespace, n)
        )
    )


def serving_namespaces(graph: Graph, namespaces: Iterable[str]) -> tuple[str, ...]:
    """Return the namespaces of graphs whose frontends serve this graph's workers, too, sorted.

    They have generations, so that their prefix ends with the first character of one.
    """
    listed = set(namespaces)
    return tuple(
        shorter
        for shorter in shorter_namespaces(graph.namespace)
        if any(generation_in(shorter, n) is not None for n in listed)
    )


def why_prefix_waits(
    graph: Graph, namespaces: Observed[frozenset[str]], prefix: str | None
) -> str | None:
    """Return why frontends must not be set to ``prefix`` now; None if they may.

    It concerns frontends that do not have this prefix yet. Those that have it would gain nothing
    from waiting.
    """
    if prefix is None:
        return None
    if isinstance(namespaces, Unknown):
        return (
            f"the frontends' prefix {prefix} may match namespaces of others, and the namespaces in "
            f"etcd could not be listed: {namespaces.reason}"
        )
    others = served_too(graph, namespaces, prefix)
    if others:
        return (
            f"frontends would serve every namespace that starts with {prefix}, and etcd also has "
            f"{_listed(others)}: {REMEDY}"
        )
    return None


def why_adoption_waits(graph: Graph, namespaces: Observed[frozenset[str]]) -> str | None:
    """Return why the adoption of a running graph must not begin, or continue; None if it may.

    While plain workers run, the prefix is the bare namespace of the graph.
    """
    prefix = frontend_prefix(graph.namespace, GenerationMode.ADOPTING)
    why = why_prefix_waits(graph, namespaces, prefix)
    return None if why is None else f"generations are not adopted yet: {why}"


def why_workers_wait(graph: Graph, namespaces: Observed[frozenset[str]]) -> str | None:
    """Return why workers must not be started: another graph's frontends would serve them.

    None if they may, and while etcd's namespaces are unknown: this graph cannot know more.
    """
    if isinstance(namespaces, Unknown):
        return None
    others = serving_namespaces(graph, namespaces)
    if not others:
        return None
    return (
        f"the frontends of the graph with the namespace {_listed(others)} serve every namespace "
        f"that starts with {others[0]}-{SUFFIX_START}, and so the workers in {graph.namespace}, "
        f"too: {REMEDY}"
    )


def find_clash(graph: Graph, namespaces: Observed[frozenset[str]]) -> str | None:
    """Return the problem to report in each pass; None without a clash, or if it is unknown.

    Frontends without a prefix mix nothing, so that a graph which runs without generations is not
    degraded by a clash that its adoption will wait for.
    """
    if isinstance(namespaces, Unknown):
        return None
    prefix = frontend_prefix(graph.namespace, graph.generations.mode)
    others = served_too(graph, namespaces, prefix)
    if others:
        return (
            f"etcd has {_listed(others)}, which the frontends' prefix {prefix} matches, too: "
            f"{REMEDY}"
        )
    return why_workers_wait(graph, namespaces)


@dataclass(frozen=True, slots=True)
class GraphClash:
    """Two declared graphs: frontends of ``serving`` would serve workers of ``served``, too.

    ``is_certain``: they declare the same etcd. Otherwise they may use the same, because one of them
    declares an etcd that the other one may run.
    """

    serving: Graph
    served: Graph
    is_certain: bool


def clashing_graphs(graphs: Iterable[Graph]) -> Iterator[GraphClash]:
    """Yield the clashes between graphs as they are declared, without reading etcd."""
    for graph, other in permutations(graphs, 2):
        if graph.namespace not in shorter_namespaces(other.namespace) or why_off(graph) is not None:
            continue
        if not graph.external_etcd and not other.external_etcd:
            continue  # Each runs an etcd of its own.
        if not graph.external_etcd or not other.external_etcd:
            yield GraphClash(graph, other, is_certain=False)
        elif set(graph.external_etcd) & set(other.external_etcd):
            yield GraphClash(graph, other, is_certain=True)


def describe_graph_clash(clash: GraphClash) -> str:
    """Return a clash of two graphs as a sentence without its full stop."""
    serving, served = clash.serving, clash.served
    condition = "" if clash.is_certain else "if both graphs use one etcd, "
    return (
        f"{condition}the frontends of {serving.name} serve every namespace that starts with "
        f"{serving.namespace}-{SUFFIX_START}, and so {served.namespace} of {served.name}, too"
    )


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - SHOWN_NAMESPACES
    shown = ", ".join(names[:SHOWN_NAMESPACES])
    return f"{shown} and {more} more" if more > 0 else shown
