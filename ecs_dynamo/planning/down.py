"""Taking a graph down: dependants first, the infrastructure when nothing uses it any more."""

from __future__ import annotations

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import AnyAction, DeleteService, Endpoints, Memory, Plan, Wait
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Unknown,
)
from ecs_dynamo.planning.desired.obstacles import obstacle
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
)
from ecs_dynamo.planning.observed.readiness import count_replicas


def _delete(service: Service, component: str) -> DeleteService:
    return DeleteService(
        component=component,
        reason="the graph is taken down",
        cluster=service.cluster,
        service=service.name,
    )


def down(graph: Graph, snapshot: Snapshot) -> Plan:
    """The actions that remove what the graph owns; converged when none of it is left.

    What lacks the ownership tag is left alone, and what could not be observed is waited for.
    """
    actions: list[AnyAction] = []
    waits: list[Wait] = []
    groups = {} if isinstance(snapshot.groups, Unknown) else snapshot.groups
    notes = [
        f"Auto Scaling group {g.name} keeps its {g.desired} instances: set its size yourself"
        for g in groups.values()
        if g.desired
    ]
    if isinstance(snapshot.orphans, Unknown):
        waits.append(Wait("", f"orphans could not be observed: {snapshot.orphans.reason}"))
    else:
        for orphan in snapshot.orphans:
            if orphan.owned_by(graph.name) and orphan.status != "INACTIVE":
                waits.append(Wait(orphan.name, "is being deleted"))
                if orphan.status == "ACTIVE":
                    actions.append(_delete(orphan, orphan.name))
    dependants_left = bool(actions)
    ordered = sorted(graph.components, key=lambda c: c.is_infrastructure)
    for component in ordered:
        blocked = obstacle(graph, component, snapshot)
        if blocked is not None and blocked[0] in {"ForeignService", "ClusterMissing"}:
            notes.append(f"{component.name}: {blocked[1]}")
            continue
        if blocked is not None and blocked[0] == "NotObserved":
            waits.append(Wait(component.name, blocked[1]))
            dependants_left = dependants_left or not component.is_infrastructure
            continue
        seen = snapshot.components[component.name]
        service = known_service(seen)
        tasks = known_tasks(seen)
        if service is None and not tasks:
            continue
        if component.is_infrastructure and dependants_left:
            waits.append(Wait(component.name, "kept until its dependants have stopped"))
            continue
        dependants_left = dependants_left or not component.is_infrastructure
        what = f"{len(tasks)} tasks still stopping" if tasks else "its service is still draining"
        waits.append(Wait(component.name, what))
        if service is not None and service.status == "ACTIVE":
            actions.append(_delete(service, component.name))
    return Plan(
        graph=graph.name,
        actions=tuple(actions),
        waits=tuple(waits),
        conditions=(),
        endpoints=Endpoints(),
        decisions=(),
        replicas={c.name: count_replicas(graph, c, snapshot) for c in graph.components},
        notes=tuple(notes),
        memory=Memory(started_at=snapshot.observed_at),
    )
