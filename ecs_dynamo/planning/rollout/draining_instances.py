"""Container instances that leave: DRAINING, or told to be interrupted.

ECS replaces the tasks of a DRAINING instance within the deployment limits, so these are opened for
as long as it drains: the replacements start beside the tasks that will go, and afterwards the
declared limits are back. A task that goes is protected until a replacement is *ready*, but never
for long: each protection is a minute, and none is given a minute after the replacement began.

An instance that is told of by a spot notice is put into DRAINING. It ends two minutes after the
notice whether its tasks are done or not, so ECS may stop them below the declared minimum: they get
their SIGTERM, and what is left of the two minutes to finish what they work on.

All of it follows from what is seen (DRAINING, and which tasks are there), so a fresh daemon goes on
with it; of a notice, the queue keeps the message until it is over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ProtectTasks, SetInstancesState
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Task, Unknown
from ecs_dynamo.planning.capacity.surge import (
    free_rooms,
    surge_fits,
)
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.readiness import ready_tasks
from ecs_dynamo.planning.rollout.protection import (
    busy_tasks,
    is_protected,
)

PROTECTED_MINUTES = 1
"""The least that UpdateTaskProtection takes; a spot instance has two in all."""
RENEW_SECONDS = 20.0
"""A protection is renewed before it ends, as ECS stops what is unprotected at once."""
GRACE_SECONDS = 60.0
"""A replacement that began longer ago than this is not waited for with a further protection."""
NOTICE_GRACE_SECONDS = 30.0
"""After a notice older than this no protection is begun: it would take the time to finish."""


def _instances(snapshot: Snapshot) -> Iterator[tuple[str, ContainerInstance]]:
    for cluster, seen in snapshot.container_instances.items():
        if not isinstance(seen, Unknown):
            yield from ((cluster, instance) for instance in seen)


def tasks_on_draining_instances(state: ComponentState, snapshot: Snapshot) -> tuple[Task, ...]:
    """The component's running tasks on instances that are DRAINING."""
    arns = {i.arn for _, i in _instances(snapshot) if i.status == "DRAINING"}
    tasks = (*state.new_tasks, *state.old_tasks)
    return tuple(t for t in tasks if t.is_running and t.container_instance_arn in arns)


def _interrupted(task: Task, snapshot: Snapshot) -> float | None:
    """When the notice came that the task's instance will be interrupted."""
    for _, instance in _instances(snapshot):
        notice = snapshot.notices.get(instance.ec2_instance_id)
        if instance.arn == task.container_instance_arn and notice is not None:
            return notice.at if notice.interruption else None
    return None


def _tasks_on(instance: ContainerInstance, state: ComponentState) -> list[Task]:
    tasks = (*state.new_tasks, *state.old_tasks)
    return [t for t in tasks if t.container_instance_arn == instance.arn]


def _needs_protection(task: Task, snapshot: Snapshot) -> bool:
    """Whether it is unprotected, or its protection is about to expire."""
    return (task.protected_until or 0.0) - snapshot.observed_at < RENEW_SECONDS


def drain_noticed(
    wanted: tuple[ComponentState, ...], snapshot: Snapshot
) -> list[ProtectTasks | SetInstancesState]:
    """Set instances with a notice to DRAINING if the graph has tasks on them.

    The tasks are protected first, because ECS stops them as soon as their replacements run. Tasks
    of a service with a rollout in progress are not: ECS may refuse the protection, and the instance
    has to drain regardless.
    """
    made: list[ProtectTasks | SetInstancesState] = []
    for cluster, instance in _instances(snapshot):
        notice = snapshot.notices.get(instance.ec2_instance_id)
        if notice is None or instance.status != "ACTIVE":
            continue
        affected = {w.component.name: _tasks_on(instance, w) for w in wanted}
        users = [name for name, tasks in affected.items() if tasks]
        if not users:
            continue
        for one in wanted:
            tasks = [t for t in affected[one.component.name] if t.is_running]
            arns = [t.arn for t in tasks if _needs_protection(t, snapshot)]
            if arns and not one.rollout_in_progress:
                made.append(
                    ProtectTasks(
                        component=one.component.name,
                        reason=f"keep {len(arns)} on {instance.ec2_instance_id} while it drains",
                        cluster=cluster,
                        tasks=tuple(sorted(arns)),
                        minutes=PROTECTED_MINUTES,
                    )
                )
        what = "will be interrupted" if notice.interruption else "is at risk of interruption"
        made.append(
            SetInstancesState(
                component=users[0],
                reason=f"{instance.ec2_instance_id} {what}: replace {', '.join(users)} early",
                cluster=cluster,
                instances=(instance.arn,),
                status="DRAINING",
                claim=False,
            )
        )
    return made


