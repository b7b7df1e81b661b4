"""What ECS does by itself while a deployment is under way, and how a rollout allows for it.

Since November 2025 ECS replaces lost tasks of the running version "using the same service revision
they belong to", and "applies scale-out to both service revisions". A deployment is active until all
of its tasks have ended, and with five active ones ECS refuses a further one ("5 active deployments
exist, unable to create new deployment.", aws/containers-roadmap#2836).
"""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.service import Deployment
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Task,
)
from ecs_dynamo.planning.capacity.surge import (
    free_rooms,
    surge_fits,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.observed.lookup import known_tasks
from ecs_dynamo.planning.rollout import handover
from ecs_dynamo.planning.rollout.lost_etcd import without_etcd
from ecs_dynamo.planning.rollout.protection import is_protected

MOST_DEPLOYMENTS = 5
"""Active deployments of one service that ECS accepts."""
SPARE_DEPLOYMENTS = 1
"""Kept free for going back to a former revision, which is a deployment too, also ECS's own."""


def active_deployments(state: ComponentState) -> tuple[Deployment, ...]:
    """The service's deployments that have not ended, the oldest first."""
    service = state.service
    found = (d for d in service.deployments if d.status in ("PRIMARY", "ACTIVE")) if service else ()
    return tuple(sorted(found, key=lambda d: (d.created_at or 0.0, d.id)))


def why_deployment_waits(state: ComponentState) -> str | None:
    """Why a further deployment cannot begin yet; None where it can."""
    count = len(active_deployments(state))
    most = MOST_DEPLOYMENTS - (0 if state.rollback_target is not None else SPARE_DEPLOYMENTS)
    if not state.needs_rollout or count < most:
        return None
    return (
        f"{count} deployments of it have not ended, and ECS takes {MOST_DEPLOYMENTS}: the next "
        "begins when the oldest has ended"
    )


def let_oldest_end(context: PlanContext, state: ComponentState) -> list[ProtectTasks]:
    """Release what protection keeps of the oldest deployment, but for what is in use.

    What serves is released by the usual hand-over, as soon as newer replicas are ready.
    """
    former = [d for d in active_deployments(state) if d.status != "PRIMARY"]
    if not former:
        return []
    now = context.snapshot.observed_at
    in_use = handover.in_use(context, state, state.old_tasks)
    release = [
        t.arn
        for t in known_tasks(state.observed)
        if t.deployment == former[0].id and is_protected(t, now) and t.arn not in in_use
    ]
    if not release:
        return []
    return [
        ProtectTasks(
            component=state.component.name,
            reason=f"its oldest deployment must end: {len(release)} of it do not serve",
            cluster=state.component.cluster,
            tasks=tuple(sorted(release)),
            minutes=None,
        )
    ]


def lost_etcd(context: PlanContext, state: ComponentState) -> bool:
    """Whether all replicas beside those of the wanted revision have an etcd that is gone.

    They exit within about 27 s, and come back with the same dead address, in the GPU slots that the
    new revision needs: there is nothing to keep of them.
    """
    tasks: tuple[Task, ...] = (
        tuple(t for t in known_tasks(state.observed) if t.desired_status == "RUNNING")
        if state.needs_rollout
        else state.old_tasks
    )
    return bool(tasks) and without_etcd(context, state, tasks) == {t.arn for t in tasks}


def within_both_sides(
    state: ComponentState, snapshot: Snapshot
) -> tuple[ComponentState, str | None]:
    """``state`` with no more replicas than fit on both sides of a rollout, and why it is fewer.

    While a former deployment has tasks ECS adds each further replica to it too, where it takes the
    place of one that is wanted.
    """
    service = state.service
    sides = [d for d in active_deployments(state) if d.status == "PRIMARY" or d.running]
    if service is None or len(sides) < 2 or state.desired <= service.desired:
        return state, None
    free, least, most = free_rooms(snapshot), 0, state.desired - service.desired
    while least < most:  # The most that fit, by halving.
        middle = (least + most + 1) // 2
        if surge_fits(state, 2 * middle, free):
            least = middle
        else:
            most = middle - 1
    desired = service.desired + least
    if desired == state.desired:
        return state, None
    return replace(state, desired=desired), (
        f"{state.desired} replicas are wanted: more than {desired} wait for the rollout to end, "
        "as ECS adds them to both revisions and there is no room for that"
    )
