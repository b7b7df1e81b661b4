"""Manual rollback: return a component to a previous revision, and put the declared one on hold.

The service is tagged before it is updated, so that no daemon rolls it forward in between. Workers
that have generations return together to the previous generation, unless the previous revision
belongs to the same generation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, replace

from ecs_dynamo.aws.observe.revisions import describe_revision
from ecs_dynamo.aws.resources.tags import remove_tags, set_tags
from ecs_dynamo.controller.reconcile.reconciler import Pass, Reconciler
from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import SUFFIX_VARIABLE
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.generations import PLAIN, GenerationMode
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR, Component, Graph
from ecs_dynamo.model.plan import AnyAction, RegisterTaskDefinition, RevisionRef, UpdateService
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
from ecs_dynamo.planning.desired.generations.identity import card_content
from ecs_dynamo.planning.desired.obstacles import find_obstacle
from ecs_dynamo.planning.desired.ports import plan_ports
from ecs_dynamo.planning.observed.lookup import known_service
from ecs_dynamo.planning.services.generations import reinstatements, withdrawals

LOOK_BACK = 50
"""Maximum number of revisions that are searched for one that differs."""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A completed rollback: the revisions' names, the lines of difference, and AWS's error.

    Where workers returned to the previous generation, ``before`` and ``after`` are generations.
    """

    before: str
    after: str
    changes: tuple[str, ...]
    error: str | None = None
    is_generation: bool = False


@dataclass(frozen=True, slots=True)
class _Observed:
    """A component in a dry pass. ``graph`` is the effective one."""

    reconciler: Reconciler
    dry: Pass
    graph: Graph
    component: Component
    service: Service | None
    current: Revision | None

    @property
    def has_generations(self) -> bool:
        modes = (GenerationMode.IN_FORCE, GenerationMode.ADOPTING)
        return self.component.is_worker and self.graph.generations.mode in modes

    @property
    def containers(self) -> tuple[str, ...]:
        return tuple(dynamo_containers(self.component).names)

    async def earlier(self, family: str, below: int) -> AsyncIterator[Revision]:
        """Yield the revisions of a family that precede number ``below``, the newest first."""
        for number in range(below - 1, max(0, below - 1 - LOOK_BACK), -1):
            name = f"{family}:{number}"
            revision = await describe_revision(self.reconciler.aws, name, tags=False)
            if revision is not None:
                yield revision

    async def execute(self, actions: Collection[AnyAction]) -> str | None:
        """Run actions; return AWS's error, if any."""
        plan = replace(self.dry.plan, actions=tuple(actions))
        results = await self.reconciler.execute(plan)
        return next((r.error for r in results if not r.ok and r.error), None)


async def _observe(reconciler: Reconciler, name: str) -> _Observed:
    dry = await reconciler.run_pass(act=False)
    graph = dry.plan.effective or reconciler.graph
    component, snapshot = graph.component(name), dry.snapshot.components[name]
    obstacle = find_obstacle(graph, component, dry.snapshot)
    if obstacle is not None:
        raise EcsDynamoError(f"{name}: {obstacle.message}")
    service = known_service(snapshot)
    current = snapshot.revisions.get(service.task_definition_arn) if service else None
    return _Observed(reconciler, dry, graph, component, service, current)


async def _numbered(observed: _Observed, current: Revision, number: int) -> Revision:
    """Return revision ``number``, to which the component can return within its generation."""
    name = f"{current.family}:{number}"
    revision = await describe_revision(observed.reconciler.aws, name, tags=False)
    if revision is None:
        raise EcsDynamoError(
            f"{name} does not exist or was deleted; "
            "`aws ecs list-task-definitions` lists the existing revisions"
        )
    if observed.has_generations and not _in_generation(observed, revision):
        raise EcsDynamoError(
            f"{name} belongs to another generation of workers; without --to, the graph returns to "
            "its previous generation, and any other content comes up when it is declared again"
        )
    return revision


def _in_generation(observed: _Observed, revision: Revision) -> bool:
    """Return whether a revision belongs to the generation of the component's service."""
    suffix = environment_value(revision.content, SUFFIX_VARIABLE, observed.containers)
    return suffix == observed.component.generation


async def _differing(observed: _Observed, current: Revision) -> Revision | None:
    """Return the newest earlier revision that differs beyond its endpoints; None without one."""
    endpoints, names = observed.dry.plan.endpoints, observed.containers
    new = comparable(current.content, endpoints, names)
    async for revision in observed.earlier(current.family, current.number):
        if content_diff(new, comparable(revision.content, endpoints, names)):
            return revision
    return None


async def roll_back(reconciler: Reconciler, name: str, number: int | None = None) -> RolledBack:
    """Set component ``name`` to the content of a previous revision with the current endpoints.

    If its previous revision belongs to another generation of workers, the declared generation is
    withdrawn instead. Raises EcsDynamoError if there is no such revision or generation, or if AWS
    refuses.
    """
    observed = await _observe(reconciler, name)
    service, current, target = observed.service, observed.current, None
    if current is not None:
        if number is None:
            target = await _differing(observed, current)
        else:
            target = await _numbered(observed, current, number)
    if observed.has_generations and (target is None or not _in_generation(observed, target)):
        return await _withdraw(observed)
    if service is None or current is None:
        raise EcsDynamoError(f"{name}: there is no service to roll back")
    if target is None:
        raise EcsDynamoError(f"{current.family} has no previous revision that differs")
    return await _in_place(observed, service, current, target)


