"""Rule: withhold releases of replicas whose component is not known for certain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

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
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.lookup import known_service, known_tasks


def withhold_releases(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Drop actions that would release or replace replicas of components in doubt.

    It applies to the whole plan, whichever rule added an action.
    """
    doubts = context.doubts.all
    actions = without_releases(builder.actions, context.graph, context.snapshot, doubts)
    return replace(builder, actions=tuple(actions))


def without_releases(
    actions: Iterable[AnyAction], graph: Graph, snapshot: Snapshot, doubtful: Collection[str]
) -> Iterator[AnyAction]:
    """Yield ``actions`` without those that release or replace replicas of ``doubtful`` components.

    Of a change of a service, only the replicas that it adds are kept.
    """
    members = {c.name for c in graph.components if c.member is not None}
    for action in actions:
        if isinstance(action, ChangeMembership) and members & set(doubtful):
            continue  # A member that is not observed is not gone.
        if action.component not in doubtful or action.component not in snapshot.components:
            yield action
            continue
        match action:
            case UpdateService():
                addition = _addition(action, snapshot)
                if addition is not None:
                    yield addition
            case ProtectTasks():
                if not _shortens(action, snapshot):
                    yield action
            case StopTask():
                continue
            case _ if isinstance(action, RegisterTaskDefinition) or is_hold(action):
                if known_service(snapshot.components[action.component]) is None:
                    yield action
            case _:
                yield action


def _shortens(action: ProtectTasks, snapshot: Snapshot) -> bool:
    """Return whether the action releases some of its tasks, now or earlier than before."""
    if action.minutes is None:
        return True
    until = snapshot.observed_at + action.minutes * 60.0
    tasks = known_tasks(snapshot.components[action.component])
    return any(t.arn in action.tasks and (t.protected_until or 0.0) > until for t in tasks)


def _addition(action: UpdateService, snapshot: Snapshot) -> UpdateService | None:
    """Return an update that only adds the replicas that ``action`` adds; None if it adds none."""
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
