"""ECS's automatic actions during a deployment, and how a rollout allows for them.

Since November 2025 ECS replaces lost tasks of the running version "using the same service revision
they belong to", and "applies scale-out to both service revisions". A deployment is active until all
of its tasks have ended, and while five are active ECS refuses a further one ("5 active deployments
exist, unable to create new deployment.", aws/containers-roadmap#2836).
"""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.plan import ProtectTasks, Wait
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.service import Deployment
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.capacity.surge import free_capacity, surge_fits
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.rollout.handover.lost_etcd import without_etcd
from ecs_dynamo.planning.rollout.handover.usefulness import in_use
from ecs_dynamo.planning.rollout.protection import is_protected, protect

MAX_DEPLOYMENTS = 5
"""Active deployments of one service that ECS accepts."""
RESERVED_DEPLOYMENTS = 1
"""Kept free for a rollback by ecs-dynamo or ECS, which is a deployment, too."""


def active_deployments(state: ComponentState) -> tuple[Deployment, ...]:
    """Return the service's deployments that have not ended, oldest first."""
    service = state.service
    active = (
        (d for d in service.deployments if d.status in ("PRIMARY", "ACTIVE")) if service else ()
    )
    return tuple(sorted(active, key=lambda d: (d.created_at or 0.0, d.id)))


def why_deployment_waits(state: ComponentState) -> str | None:
    """Return why a further deployment cannot begin yet; None if it can."""
    count = len(active_deployments(state))
    is_rollback = state.rollback_target is not None
    limit = MAX_DEPLOYMENTS if is_rollback else MAX_DEPLOYMENTS - RESERVED_DEPLOYMENTS
    if not state.needs_rollout or count < limit:
        return None
    return (
        f"{count} of its deployments have not ended, and ECS accepts {MAX_DEPLOYMENTS}: the next "
        "one begins when the oldest has ended"
    )


def end_oldest_deployment(context: PlanContext, state: ComponentState) -> list[ProtectTasks]:
    """Release the protected tasks of the oldest deployment, except those that are in use.

    Tasks that serve are released by the usual handover, as soon as newer replicas are ready.
    """
    earlier = [d for d in active_deployments(state) if d.status != "PRIMARY"]
    if not earlier:
        return []
    now = context.snapshot.observed_at
    used = in_use(context, state, state.old_tasks)
    released = [
        t
        for t in state.observed.tasks
        if t.deployment == earlier[0].id and is_protected(t, now) and t.arn not in used
    ]
    if not released:
        return []
    reason = f"its oldest deployment must end, and {len(released)} of its tasks do not serve"
    return [protect(state, released, None, ActionPurpose.END_OLDEST_DEPLOYMENT, reason)]


def has_lost_etcd(context: PlanContext, state: ComponentState) -> bool:
    """Return whether the etcd of all replicas but those of the desired revision is gone.

    Such replicas exit within about 27 s. Their replacements have the same address of etcd, and use
    the GPU slots that the new revision needs. There is nothing to keep of them.
    """
    tasks = state.old_tasks
    if state.needs_rollout:
        tasks = tuple(t for t in state.observed.tasks if t.desired_status == "RUNNING")
    return bool(tasks) and without_etcd(context, state, tasks) == {t.arn for t in tasks}


def limit_to_both_sides(
    state: ComponentState, snapshot: Snapshot
) -> tuple[ComponentState, Wait | None]:
    """Return ``state`` with no more replicas than fit on both sides of a rollout.

    While an earlier deployment has tasks, ECS adds each further replica to it, too, where it takes
    the capacity of a desired one.
    """
    service = state.service
    sides = [d for d in active_deployments(state) if d.status == "PRIMARY" or d.running]
    if service is None or len(sides) < 2 or state.desired <= service.desired:
        return state, None
    free, least, most = free_capacity(snapshot), 0, state.desired - service.desired
    while least < most:  # Binary search for the largest number that fits.
        middle = (least + most + 1) // 2
        if surge_fits(state, 2 * middle, free):
            least = middle
        else:
            most = middle - 1
    desired = service.desired + least
    if desired == state.desired:
        return state, None
    reason = (
        f"only {desired} of {state.desired} desired replicas fit until the rollout ends: ECS adds "
        "each further replica to both revisions"
    )
    return replace(state, desired=desired), Wait(state.name, reason, WaitPurpose.BOTH_SIDES_FIT)
