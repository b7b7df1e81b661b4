"""Reasons why a component must not be touched in this pass."""

from __future__ import annotations

from ecs_dynamo.model.graph import TAG_GRAPH, Component, Graph
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.desired.service_settings import rejected_difference
from ecs_dynamo.planning.observed.lookup import known_service


def obstacle(graph: Graph, component: Component, snapshot: Snapshot) -> tuple[str, str] | None:
    """Why the component must not be touched in this pass: a reason word and a sentence."""
    seen = snapshot.components.get(component.name)
    if seen is None:
        return "NotObserved", "it was not observed"
    for part, value in (("service", seen.service), ("tasks", seen.tasks)):
        if isinstance(value, Unknown):
            return "NotObserved", f"its {part} could not be observed: {value.reason}"
    if isinstance(seen.revision, Unknown):
        return (
            "NotObserved",
            f"its task definitions could not be observed: {seen.revision.reason}",
        )
    cluster = snapshot.clusters.get(component.cluster, True)
    if isinstance(cluster, Unknown):
        return (
            "NotObserved",
            f"cluster {component.cluster} could not be observed: {cluster.reason}",
        )
    if cluster is False:
        return "ClusterMissing", (
            f"cluster {component.cluster} does not exist; create it or name another under clusters"
        )
    service = known_service(seen)
    if service is None:
        return None
    if not service.owned_by(graph.name):
        return "ForeignService", (
            f"service {service.name} in {service.cluster} exists without the tag "
            f"{TAG_GRAPH}={graph.name} and is left alone; rename the graph or component, or "
            "delete or tag that service"
        )
    if service.status == "DRAINING":
        return "ServiceDraining", f"service {service.name} is still draining"
    if service.task_definition_arn not in seen.revisions:
        return "NotObserved", f"{service.task_definition_arn} could not be read"
    return rejected_difference(component, service)
