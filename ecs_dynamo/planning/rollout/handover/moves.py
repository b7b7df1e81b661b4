"""The handover of all components after their endpoints moved to another etcd or NATS.

The old side keeps serving with the old infrastructure until every component has enough ready
replicas on the new side. Then the old frontends are released first, and after them the workers and
the infrastructure that they needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecs_dynamo.model.graph import TAG_CANARY
from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.capacity.surge import free_capacity, surge_left, why_no_surge
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.observed.endpoints import endpoints_in, share_endpoints
from ecs_dynamo.planning.observed.failure_reasons import lacks_capacity
from ecs_dynamo.planning.rollout.handover.drain_record import (
    first_below,
    rollout_seconds,
)
from ecs_dynamo.planning.rollout.handover.freshness import (
    FOUND_SECONDS,
    fresh_tasks,
    proven_seconds,
)
from ecs_dynamo.planning.rollout.handover.lost_etcd import without_etcd
from ecs_dynamo.planning.rollout.handover.rolling import keep_actions
from ecs_dynamo.planning.rollout.handover.usefulness import most_useful_first
from ecs_dynamo.planning.rollout.protection import (
    acceptable,
    is_protected,
    minutes_left,
    protect,
    protectable,
    whole_minutes,
)

RENEW_SLACK_SECONDS = 60.0
"""A protection that ends this long before its rollout's deadline is not extended: ECS counts whole
minutes."""


def relocates(state: ComponentState) -> bool:
    """Return whether the rollout in progress leads to other endpoints than the old tasks have."""
    current = state.current
    if current is None:
        return False
    new = endpoints_in(state.component, current)
    revisions = state.observed.snapshot.revisions
    old = (
        endpoints_in(state.component, revision)
        for task in state.old_tasks
        if (revision := revisions.get(task.task_definition_arn)) is not None
    )
    return any(
        not (share_endpoints(e.etcd, new.etcd) and share_endpoints(e.nats, new.nats)) for e in old
    )


def keep_old_side(
    builder: PlanBuilder, context: PlanContext, rolling: Sequence[ComponentState]
) -> PlanBuilder:
    """Protect all running tasks before endpoints move, wherever the new side fits beside them.

    After two moves in a row more tasks may run than ECS protects (`protectable`): then the most
    useful ones are kept.
    """
    free, now = free_capacity(context.snapshot), context.snapshot.observed_at
    for state in rolling:
        running = state.observed.running
        # Protected tasks count for ECS's upper limit: with 100 % no new task would ever start.
        no_surge = state.component.limits.maximum_percent <= 100
        if state.service is None or not running or no_surge:
            continue
        left = surge_left(state, state.desired, free)
        if left is None:
            note = (
                f"{state.name}: {state.desired} more replicas do not fit "
                f"({why_no_surge(state, free)}): the old ones cannot be kept beside the new ones"
            )
            builder = builder.with_notes([note])
            continue
        free = left
        ranked = most_useful_first(context, state, running)
        count = state.service.desired
        surplus = [t for t in ranked[count:] if is_protected(t, now)]
        if surplus:
            reason = f"{len(surplus)} tasks of an earlier move make room for tasks in use"
            action = protect(state, surplus, None, ActionPurpose.MAKE_ROOM, reason)
            builder = builder.with_actions([action])
        threshold = first_below(context.graph, state.component)
        kept = [t for t in ranked[:count] if minutes_left(t, now) < threshold]
        builder = builder.with_actions(keep_actions(context, state, kept))
    return builder


def _old_side_exits(context: PlanContext) -> bool:
    """Return whether every remaining old task has lost its etcd, and so exits within a lease.

    Old frontends keep listing the model after the last worker is gone, and then answer with errors.
    """
    left = [(s, t) for s in context.dependants for t in s.old_tasks if t.is_running]
    return bool(left) and all(without_etcd(context, s, [t]) for s, t in left)


def _replaces_exiting_side(context: PlanContext, state: ComponentState) -> bool:
    """Return whether an old side that exits anyway may be released.

    It may if one new replica has stayed ready, or all of them are ready and clients have had time
    to find them.
    """
    if fresh_tasks(context, state):
        return True
    found_seconds = FOUND_SECONDS if state.component.is_frontend else 0.0
    reachable = sum(seconds >= found_seconds for _, seconds in proven_seconds(context, state))
    return reachable >= state.desired


def new_side_ready(context: PlanContext) -> bool:
    """Return whether every component that should run has enough replicas at the new endpoints.

    - A component that rolls out for another reason is not waited for: it may wait itself for a
      rollout that ends with this one.
    - While a new infrastructure replica is not ready, dependants still use the old one. Dependants
      that reach it by a service name do not change, and find the new one when the old one goes.
    - An old side that is about to exit anyway is released as soon as the new one is complete.
    """
    exits = _old_side_exits(context)
    dependants = context.dependants
    if context.graph.names and not context.stale and not any(relocates(s) for s in dependants):
        dependants = ()
    return all(
        s.desired == 0
        or (
            s.service is not None
            and not (s.needs_rollout if s.component.is_infrastructure else s.name in context.stale)
            and (_is_up(context, s) or (exits and _replaces_exiting_side(context, s)))
        )
        for s in (*context.infrastructure, *dependants)
    )


def _floor(state: ComponentState) -> int:
    """Return the minimum number of replicas that must serve at any time."""
    return state.component.limits.must_stay(state.desired)


def _is_up(context: PlanContext, state: ComponentState) -> bool:
    """Return whether enough of the new side is ready: the minimum, or all that fit beside the old.

    New tasks that find no capacity beside the old side only start when it is released.
    """
    fresh = len(fresh_tasks(context, state))
    service = state.service
    if fresh >= max(1, _floor(state)):
        return True
    if not fresh or service is None or fresh < len(state.new_tasks):
        return False
    return lacks_capacity(service)


def _release_rank(state: ComponentState) -> int:
    """Return the position in the order of release: requests arrive at the frontends, which need
    workers, and all of them need the infrastructure."""
    if state.component.is_infrastructure:
        return 2
    return 0 if state.component.is_frontend else 1


def _in_the_way(context: PlanContext, state: ComponentState, kept: Sequence[Task]) -> list[Task]:
    """Return the protected tasks that leave the new side no room within ECS's upper limit.

    Protected tasks count for the limit: after two moves in a row both old sides would fill it
    permanently.
    """
    service = state.service
    new = len(state.new_tasks)
    fresh = len(fresh_tasks(context, state)) if new else 0
    baking = service is not None and "baking" in service.tags.get(TAG_CANARY, "")
    if service is None or fresh < new or (new and (new >= state.desired or baking)):
        return []
    limits = service.settings.limits or DeploymentLimits()
    # ECS stops old tasks that are not protected by itself.
    surplus = len(kept) + new + 1 - max(limits.may_run(service.desired), 1)
    if new:
        surplus = min(surplus, len(kept) + fresh - _floor(state))
    ranked = most_useful_first(context, state, kept)
    return ranked[max(0, len(ranked) - max(0, surplus)) :]


def tend_old_side(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Rule: release the old side of a move once the new side is ready, and keep it until then.

    Components with other actions in this pass keep their old side as it is, and while anything is
    unknown nothing is released.
    """
    if context.obstacles or context.doubts.all:
        return builder
    sides = [
        s
        for s in (*context.dependants, *context.infrastructure)
        if s.component.is_infrastructure or relocates(s)
    ]
    actions = old_side_actions(context, sides, is_over=new_side_ready(context))
    occupied = builder.components_with_actions
    return builder.with_actions(a for a in actions if a.component not in occupied)


