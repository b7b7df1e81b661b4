"""Steps before a service is changed: holds, protection of tasks, and waits for deployments."""

from __future__ import annotations

from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.rollout.deployments import end_oldest_deployment
from ecs_dynamo.planning.rollout.draining_instances import protect_tasks_on_draining_instances
from ecs_dynamo.planning.rollout.protection import protect_busy_tasks
from ecs_dynamo.planning.rollout.service_tags import tag_service


def tag_hold(builder: PlanBuilder, context: PlanContext, state: ComponentState) -> PlanBuilder:
    """Put the declaration on hold before a rollback, so that no daemon rolls it out again."""
    if state.rollback_target is None or state.service is None:
        return builder
    failures = context.failures
    tags = {
        TAG_ROLLED_BACK: state.declared,
        TAG_ROLLED_BACK_FOR: failures.reasons.get(state.name, ""),
    }
    message = failures.messages.get(state.name, "it did not come up")
    return builder.with_actions([tag_service(state, tags, ActionPurpose.HOLD, message)])


def protect_departing_tasks(
    builder: PlanBuilder, context: PlanContext, state: ComponentState
) -> PlanBuilder:
    """Protect tasks that a draining instance or a scale-in is about to stop."""
    draining = state.observed.draining_tasks
    if not draining:
        return builder.with_actions(protect_busy_tasks(context, state))
    builder = builder.with_actions(protect_tasks_on_draining_instances(context, state))
    return builder.with_wait(
        state.name,
        WaitPurpose.DRAINING_INSTANCES,
        f"{len(draining)} tasks run on draining container instances and are being replaced",
    )


def wait_for_deployments(
    builder: PlanBuilder, context: PlanContext, state: ComponentState, why: str
) -> PlanBuilder:
    """Defer a rollout until the component's oldest deployment has ended, and help it to end."""
    builder = builder.with_wait(state.name, WaitPurpose.DEPLOYMENTS_END, why)
    return builder.with_actions(end_oldest_deployment(context, state))
