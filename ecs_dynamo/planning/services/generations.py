"""Rules: what an exchange of generations records in ECS, and the deletion of old generations."""

from __future__ import annotations

from ecs_dynamo.model.generations import PLAIN, GenerationMode
from ecs_dynamo.model.graph import TAG_REPLICAS, TAG_WITHDRAWN
from ecs_dynamo.model.plan import DeleteService, TagService
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder


def announce_adoption(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Note that the running workers have no generation yet, or why they cannot have one."""
    generations = context.graph.generations
    if generations.mode is not GenerationMode.PLAIN:
        return builder
    return builder.with_notes(
        [
            "the workers run without a generation and stay as they are. The next change that can "
            "alter their model card adopts generations: the frontends roll out first, then new "
            "workers start beside the running ones"
        ]
    )


def record_exchange(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Record a withdrawn generation, and how many replicas a scaled component has."""
    failure = context.exchange.failure
    if failure is not None:
        builder = _withdraw(context, builder)
    for state in context.actionable:
        service, total = state.service, context.exchange.totals.get(state.name)
        if service is None or total is None or state.component.scaling is None:
            continue
        if service.tags.get(TAG_REPLICAS) != str(total):
            recording = TagService(
                component=state.name,
                reason=f"{total} replicas in all generations together",
                purpose=ActionPurpose.RECORD_REPLICAS,
                cluster=service.cluster,
                service=service.name,
                set_tags={TAG_REPLICAS: str(total)},
            )
            builder = builder.with_actions([recording])
    return builder


def _withdraw(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Record the failure on the services of the previous generation, which serves from now on."""
    failure, generations = context.exchange.failure, context.graph.generations
    if failure is None:
        return builder
    services = {
        (s.component.origin, s.service.cluster, s.service.name)
        for s in context.components
        if s.component.declared_name
        and s.service is not None
        and s.name.endswith(f"@{generations.previous}")
    }
    services |= {
        (d.component, d.cluster, d.service)
        for d in generations.dormant
        if d.generation == generations.previous and d.is_active
    }
    return builder.with_actions(
        TagService(
            component=component,
            reason=f"generation {failure.generation} is withdrawn: {failure.message}",
            purpose=ActionPurpose.WITHDRAW,
            cluster=cluster,
            service=name,
            set_tags={TAG_WITHDRAWN: f"{failure.generation} {failure.reason}"},
        )
        for component, cluster, name in sorted(services)
    )


def retire_generations(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Delete the services of generations without replicas, except the rollback target.

    There is no rollback to plain workers once they have ended: frontends serve them only while
    their prefix matches the namespaces of other graphs, too. A withdrawn generation is deleted at
    once, because ECS starts no tasks for a deployment that failed.
    """
    generations = context.graph.generations
    is_settled = not (
        context.exchange.in_progress
        or context.doubts.all
        or any(s.last_good is None for s in context.components if s.component.is_worker)
    )
    for dormant in generations.dormant:
        is_plain = dormant.generation == PLAIN
        if dormant.generation == generations.previous and not is_plain:
            continue
        if is_settled and dormant.is_active:
            deletion = DeleteService(
                component=dormant.component,
                reason=f"generation {dormant.generation} has ended",
                purpose=ActionPurpose.RETIRE,
                cluster=dormant.cluster,
                service=dormant.service,
            )
            builder = builder.with_actions([deletion])
        text = f"service {dormant.service} of an ended generation is being deleted"
        builder = builder.with_wait(dormant.component, WaitPurpose.SERVICE_DELETED, text)
    return builder
