"""Taking a component back to a former revision: tag first, so that no daemon rolls it forward."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.aws.observe.convert import to_revision
from ecs_dynamo.controller.reconcile.reconciler import Reconciler
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.errors import AwsError, EcsDynamoError
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR
from ecs_dynamo.model.plan import Plan, RegisterTaskDefinition, RevisionRef, UpdateService
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.planning.describe import content_diff
from ecs_dynamo.planning.desired.component import ownership_tags
from ecs_dynamo.planning.desired.declaration import (
    comparable,
    declared_fingerprint,
    repoint,
)
from ecs_dynamo.planning.desired.fingerprint import fingerprint
from ecs_dynamo.planning.desired.obstacles import obstacle
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.observed.failure_reasons import ROLLED_BACK
from ecs_dynamo.planning.observed.lookup import known_service

LOOK_BACK = 50
"""How many revisions are looked through for one that differs."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Names of the revisions, and the lines of difference."""

    before: str
    after: str
    changes: tuple[str, ...]
    error: str | None = None


async def _look(reconciler: Reconciler, name: str) -> tuple[Plan, Service, Revision]:
    done = await reconciler.run_pass(act=False)
    graph = reconciler.graph
    found = obstacle(graph, graph.component(name), done.snapshot)
    seen = done.snapshot.components[name]
    service = known_service(seen)
    current = seen.revisions.get(service.task_definition_arn) if service else None
    if found is not None:
        raise EcsDynamoError(f"{name}: {found[1]}")
    if service is None or current is None:
        raise EcsDynamoError(f"{name}: there is no service to roll back")
    return done.plan, service, current


async def _former(
    reconciler: Reconciler, name: str, current: Revision, plan: Plan, number: int | None
) -> Revision:
    """The newest revision before the current one that differs in more than its endpoints."""
    numbers = (
        [number]
        if number is not None
        else range(current.number - 1, max(0, current.number - 1 - LOOK_BACK), -1)
    )
    names = dynamo_containers(reconciler.graph.component(name)).names
    for one in numbers:
        try:
            answer = await reconciler.aws.call(
                "ecs", "DescribeTaskDefinition", taskDefinition=f"{current.family}:{one}"
            )
        except AwsError as error:
            if error.code != "ClientException":  # ECS's word for "no such task definition"
                raise
            if number is None:
                continue
            raise EcsDynamoError(
                f"{current.family}:{one} does not exist, or was deleted; "
                "`aws ecs list-task-definitions` lists the revisions that exist"
            ) from None
        found = to_revision(answer["taskDefinition"], ())
        there, here = (comparable(r.content, plan.endpoints, names) for r in (found, current))
        if number is not None or content_diff(here, there):
            return found
    raise EcsDynamoError(f"{current.family} has no former revision that differs")


async def roll_back(reconciler: Reconciler, name: str, number: int | None = None) -> RolledBack:
    """Set ``name`` to the content of a former revision with the endpoints of now.

    Raises EcsDynamoError where there is none, or AWS refuses.
    """
    graph = reconciler.graph
    component = graph.component(name)
    plan, service, current = await _look(reconciler, name)
    former = await _former(reconciler, name, current, plan, number)
    content = former.content
    if not component.is_infrastructure:
        content = repoint(content, plan.endpoints, dynamo_containers(component).names)
    port = plan_ports(graph).system_ports.get(name, graph.runtime.system_port)
    declared = declared_fingerprint(graph, component, port)
    await reconciler.aws.call(
        "ecs",
        "TagResource",
        resourceArn=service.arn,
        tags=[
            {"key": TAG_ROLLED_BACK, "value": declared},
            {"key": TAG_ROLLED_BACK_FOR, "value": ROLLED_BACK},
        ],
    )
    print_ = fingerprint(content)
    reason = f"rolled back from {current.family}:{current.number} to {former.number}"
    actions = (
        RegisterTaskDefinition(
            component=name,
            reason=reason,
            family=component.family,
            fingerprint=print_,
            content=content,
            tags=ownership_tags(graph, component, print_),
        ),
        UpdateService(
            component=name,
            reason=reason,
            cluster=component.cluster,
            service=component.service,
            revision=RevisionRef(component.family, print_),
        ),
    )
    results = await reconciler.execute(replace(plan, actions=actions))
    return RolledBack(
        before=f"{current.family}:{current.number}",
        after=f"{former.family}:{former.number}",
        changes=tuple(content_diff(current.content, content)),
        error=next((r.error for r in results if not r.ok and r.error), None),
    )


async def clear_rollback(reconciler: Reconciler, name: str) -> None:
    """Let the declared revision of ``name`` roll out again."""
    _, service, _ = await _look(reconciler, name)
    await reconciler.aws.call(
        "ecs",
        "UntagResource",
        resourceArn=service.arn,
        tagKeys=[TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR],
    )