async def _in_place(
    observed: _Observed, service: Service, current: Revision, target: Revision
) -> RolledBack:
    """Set the component's service to the content of ``target``, and put it on hold."""
    graph, component, names = observed.graph, observed.component, observed.containers
    is_plain = component.is_worker and graph.generations.mode is GenerationMode.PLAIN
    if is_plain and card_content(target.content, names) != card_content(current.content, names):
        raise EcsDynamoError(
            f"{target.family}:{target.number} can give {component.name} another model card, which "
            "running workers must not mix; declare its content instead, so that it comes up as a "
            "generation beside them"
        )
    content = target.content
    if not component.is_infrastructure:
        content = with_endpoints(content, observed.dry.plan.endpoints, names)
    port = plan_ports(graph).system_ports.get(component.name, graph.runtime.system_port)
    declared = declared_fingerprint(graph, component, port)
    hold = {TAG_ROLLED_BACK: declared, TAG_ROLLED_BACK_FOR: ConditionReason.ROLLED_BACK.value}
    await set_tags(observed.reconciler.aws, service.arn, hold)
    digest = fingerprint(content)
    reason = f"rolled back from {current.family}:{current.number} to {target.number}"
    error = await observed.execute(
        [
            RegisterTaskDefinition(
                component=component.name,
                reason=reason,
                family=component.family,
                fingerprint=digest,
                content=content,
                tags=ownership_tags(graph, component, digest),
            ),
            UpdateService(
                component=component.name,
                reason=reason,
                cluster=component.cluster,
                service=component.service,
                revision=RevisionRef(component.family, digest),
            ),
        ]
    )
    return RolledBack(
        before=f"{current.family}:{current.number}",
        after=f"{target.family}:{target.number}",
        changes=tuple(content_diff(current.content, content)),
        error=error,
    )


async def _withdraw(observed: _Observed) -> RolledBack:
    """Withdraw the declared generation of workers, so that the previous one serves again."""
    generations = observed.graph.generations
    if generations.withdrawn is not None and generations.target != generations.declared:
        raise EcsDynamoError(
            f"generation {generations.declared} is withdrawn already, and "
            f"{generations.target or PLAIN} serves; `ecs-dynamo rollback --clear` ends that"
        )
    if generations.previous is None:
        raise EcsDynamoError(
            f"{observed.component.name}: there is no previous generation of workers that served; "
            "declare the content to return to, and it comes up beside the running workers"
        )
    changes = await _generation_changes(observed, generations.previous)
    reason = f"rolled back from generation {generations.declared} to {generations.previous}"
    actions = withdrawals(observed.graph, ConditionReason.ROLLED_BACK, reason)
    return RolledBack(
        before=str(generations.declared),
        after=generations.previous,
        changes=changes,
        error=await observed.execute(actions),
        is_generation=True,
    )


async def _generation_changes(observed: _Observed, previous: str) -> tuple[str, ...]:
    """Return what changes in each worker with the return to a previous generation."""
    lines: list[str] = []
    generation = None if previous == PLAIN else previous
    for component in observed.graph.components:
        if not component.is_worker or component.declared_name:
            continue
        own = replace(observed, component=replace(component, generation=generation))
        snapshot = observed.dry.snapshot.components[component.name]
        service, newest = known_service(snapshot), snapshot.revision
        current = snapshot.revisions.get(service.task_definition_arn) if service else None
        if current is None or not isinstance(newest, Revision):
            continue
        endpoints, names = observed.dry.plan.endpoints, own.containers
        new = comparable(current.content, endpoints, names)
        # After a revert, the previous generation has the newer revision.
        async for revision in own.earlier(newest.family, newest.number + 1):
            if _in_generation(own, revision):
                old = comparable(revision.content, endpoints, names)
                lines += [f"{component.name}: {line}" for line in content_diff(new, old)]
                break
    return tuple(lines)


async def clear_rollback(reconciler: Reconciler, name: str) -> None:
    """End the hold of component ``name``, so that its declared revision rolls out again.

    For a worker, the withdrawal of its declared generation ends as well. Raises EcsDynamoError if
    AWS refuses.
    """
    observed = await _observe(reconciler, name)
    if observed.service is not None:
        tags = [TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR]
        await remove_tags(reconciler.aws, observed.service.arn, tags)
    elif not observed.has_generations:
        raise EcsDynamoError(f"{name}: there is no service to roll back")
    if observed.has_generations:
        reason = "the declared generation may roll out again"
        error = await observed.execute(
            reinstatements(observed.graph, observed.dry.snapshot, reason)
        )
        if error is not None:
            raise EcsDynamoError(f"{name}: {error}")
