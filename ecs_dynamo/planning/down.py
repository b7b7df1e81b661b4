"""Taking a graph down: dependants first, the infrastructure when nothing uses it any longer."""

from __future__ import annotations

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import AnyAction, DeleteService, Endpoints, Memory, Plan, Wait
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.planning.desired.obstacles import ObstacleReason, find_obstacles
from ecs_dynamo.planning.observed.facts import observe_graph


def _delete(component: str, cluster: str, service: str) -> DeleteService:
    return DeleteService(
        component=component,
        reason="the graph is taken down",
        purpose=ActionPurpose.RETIRE,
        cluster=cluster,
        service=service,
    )


def down(graph: Graph, snapshot: Snapshot) -> Plan:
    """Return the actions that remove what the graph owns; converged when nothing of it is left.

    Services without the ownership tag are left alone, and unobserved parts are waited for.
    """
    observed = observe_graph(graph, snapshot)
    obstacles = find_obstacles(observed)
    actions: list[AnyAction] = []
    waits: list[Wait] = []
    groups = {} if isinstance(snapshot.groups, Unknown) else snapshot.groups
    notes = [
        f"Auto Scaling group {g.name} keeps its {g.desired} instances: set its size yourself"
        for g in groups.values()
        if g.desired
    ]
    if isinstance(snapshot.orphans, Unknown):
        text = f"orphans could not be observed: {snapshot.orphans.reason}"
        waits.append(Wait("", text, WaitPurpose.CERTAINTY))
    else:
        for orphan in snapshot.orphans:
            if orphan.owned_by(graph.name) and orphan.status != "INACTIVE":
                waits.append(Wait(orphan.name, "is being deleted", WaitPurpose.SERVICE_DELETED))
                if orphan.status == "ACTIVE":
                    actions.append(_delete(orphan.name, orphan.cluster, orphan.name))
    for dormant in graph.generations.dormant:
        waits.append(Wait(dormant.service, "is being deleted", WaitPurpose.SERVICE_DELETED))
        if dormant.is_active:
            actions.append(_delete(dormant.component, dormant.cluster, dormant.service))
    dependants_left = bool(actions)
    for component in sorted(graph.components, key=lambda c: c.is_infrastructure):
        name, obstacle = component.name, obstacles.get(component.name)
        reason = obstacle.reason if obstacle is not None else None
        if obstacle is not None and reason in (
            ObstacleReason.FOREIGN_SERVICE,
            ObstacleReason.CLUSTER_MISSING,
        ):
            notes.append(f"{name}: {obstacle.message}")
            continue
        if obstacle is not None and reason is ObstacleReason.NOT_OBSERVED:
            waits.append(Wait(name, obstacle.message, WaitPurpose.CERTAINTY))
            dependants_left = dependants_left or not component.is_infrastructure
            continue
        service, tasks = observed.components[name].service, observed.components[name].tasks
        if service is None and not tasks:
            continue
        if component.is_infrastructure and dependants_left:
            text = "kept until its dependants have stopped"
            waits.append(Wait(name, text, WaitPurpose.DEPENDANTS_DELETED))
            continue
        dependants_left = dependants_left or not component.is_infrastructure
        text = f"{len(tasks)} tasks still stopping" if tasks else "its service is still draining"
        waits.append(Wait(name, text, WaitPurpose.SERVICE_DELETED))
        if service is not None and service.status == "ACTIVE":
            actions.append(_delete(name, service.cluster, service.name))
    return Plan(
        graph=graph.name,
        actions=tuple(actions),
        waits=tuple(waits),
        conditions=(),
        endpoints=Endpoints(),
        decisions=(),
        replicas={c.name: observed.counts(c) for c in graph.components},
        notes=tuple(notes),
        memory=Memory(started_at=snapshot.observed_at),
        ready={name: c.readiness.ready for name, c in observed.components.items()},
        effective=graph,
    )
