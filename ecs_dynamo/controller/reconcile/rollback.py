"""Manual rollback: return a component to a previous revision, and put the declared one on hold.

The service is tagged before it is updated, so that no daemon rolls it forward in between.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.aws.observe.revisions import describe_revision
from ecs_dynamo.aws.resources.tags import remove_tags, set_tags
from ecs_dynamo.controller.reconcile.reconciler import Reconciler
from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR
from ecs_dynamo.model.plan import Plan, RegisterTaskDefinition, RevisionRef, UpdateService
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.planning.describe import content_diff
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.component import ownership_tags
from ecs_dynamo.planning.desired.declaration import (
    comparable,
    declared_fingerprint,
    with_endpoints,
)
from ecs_dynamo.planning.desired.obstacles import find_obstacle
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.observed.lookup import known_service

LOOK_BACK = 50
"""Maximum number of revisions that are searched for one that differs."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A completed rollback: the revisions' names, the lines of difference, and AWS's error."""

    before: str
    after: str
    changes: tuple[str, ...]
    error: str | None = None


async def _observe(reconciler: Reconciler, name: str) -> tuple[Plan, Service, Revision]:
    """Return the plan of a dry pass, and the component's service and current revision."""
    dry = await reconciler.run_pass(act=False)
    graph = reconciler.graph
    obstacle = find_obstacle(graph, graph.component(name), dry.snapshot)
    component = dry.snapshot.components[name]
    service = known_service(component)
    current = component.revisions.get(service.task_definition_arn) if service else None
    if obstacle is not None:
        raise EcsDynamoError(f"{name}: {obstacle.message}")
    if service is None or current is None:
        raise EcsDynamoError(f"{name}: there is no service to roll back")
    return dry.plan, service, current


async def _previous_revision(
    reconciler: Reconciler, name: str, current: Revision, plan: Plan, number: int | None
) -> Revision:
    """Return revision ``number``, or the newest earlier one that differs beyond its endpoints."""
    candidates = (
        [number]
        if number is not None
        else range(current.number - 1, max(0, current.number - 1 - LOOK_BACK), -1)
    )
    names = dynamo_containers(reconciler.graph.component(name)).names
    for candidate in candidates:
        revision_name = f"{current.family}:{candidate}"
        revision = await describe_revision(reconciler.aws, revision_name, tags=False)
        if revision is None:
            if number is None:
                continue
            raise EcsDynamoError(
                f"{revision_name} does not exist or was deleted; "
                "`aws ecs list-task-definitions` lists the existing revisions"
            )
        old, new = (comparable(r.content, plan.endpoints, names) for r in (revision, current))
        if number is not None or content_diff(new, old):
            return revision
    raise EcsDynamoError(f"{current.family} has no previous revision that differs")


async def roll_back(reconciler: Reconciler, name: str, number: int | None = None) -> RolledBack:
    """Set component ``name`` to the content of a previous revision with the current endpoints.

    Raises EcsDynamoError if there is no such revision, or if AWS refuses.
    """
    graph = reconciler.graph
    component = graph.component(name)
    plan, service, current = await _observe(reconciler, name)
    target = await _previous_revision(reconciler, name, current, plan, number)
    content = target.content
    if not component.is_infrastructure:
        content = with_endpoints(content, plan.endpoints, dynamo_containers(component).names)
    port = plan_ports(graph).system_ports.get(name, graph.runtime.system_port)
    declared = declared_fingerprint(graph, component, port)
    hold = {TAG_ROLLED_BACK: declared, TAG_ROLLED_BACK_FOR: ConditionReason.ROLLED_BACK.value}
    await set_tags(reconciler.aws, service.arn, hold)
    digest = fingerprint(content)
    reason = f"rolled back from {current.family}:{current.number} to {target.number}"
    actions = (
        RegisterTaskDefinition(
            component=name,
            reason=reason,
            family=component.family,
            fingerprint=digest,
            content=content,
            tags=ownership_tags(graph, component, digest),
        ),
        UpdateService(
            component=name,
            reason=reason,
            cluster=component.cluster,
            service=component.service,
            revision=RevisionRef(component.family, digest),
        ),
    )
    results = await reconciler.execute(replace(plan, actions=actions))
    return RolledBack(
        before=f"{current.family}:{current.number}",
        after=f"{target.family}:{target.number}",
        changes=tuple(content_diff(current.content, content)),
        error=next((r.error for r in results if not r.ok and r.error), None),
    )


async def clear_rollback(reconciler: Reconciler, name: str) -> None:
    """End the hold of component ``name``, so that its declared revision rolls out again."""
    _, service, _ = await _observe(reconciler, name)
    await remove_tags(reconciler.aws, service.arn, [TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR])
