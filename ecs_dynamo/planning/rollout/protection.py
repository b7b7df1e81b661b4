"""Scale-in protection: busy replicas are protected from being stopped for a limited time.

Workers and Dynamo's frontends report the work at each worker by its lease, and a worker's own page
shows which task holds that lease (`attribution`). ECS stops tasks that are not protected.
Protection ends by itself after the drain time, so a daemon that dies, or a replica that is never
idle, blocks nothing. Where it is unknown which replicas are busy, SIGTERM and `stopTimeout` still
let requests finish.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import ProtectTasks, Wait
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.observed.attribution import Attribution
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.lookup import short_id

MIN_MINUTES, MAX_MINUTES = 1, 2880
"""Limits of UpdateTaskProtection's `expiresInMinutes` (ECS API reference)."""


def is_protected(task: Task, wall: float) -> bool:
    """Return whether ECS will not stop the task for a deployment or a scale-in."""
    return task.protected_until is not None and task.protected_until > wall


def minutes_left(task: Task, wall: float) -> float:
    """Return the minutes of protection that are left; 0 without protection."""
    return max(0.0, (task.protected_until or 0.0) - wall) / 60.0


def whole_minutes(seconds: float) -> int:
    """Return ``seconds`` as `expiresInMinutes`, within the limits of UpdateTaskProtection."""
    return min(max(math.ceil(seconds / 60.0), MIN_MINUTES), MAX_MINUTES)


def drain_minutes(graph: Graph, component: Component) -> int:
    """Return the drain time as a protection: whole minutes, with a margin of one."""
    minutes = math.ceil(graph.drain_seconds(component) / 60.0) + 1
    return min(max(minutes, MIN_MINUTES), MAX_MINUTES)


def protect(
    state: ComponentState,
    tasks: Sequence[Task],
    minutes: int | None,
    purpose: ActionPurpose,
    reason: str,
) -> ProtectTasks:
    """Return the action that protects ``tasks`` for ``minutes``, or releases them (None)."""
    return ProtectTasks(
        component=state.name,
        reason=reason,
        purpose=purpose,
        cluster=state.component.cluster,
        tasks=tuple(sorted(t.arn for t in tasks)),
        minutes=minutes,
    )


def protectable(state: ComponentState, wall: float, released: Collection[str] = ()) -> int:
    """Return how many more tasks can be protected once ``released`` (ARNs) are not.

    UpdateTaskProtection answers DEPLOYMENT_BLOCKED where a service has more protected tasks than
    its desired count (ECS developer guide, task scale-in protection). A negative result means that
    ECS does not even renew a protection.
    """
    service = state.service
    if service is None:
        return 0
    tasks = (*state.new_tasks, *state.old_tasks)
    protected = [t for t in tasks if is_protected(t, wall)]
    freed = sum(t.arn in released for t in protected)
    return service.desired - (len(protected) - freed)


def acceptable(tasks: Sequence[Task], limit: int, wall: float) -> list[Task]:
    """Return those of ``tasks``, in their order, whose protection ECS accepts.

    ``limit`` more tasks can be protected; below 0 not even a renewal is accepted.
    """
    accepted: list[Task] = []
    for task in tasks if limit >= 0 else ():
        is_new = minutes_left(task, wall) == 0
        if not is_new or limit > 0:
            accepted.append(task)
            limit -= is_new
    return accepted


def defer_unknown_work(
    observed: ObservedGraph, state: ComponentState
) -> tuple[ComponentState, Wait | None]:
    """Return ``state`` without a scale-in while it is unknown whether a replica is busy.

    A registered worker that does not answer may still be working, and ECS would stop it as idle.
    After the drain time, any pending request has had its time to finish.
    """
    service, drain = state.service, observed.graph.drain_seconds(state.component)
    if service is None or state.desired >= service.desired or not state.component.is_worker:
        return state, None
    attribution = observed.attribution
    for task in state.new_tasks:
        silent = attribution.silent.get(task.arn)
        if silent is None or silent.seconds >= drain or not attribution.leases_of(task.arn):
            continue
        reason = (
            f"keeps {service.desired} replicas until its task {short_id(task.arn)} answers or "
            f"{drain:g} s have passed: it is unknown whether the task is busy ({silent.reason})"
        )
        deferred = replace(state, desired=service.desired)
        return deferred, Wait(state.name, reason, WaitPurpose.KNOWN_WORK)
    return state, None


def protect_busy_tasks(context: PlanContext, state: ComponentState) -> list[ProtectTasks]:
    """Protect busy tasks before a scale-in, and release tasks that become idle during it.

    The work of frontends is not known by task, but a rollback may have left them protected: without
    a release none could be stopped until the protection ends.
    """
    service = state.service
    if service is None or state.component.is_infrastructure or state.rollout_in_progress:
        return []
    begins = state.desired < service.desired
    in_progress = service.running > service.desired
    busy = state.observed.busy
    if busy is None or not (begins or in_progress):
        return []
    now, minutes = context.snapshot.observed_at, drain_minutes(context.graph, state.component)
    running = [t for t in state.new_tasks if t.is_running]
    idle = [t for t in running if t.arn not in busy and is_protected(t, now)]
    # A rollout may have left longer protections, also of tasks to which it was rolled back.
    due = [t for t in running if t.arn in busy and not 0 < minutes_left(t, now) <= minutes]
    if state.component.declared_name:
        # Another generation ends: its workers finish their requests after SIGTERM. Protection only
        # chooses which of them end first.
        kept = sorted(
            (t for t in running if t.arn in busy), key=lambda t: (-minutes_left(t, now), t.arn)
        )
        kept = kept[: state.desired]
        idle = [t for t in running if t not in kept and is_protected(t, now)]
        due = [t for t in due if t in kept]
    due = acceptable(due, protectable(state, now, {t.arn for t in idle}), now)
    actions: list[ProtectTasks] = []
    if idle:
        reason = f"{len(idle)} tasks have become idle or are not needed any longer"
        actions.append(protect(state, idle, None, ActionPurpose.RELEASE_IDLE, reason))
    if begins and due and _work_is_distinct(context.observed.attribution, running):
        reason = f"{len(due)} tasks still work: idle ones are stopped first"
        actions.append(protect(state, due, minutes, ActionPurpose.KEEP_BUSY, reason))
    return actions


def _work_is_distinct(attribution: Attribution, running: Sequence[Task]) -> bool:
    """Return whether some registration belongs to a part of the tasks only.

    Otherwise the work at one task counts for all of them, and protection distinguishes nothing.
    """
    arns = {t.arn for t in running}
    owners = [arns.intersection(c.tasks) for c in attribution.claims]
    return any(tasks and tasks != arns for tasks in owners)
