"""etcd and NATS: first, and with their old tasks kept for those that still use them."""

from __future__ import annotations

from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR
from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.rollout import (
    deployments,
    handover,
)
from ecs_dynamo.planning.rollout.deployment_limits import limits_now
from ecs_dynamo.planning.rollout.draining_instances import (
    protect_tasks_on_draining_instances,
    tasks_on_draining_instances,
)
from ecs_dynamo.planning.rollout.protection import protect_busy_tasks
from ecs_dynamo.planning.services.service_actions import (
    create_service,
    update_service,
)


def hold_back(draft: PlanBuilder, context: PlanContext, state: ComponentState) -> None:
    """Before a rollout is taken back: so that nobody rolls its declaration again."""
    if state.rollback_target is not None and state.service is not None:
        draft.actions.append(
            TagService(
                component=state.component.name,
                reason=context.failures.get(state.component.name, "it did not come up"),
                purpose=ActionPurpose.HOLD,
                cluster=state.component.cluster,
                service=state.component.service,
                set_tags={
                    TAG_ROLLED_BACK: state.declared,
                    TAG_ROLLED_BACK_FOR: context.reasons.get(state.component.name, ""),
                },
            )
        )


def leave(draft: PlanBuilder, context: PlanContext, state: ComponentState) -> None:
    """Lead tasks out that an instance or a scale-in takes away."""
    leaving = tasks_on_draining_instances(state, context.snapshot)
    if not leaving:
        draft.actions.extend(protect_busy_tasks(context.graph, state, context.snapshot))
        return
    draft.actions.extend(
        protect_tasks_on_draining_instances(context.graph, state, context.snapshot)
    )
    draft.wait(
        state.component.name,
        f"{len(leaving)} run on container instances that are draining; they are being replaced",
    )


def plan_infrastructure(draft: PlanBuilder, context: PlanContext) -> None:
    """Create and roll it. Before it rolls, its tasks are kept for those that use them."""
    for one in context.infrastructure:
        name = one.component.name
        if one.service is None:  # Without content, a member of a cluster whose turn comes later.
            create_service(draft, context.graph, one, context.settings(one))
            continue
        # Everything else follows it, so all must be known.
        may_roll = not context.doubts.unseen
        may_roll = may_roll and (name not in context.failures or one.rollback_target is not None)
        late = deployments.why_deployment_waits(one) if may_roll else None
        if late is not None:
            may_roll = False
            draft.wait(name, late)
            draft.actions.extend(deployments.let_oldest_end(context, one))
        begins = one.needs_rollout and may_roll
        hold_back(draft, context, one)
        leave(draft, context, one)
        if begins and any(d.service is not None for d in context.dependants):
            protections, notes = handover.keep_old_side(context, [one])
            draft.actions.extend(protections)
            draft.notes.extend(notes)
        limits = limits_now(one, context.snapshot, begins=begins, moves=False, canary=None)
        if limits.note is not None:
            draft.notes.append(limits.note)
        update_service(
            draft,
            context.graph,
            one,
            may_roll,
            one.rollout_reason if one.rollback_target is None else context.reasons[name],
            limits.force if limits.change else None,
            context.settings(one),
        )
