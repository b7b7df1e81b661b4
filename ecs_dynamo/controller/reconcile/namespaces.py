"""The Dynamo namespaces in a graph's etcd, observed once and without secrets, for `doctor`."""

from __future__ import annotations

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.controller.reconcile.credentials import CredentialReader
from ecs_dynamo.controller.reconcile.observer import Observer
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.snapshot import Observed, Snapshot, Unknown

OBSERVE_SECONDS = 20.0


async def observe_namespaces(aws: Aws, graph: Graph) -> tuple[Graph, Observed[frozenset[str]]]:
    """Return the effective graph, and the namespaces in its etcd (`Snapshot.namespaces`).

    An etcd that the graph has yet to create has none.
    """
    if graph.security.references():
        return graph, Unknown("etcd needs credentials, which are not read for this check")
    observer = Observer(aws, GraphCache(), OBSERVE_SECONDS, CredentialReader(aws))
    observation = await observer.observe(graph, aws.clock.now())
    snapshot = observation.snapshot
    namespaces = frozenset[str]() if _is_absent(graph, snapshot) else snapshot.namespaces
    return observation.graph or graph, namespaces


def _is_absent(graph: Graph, snapshot: Snapshot) -> bool:
    """Return whether the graph runs its own etcd, and ECS knows no service of it yet."""
    own = [c.name for c in graph.components if Role.ETCD in c.roles]
    return bool(own) and all(
        name in snapshot.components and snapshot.components[name].service is None for name in own
    )
