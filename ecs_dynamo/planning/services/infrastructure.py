"""Rule: etcd and NATS roll out first, with their old tasks kept for those that still use them."""

from __future__ import annotations

from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.rollout.deployment_limits import limits_now
from ecs_dynamo.planning.rollout.deployments import why_deployment_waits
from ecs_dynamo.planning.rollout.handover.moves import keep_old_side
from ecs_dynamo.planning.services.preparation import (
    protect_departing_tasks,
    tag_hold,
    wait_for_deployments,
)
from ecs_dynamo.planning.services.service_actions import create_service, update_service


def plan_infrastructure(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Create etcd and NATS, and roll them out; before that, protect tasks that are in use."""
    for state in context.infrastructure:
        builder = _plan_component(builder, context, state)
    return builder


def _plan_component(
    builder: PlanBuilder, context: PlanContext, state: ComponentState
) -> PlanBuilder:
    name = state.name
    if state.service is None:
        # A member of an etcd cluster has no content, and gets no service, before its turn.
        return create_service(builder, context, state)
    # All dependants follow the infrastructure, so their state must be known.
    may_roll = not context.doubts.unobserved and (
        name not in context.failures.messages or state.rollback_target is not None
    )
    why_waits = why_deployment_waits(state) if may_roll else None
    if why_waits is not None:
        may_roll = False
        builder = wait_for_deployments(builder, context, state, why_waits)
    begins = state.needs_rollout and may_roll
    builder = tag_hold(builder, context, state)
    builder = protect_departing_tasks(builder, context, state)
    if begins and any(d.service is not None for d in context.dependants):
        builder = keep_old_side(builder, context, [state])
    limits = limits_now(state, context.snapshot, begins=begins, moves=False, canary=None)
    is_rollback = state.rollback_target is not None
    return update_service(
        builder.with_notes([limits.note]),
        context,
        state,
        may_roll=may_roll,
        reason=context.failures.reasons[name] if is_rollback else state.rollout_reason,
        limits=limits.effective if limits.change else None,
    )
