"""Rules: deletion of services that are no longer declared, and of old revisions.

Both wait until everything else is done.
"""

from __future__ import annotations

from ecs_dynamo.model.ecs.task_definition import RETIRED_PER_PASS
from ecs_dynamo.model.plan import DeleteService, RetireRevisions
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import Unknown
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder


def retire_orphans(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Delete services that carry the graph's tag but are no longer declared.

    An orphan may be a renamed component, whose successor has to serve first.
    """
    snapshot = context.snapshot
    if isinstance(snapshot.orphans, Unknown):
        text = f"services to retire could not be observed: {snapshot.orphans.reason}"
        return builder.with_wait("", WaitPurpose.CERTAINTY, text)
    is_settled = not builder.actions and not builder.waits
    for service in snapshot.orphans:
        if not service.owned_by(snapshot.graph) or service.status == "INACTIVE":
            continue
        if is_settled and service.status == "ACTIVE":
            deletion = DeleteService(
                component=service.name,
                reason="no longer declared in the graph",
                purpose=ActionPurpose.RETIRE,
                cluster=service.cluster,
                service=service.name,
            )
            builder = builder.with_actions([deletion])
        text = "is no longer declared and is being deleted"
        builder = builder.with_wait(service.name, WaitPurpose.SERVICE_DELETED, text)
    return builder


def retire_revisions(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Delete old revisions of the graph's own.

    ECS keeps every revision indefinitely (up to a million per family). The newest are kept, and all
    that are still needed: those to which the service, a deployment or a task refers, and the one
    that is marked good, because it is the target of rollbacks.
    """
    if builder.actions or builder.waits:
        return builder
    return builder.with_actions(
        RetireRevisions(
            component=state.name,
            reason=f"{state.component.rollout.keep_revisions} revisions are kept",
            purpose=ActionPurpose.RETIRE,
            family=state.component.family,
            arns=state.observed.snapshot.surplus[:RETIRED_PER_PASS],
        )
        for state in context.components
        if state.observed.snapshot.surplus and state.service is not None
    )
