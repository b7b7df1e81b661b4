"""Rules: what an exchange of generations records in ECS, and the deletion of old generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.generations import PLAIN, GenerationMode
from ecs_dynamo.model.graph import TAG_REPLICAS, TAG_WITHDRAWN, Graph
from ecs_dynamo.model.plan import DeleteService, TagService
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.lookup import known_service
from ecs_dynamo.planning.rollout.service_tags import tag_service


def announce_adoption(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Note that the running workers have no generation yet, or why they cannot have one."""
    generations = context.graph.generations
    components = context.graph.components
    has_both = any(c.is_worker for c in components) and any(c.is_frontend for c in components)
    if generations.mode is GenerationMode.OFF and generations.why and has_both:
        note = (
            f"the workers have no generations, because {generations.why}: a change of their model "
            "card interrupts the service"
        )
        return builder.with_notes([note])
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
    """Record a withdrawn generation, and how many replicas a scaled component has.

    The number is recorded on the service of the target generation only, and only in an exchange:
    what an earlier exchange recorded must not be taken for the current number.
    """
    failure = context.exchange.failure
    if failure is not None:
        reason = f"generation {failure.generation} is withdrawn: {failure.message}"
        builder = builder.with_actions(withdrawals(context.graph, failure.reason, reason))
    states = {s.name: s for s in context.actionable if s.component.is_worker}
    for state in states.values():
        service, total = state.service, context.exchange.totals.get(state.name)
        if service is None:
            continue
        recorded = service.tags.get(TAG_REPLICAS)
        if total is not None and state.component.scaling is not None:
            if recorded != str(total):
                reason = f"{total} replicas in all generations together"
                tags = {TAG_REPLICAS: str(total)}
                record = tag_service(state, tags, ActionPurpose.RECORD_REPLICAS, reason)
                builder = builder.with_actions([record])
        elif recorded is not None and _is_outdated(context, state, states):
            reason = "it does not have the replicas of all generations any more"
            purpose, remove = ActionPurpose.RECORD_REPLICAS, (TAG_REPLICAS,)
            builder = builder.with_actions([tag_service(state, {}, purpose, reason, remove)])
    return builder


def _is_outdated(
    context: PlanContext, state: ComponentState, states: Mapping[str, ComponentState]
) -> bool:
    """Return whether the number on a service is not needed: the target's service has it, too."""
    if not context.exchange.in_progress:
        return True
    target = states.get(state.component.origin)
    return (
        target is not None
        and target.service is not None
        and target.service.tags.get(TAG_REPLICAS) == str(context.exchange.totals.get(target.name))
    )


def withdrawals(graph: Graph, word: str, reason: str) -> tuple[TagService, ...]:
    """Return the actions that withdraw the declared generation of the effective ``graph``.

    The reason ``word`` is recorded on the services of the previous generation, which serves from
    then on.
    """
    generations = graph.generations
    services = [
        (c.origin, c.cluster, c.service)
        for c in graph.components
        if c.declared_name and (c.generation or PLAIN) == generations.previous
    ]
    services += [
        (d.component, d.cluster, d.service)
        for d in generations.dormant
        if d.generation == generations.previous and d.is_active
    ]
    return _tag(services, reason, {TAG_WITHDRAWN: f"{generations.declared} {word}"})


def reinstatements(graph: Graph, snapshot: Snapshot, reason: str) -> tuple[TagService, ...]:
    """Return the actions that end the withdrawal of a generation of the effective ``graph``."""
    services = {
        (c.origin, c.cluster, c.service)
        for c in graph.components
        if c.is_worker and known_service(snapshot.components[c.name]) is not None
    }
    services |= {
        (d.component, d.cluster, d.service) for d in graph.generations.dormant if d.is_active
    }
    return _tag(services, reason, {}, (TAG_WITHDRAWN,))


def _tag(
    services: Iterable[tuple[str, str, str]],
    reason: str,
    set_tags: Mapping[str, str],
    remove_tags: tuple[str, ...] = (),
) -> tuple[TagService, ...]:
    """Return the actions that tag services, each a component, a cluster and a name."""
    return tuple(
        TagService(
            component=component,
            reason=reason,
            purpose=ActionPurpose.WITHDRAW,
            cluster=cluster,
            service=name,
            set_tags=set_tags,
            remove_tags=remove_tags,
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