def old_side_actions(
    context: PlanContext, sides: Sequence[ComponentState], *, is_over: bool
) -> list[ProtectTasks]:
    """Return the protections of the old side to release or extend.

    Once the move ``is_over``, frontends are released first, and what they need once no old frontend
    is left. Tasks that leave the new side no room are released at once. A protection that ends
    before the rollout's deadline (it was given for another reason) is extended to it, and none
    beyond it: from then on the new side is assessed on its own.
    """
    now = context.snapshot.observed_at
    actions = []
    ranks = (_release_rank(s) for s in sides if any(t.is_running for t in s.old_tasks))
    next_rank = min(ranks, default=0)
    for state in sides:
        kept = [t for t in state.old_tasks if is_protected(t, now)]
        if not kept:
            continue
        if is_over and _release_rank(state) <= next_rank:
            reason = "the new revision is ready and routed"
            actions.append(protect(state, kept, None, ActionPurpose.NEW_SIDE_READY, reason))
            continue
        crowding = _in_the_way(context, state, kept)
        if crowding:
            reason = "the new revision does not fit beside it"
            actions.append(protect(state, crowding, None, ActionPurpose.MAKE_ROOM, reason))
        begun = state.primary.created_at if state.primary is not None else None
        begun = now if begun is None else begun
        left = begun + rollout_seconds(context.graph, state.component) - now
        if left <= RENEW_SLACK_SECONDS:
            continue
        threshold = (left - RENEW_SLACK_SECONDS) / 60.0
        ending = [t for t in kept if t not in crowding and minutes_left(t, now) < threshold]
        limit = protectable(state, now, {t.arn for t in crowding})
        if extended := acceptable(ending, limit, now):
            minutes, reason = whole_minutes(left), "the new revision is not ready yet"
            purpose = ActionPurpose.EXTEND_PROTECTION
            actions.append(protect(state, extended, minutes, purpose, reason))
    return actions