def draining_limits(state: ComponentState, snapshot: Snapshot) -> DeploymentLimits | None:
    """Limits with which replacements start beside the tasks that leave; None where none leave."""
    leaving = tasks_on_draining_instances(state, snapshot)
    count = len(leaving)
    if not count or not state.desired:
        return None
    declared, desired = state.component.limits, state.desired
    fits = surge_fits(state, 1, free_rooms(snapshot))
    least = 100 if fits else declared.minimum_healthy_percent
    ending = sum(_interrupted(t, snapshot) is not None for t in leaving)
    if ending:
        least = min(least, max(0, desired - ending) * 100 // desired)
    most = max(declared.maximum_percent, math.ceil((desired + count) * 100 / desired))
    return replace(declared, minimum_healthy_percent=least, maximum_percent=min(most, 200))


def _is_full(state: ComponentState) -> bool:
    """Whether the limits allow no further task, so that one has to stop first."""
    service = state.service
    limits = service.settings.limits if service is not None else None
    if service is None or limits is None:
        return False
    return service.running + service.pending >= service.desired * limits.maximum_percent // 100


def protect_tasks_on_draining_instances(
    graph: Graph, state: ComponentState, snapshot: Snapshot
) -> list[ProtectTasks]:
    """Keep tasks that leave until as many replacements are ready; then let the idle ones go."""
    leaving, now = tasks_on_draining_instances(state, snapshot), snapshot.observed_at
    if not leaving:
        return []
    gone = {t.arn for t in leaving}
    stay = [t for t in state.new_tasks if t.arn not in gone and t.desired_status == "RUNNING"]
    ready = {t.arn for t in ready_tasks(graph, state.component, snapshot, stay, proven=True)}
    starting = [t.created_at or now for t in stay if t.arn not in ready]
    late = bool(starting) and now - max(starting) > GRACE_SECONDS
    busy = busy_tasks(graph, state, snapshot) or frozenset()
    ranked = sorted(leaving, key=lambda t: (t.arn not in busy, t.arn))
    count = max(0, state.desired - len(ready))
    keep = [t for t in ranked[:count] if _needs_protection(t, snapshot) and not late]
    keep = [
        t
        for t in keep
        if (at := _interrupted(t, snapshot)) is None or now - at < NOTICE_GRACE_SECONDS
    ]
    if state.old_tasks and not starting and _is_full(state):
        # An old task kept for a replacement that cannot start beside it would be kept indefinitely.
        old = {t.arn for t in state.old_tasks}
        keep = [t for t in keep if t.arn in busy or t.arn not in old]
    free = [t for t in ranked[count:] if is_protected(t, now) and t.arn not in busy]
    return [
        ProtectTasks(
            component=state.component.name,
            reason=why,
            cluster=state.component.cluster,
            tasks=tuple(sorted(t.arn for t in tasks)),
            minutes=minutes,
        )
        for tasks, minutes, why in (
            (keep, PROTECTED_MINUTES, f"keep {len(keep)} on a draining instance for a moment"),
            (free, None, f"{len(free)} on a draining instance are replaced and idle"),
        )
        if tasks
    ]
