"""Actions that are withheld while a component's replicas are not known for certain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    ProtectTasks,
    RegisterTaskDefinition,
    StopTask,
    UpdateService,
    is_hold,
)
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.observed.lookup import known_service, known_tasks


def _shortens(action: ProtectTasks, snapshot: Snapshot) -> bool:
    """It lets some of the tasks go, now or earlier than before."""
    if action.minutes is None:
        return True
    until = snapshot.observed_at + action.minutes * 60.0
    seen = snapshot.components[action.component]
    return any(
        t.arn in action.tasks and (t.protected_until or 0.0) > until for t in known_tasks(seen)
    )


def _only_more(action: UpdateService, snapshot: Snapshot) -> UpdateService | None:
    """Of a change of a service just the replicas that it adds."""
    service = known_service(snapshot.components[action.component])
    if service is None or action.desired is None or action.desired <= service.desired:
        return None
    return UpdateService(
        component=action.component,
        reason=f"replicas {service.desired} -> {action.desired}",
        cluster=action.cluster,
        service=action.service,
        desired=action.desired,
    )


def without_releases(
    actions: Iterable[AnyAction], graph: Graph, snapshot: Snapshot, unsure: Mapping[str, str]
) -> list[AnyAction]:
    """``actions`` without those that release, or begin to replace, replicas of ``unsure`` ones.

    The last word on a plan, whichever rule an action comes from.
    """
    servers = {c.name for c in graph.components if c.member is not None}
    kept: list[AnyAction] = []
    for action in actions:
        if isinstance(action, ChangeMembership) and servers & set(unsure):
            continue  # A member that is not seen is not gone.
        if action.component not in unsure or action.component not in snapshot.components:
            kept.append(action)
        elif isinstance(action, UpdateService):
            more = _only_more(action, snapshot)
            kept += [more] if more is not None else []
        elif isinstance(action, ProtectTasks):
            kept += [] if _shortens(action, snapshot) else [action]
        elif isinstance(action, StopTask):
            continue
        elif isinstance(action, RegisterTaskDefinition) or is_hold(action):
            service = known_service(snapshot.components[action.component])
            kept += [action] if service is None else []
        else:
            kept.append(action)
    return kept
