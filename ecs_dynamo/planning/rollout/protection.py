"""Scale-in takes idle replicas first: busy ones are protected from being stopped, for a while.

Workers, and Dynamo's frontends, tell the work at each worker by its lease, and its own page which
task has that lease (`attribution`). ECS stops what is not protected; the protection ends by itself
after the drain time, so a daemon that dies, or a replica that is never idle, holds nothing up.
Where nobody knows who is busy, SIGTERM and `stopTimeout` still let requests finish.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Sequence
from dataclasses import replace

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.snapshot import Snapshot, Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.attribution import attribute
from ecs_dynamo.planning.observed.lookup import short_id

MIN_MINUTES, MAX_MINUTES = 1, 2880
"""What UpdateTaskProtection takes as `expiresInMinutes` (ECS API reference)."""


def _of_leases(
    graph: Graph, state: ComponentState, snapshot: Snapshot, leases: Container[int]
) -> frozenset[str] | None:
    """ARNs of the component's running tasks that may have one of ``leases``; None: not known."""
    if isinstance(snapshot.registrations, Unknown):
        return None
    made = attribute(graph, snapshot)
    arns = {arn for c in made.claims if c.registration.lease_id in leases for arn in c.tasks}
    if any(r.lease_id in leases for r, _ in made.unattributed):
        # It may be one of those that never told who they are.
        arns |= {arn for arn, silent in made.silent.items() if silent.last is None}
    tasks = (*state.new_tasks, *state.old_tasks)
    return frozenset(t.arn for t in tasks if t.is_running and t.arn in arns)


def busy_tasks(graph: Graph, state: ComponentState, snapshot: Snapshot) -> frozenset[str] | None:
    """ARNs of the component's tasks that have work; None where that is not known.

    Where a registration may be that of several tasks, all of them count as busy.
    """
    busy = snapshot.busy
    if isinstance(busy, Unknown):
        return None
    return _of_leases(graph, state, snapshot, {k for k, work in busy.items() if work > 0})


def without_unknown_work(
    graph: Graph, state: ComponentState, snapshot: Snapshot
) -> tuple[ComponentState, str | None]:
    """``state`` without a scale-in while it is unknown whether a replica has work, and why.

    A registered worker that does not answer may still be working, and ECS would stop it as idle.
    Once the drain time has passed, any work it had has been given its time.
    """
    service, drain = state.service, graph.runtime.drain_seconds
    if service is None or state.desired >= service.desired or not state.component.is_worker:
        return state, None
    made = attribute(graph, snapshot)
    for task in state.new_tasks:
        silent = made.silent.get(task.arn)
        if silent is None or silent.seconds >= drain or not made.leases_of(task.arn):
            continue
        return replace(state, desired=service.desired), (
            f"keeps {service.desired} replicas until its task {short_id(task.arn)} answers, or "
            f"{drain:g} s are over: whether it has work is not known ({silent.reason})"
        )
    return state, None


def served_tasks(graph: Graph, state: ComponentState, snapshot: Snapshot) -> frozenset[str] | None:
    """ARNs of the component's tasks that a frontend has had an answer from; None: not known."""
    served = snapshot.served
    return None if isinstance(served, Unknown) else _of_leases(graph, state, snapshot, served)


def is_protected(task: Task, now: float) -> bool:
    """ECS will not stop it for a deployment or a scale-in now."""
    return task.protected_until is not None and task.protected_until > now


def minutes_left(task: Task, now: float) -> float:
    """Minutes of protection that are left; 0 without."""
    return max(0.0, (task.protected_until or 0.0) - now) / 60.0


def protect(
    state: ComponentState, tasks: Sequence[Task], minutes: int | None, why: str
) -> ProtectTasks:
    """The action that protects ``tasks`` for ``minutes``, or releases them."""
    return ProtectTasks(
        component=state.component.name,
        reason=why,
        cluster=state.component.cluster,
        tasks=tuple(sorted(t.arn for t in tasks)),
        minutes=minutes,
    )


def protectable(state: ComponentState, now: float, released: Collection[str] = ()) -> int:
    """How many tasks more can be protected once ``released`` are not; below 0 none, not even anew.

    UpdateTaskProtection answers DEPLOYMENT_BLOCKED where a service has more protected tasks than
    its desired count (ECS developer guide, task scale-in protection).
    """
    service = state.service
    if service is None:
        return 0
    tasks = (*state.new_tasks, *state.old_tasks)
    held = sum(t.protected_until is not None and t.protected_until > now for t in tasks)
    freed = sum(minutes_left(t, now) > 0 and t.arn in released for t in tasks)
    return service.desired - (held - freed)


def acceptable(tasks: Sequence[Task], most: int, now: float) -> list[Task]:
    """Those of ``tasks``, in their order, whose protection ECS accepts with ``most`` to spare."""
    made: list[Task] = []
    for task in tasks if most >= 0 else ():
        anew = minutes_left(task, now) == 0
        if not anew or most > 0:
            made.append(task)
            most -= anew
    return made


def drain_minutes(graph: Graph) -> int:
    """The drain time as a protection: whole minutes, with a margin for what ends meanwhile."""
    minutes = math.ceil(graph.runtime.drain_seconds / 60.0) + 1
    return min(max(minutes, MIN_MINUTES), MAX_MINUTES)


def _told_apart(graph: Graph, snapshot: Snapshot, running: Sequence[Task]) -> bool:
    """Whether the work at one of the tasks is not taken for work at all of them: else protecting
    those that are busy tells nothing."""
    arns = {t.arn for t in running}
    owners = [arns.intersection(c.tasks) for c in attribute(graph, snapshot).claims]
    return any(tasks and tasks != arns for tasks in owners)


def protect_busy_tasks(
    graph: Graph, state: ComponentState, snapshot: Snapshot
) -> list[ProtectTasks]:
    """Before a scale-in: protect who is busy. While it goes on: release who has become idle.

    Of frontends nobody tells work by the task, but a rollout that was taken back may have left them
    protected: then none could go until that ends.
    """
    service = state.service
    if service is None or state.component.is_infrastructure or state.rollout_in_progress:
        return []
    begins = state.desired < service.desired
    goes_on = service.running > service.desired
    if not begins and not goes_on:
        return []
    busy = busy_tasks(graph, state, snapshot)
    if busy is None:
        return []
    now, minutes = snapshot.observed_at, drain_minutes(graph)
    running = [t for t in state.new_tasks if t.is_running]
    # A rollout may have left longer protections, also to those that it was taken back to.
    keep = [t for t in running if t.arn in busy and not 0 < minutes_left(t, now) <= minutes]
    free = [t for t in running if t.arn not in busy and is_protected(t, now)]
    keep = acceptable(keep, protectable(state, now, {t.arn for t in free}), now)
    made: list[ProtectTasks] = []
    if free:
        made.append(protect(state, free, None, f"{len(free)} have become idle and may go"))
    if begins and keep and _told_apart(graph, snapshot, running):
        why = f"{len(keep)} still work: idle replicas go first"
        made.append(protect(state, keep, minutes, why))
    return made
