"""Rule: what an existing component still waits for, and the mark of a revision that proved good."""

from __future__ import annotations

import math

from ecs_dynamo.model.graph import TAG_GOOD
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import RECENT_SECONDS, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout.progress_deadline import failed_tasks
from ecs_dynamo.planning.rollout.service_tags import tag_service


def report_progress(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Explain why components are not ready yet, and put ready revisions on probation.

    Components that failed, are not known for certain, or have lost replicas already have a more
    specific wait.
    """
    explained = context.failures.messages.keys() | context.doubts.all.keys()
    for state in context.actionable:
        lost = not state.component.is_infrastructure and state.name in builder.health.problems
        if state.name not in explained and not lost:
            builder = _with_progress(builder, context, state)
        if _is_on_probation(context, state):
            builder = _with_probation(builder, context, state)
    return builder


def _with_progress(
    builder: PlanBuilder, context: PlanContext, state: ComponentState
) -> PlanBuilder:
    service, primary = state.service, state.primary
    if service is None:
        return builder
    ready = len(state.ready_new_tasks)
    began = (primary.created_at if primary else None) or 0.0
    since = max(began, context.snapshot.observed_at - RECENT_SECONDS)
    failure = last_failure(failed_tasks(state, since))
    suffix = f"; its last task that failed: {failure}" if failure else ""
    if state.rollout_in_progress:
        running = primary.running if primary else service.running
        text = (
            f"ECS is rolling it out: {running} of {service.desired} tasks of the new revision run"
        )
        text = f"{text}, {ready} ready" if ready != running else text
        return builder.with_wait(state.name, WaitPurpose.ROLLOUT, f"{text}{suffix}")
    if ready >= state.desired:
        return builder
    registers = state.component.is_worker
    expected = "registration in Dynamo's discovery" if registers else "health checks"
    why = state.observed.readiness.why_not
    detail = f" ({why})" if why else ""
    text = f"{ready} of {state.desired} ready, waiting for {expected}{detail}{suffix}"
    return builder.with_wait(state.name, WaitPurpose.READINESS, text)


def _is_on_probation(context: PlanContext, state: ComponentState) -> bool:
    """Return whether all replicas have the current revision and are ready, and it has no mark."""
    return not (
        state.service is None
        or state.current is None
        or state.component.declared_name
        or (context.exchange.in_progress and state.component.is_worker)
        or state.needs_rollout
        or state.rollout_in_progress
        or state.old_tasks
        or state.desired == 0
        or state.current.number == state.last_good
        or isinstance(context.snapshot.registrations, Unknown)
        or len(state.ready_new_tasks) < state.desired
    )


def _with_probation(
    builder: PlanBuilder, context: PlanContext, state: ComponentState
) -> PlanBuilder:
    """Mark a revision good that has stayed ready for long enough, or report the time that is left.

    This takes as many replicas as are desired, each proven ready for one discovery lease.
    """
    observed, now = state.observed, context.now.monotonic
    remaining = sorted(
        observed.lease_seconds(context.graph, t) - (now - context.ready_since.get(t.arn, now))
        for t in observed.proven_ready(state.new_tasks)
    )
    left = remaining[state.desired - 1] if len(remaining) >= state.desired else math.inf
    current = state.current
    if left <= 0 and current is not None:
        reason = f"all of {current.family}:{current.number} has stayed ready"
        tags = {TAG_GOOD: str(current.number)}
        mark = tag_service(state, tags, ActionPurpose.MARK_GOOD, reason)
        return builder.with_actions([mark])
    text = f"ready; it will be marked good in {left:.0f} s"
    if left == math.inf:
        text = "ready, but not all replicas answered in this pass"
    return builder.with_wait(state.name, WaitPurpose.PROBATION, text)
