"""Container instances that are going away: DRAINING, or with a notice of an interruption.

ECS replaces the tasks of a DRAINING instance within the deployment limits. These are widened while
the instance drains, so that replacements start beside the tasks; afterwards the declared limits are
restored. A task on such an instance is protected until a replacement is *ready*, but only in steps
of one minute, and no step begins later than a minute after the replacement started.

An instance with a spot notice is set to DRAINING. It ends two minutes after the notice in any case,
so ECS may stop its tasks below the declared minimum: they get their SIGTERM, and the rest of the
two minutes to finish their requests.

All of this follows from the observed state (DRAINING, and the tasks that are there), so a new
daemon continues it. The queue keeps the message of a notice until the instance is gone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from ecs_dynamo.model.plan import ProtectTasks, SetInstancesState
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import ContainerInstance, Snapshot, Task, Unknown
from ecs_dynamo.planning.capacity.surge import free_capacity, surge_fits
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.rollout.protection import is_protected, protect

PROTECTED_MINUTES = 1
"""The shortest protection that ECS accepts; a spot instance has two minutes in all."""
RENEW_SECONDS = 20.0
"""A protection is renewed this long before it ends, because ECS stops unprotected tasks at once."""
REPLACEMENT_SECONDS = 60.0
"""No further protection waits for a replacement that started longer ago."""
NOTICE_SECONDS = 30.0
"""No protection begins later after a notice: it would take the time to finish requests."""


def _instances(snapshot: Snapshot) -> Iterator[tuple[str, ContainerInstance]]:
    """Yield each observed container instance with its cluster."""
    for cluster, instances in snapshot.container_instances.items():
        if not isinstance(instances, Unknown):
            yield from ((cluster, instance) for instance in instances)


def _interrupted_at(task: Task, snapshot: Snapshot) -> float | None:
    """Return when the notice came that the task's instance will be interrupted (UTC seconds)."""
    for _, instance in _instances(snapshot):
        notice = snapshot.notices.get(instance.ec2_instance_id)
        if instance.arn == task.container_instance_arn and notice is not None:
            return notice.at if notice.interruption else None
    return None


def _tasks_on(instance: ContainerInstance, state: ComponentState) -> list[Task]:
    tasks = (*state.new_tasks, *state.old_tasks)
    return [t for t in tasks if t.container_instance_arn == instance.arn]


def _needs_protection(task: Task, snapshot: Snapshot) -> bool:
    """Return whether the task is unprotected, or its protection is about to expire."""
    return (task.protected_until or 0.0) - snapshot.observed_at < RENEW_SECONDS


def drain_noticed_instances(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Set instances with a notice to DRAINING if the graph has tasks on them.

    The tasks are protected first, because ECS stops them as soon as their replacements run. Tasks
    of a service with a rollout in progress are not: ECS may refuse the protection, and the instance
    has to drain regardless.
    """
    snapshot = context.snapshot
    for cluster, instance in _instances(snapshot):
        notice = snapshot.notices.get(instance.ec2_instance_id)
        if notice is None or instance.status != "ACTIVE":
            continue
        affected = [(s, tasks) for s in context.actionable if (tasks := _tasks_on(instance, s))]
        if not affected:
            continue
        for state, tasks in affected:
            due = [t for t in tasks if t.is_running and _needs_protection(t, snapshot)]
            if due and not state.rollout_in_progress:
                reason = f"keep {len(due)} tasks on {instance.ec2_instance_id} while it drains"
                action = protect(
                    state, due, PROTECTED_MINUTES, ActionPurpose.DRAIN_INSTANCE, reason
                )
                builder = builder.with_actions([replace(action, cluster=cluster)])
        names = [state.name for state, _ in affected]
        what = "will be interrupted" if notice.interruption else "is at risk of interruption"
        drain = SetInstancesState(
            component=names[0],
            reason=f"{instance.ec2_instance_id} {what}: replace {', '.join(names)} early",
            purpose=ActionPurpose.DRAIN_INSTANCE,
            cluster=cluster,
            instances=(instance.arn,),
            status="DRAINING",
            claim=False,
        )
        builder = builder.with_actions([drain])
    return builder


def draining_limits(state: ComponentState, snapshot: Snapshot) -> DeploymentLimits | None:
    """Return limits with which replacements start beside tasks on draining instances.

    None if no task is on a draining instance.
    """
    draining = state.observed.draining_tasks
    count = len(draining)
    if not count or not state.desired:
        return None
    declared, desired = state.component.limits, state.desired
    fits = surge_fits(state, 1, free_capacity(snapshot))
    least = 100 if fits else declared.minimum_healthy_percent
    ending = sum(_interrupted_at(t, snapshot) is not None for t in draining)
    if ending:
        least = min(least, max(0, desired - ending) * 100 // desired)
    most = max(declared.maximum_percent, math.ceil((desired + count) * 100 / desired))
    return replace(declared, minimum_healthy_percent=least, maximum_percent=min(most, 200))


def _is_full(state: ComponentState) -> bool:
    """Return whether the limits allow no further task, so that one has to stop first."""
    service = state.service
    limits = service.settings.limits if service is not None else None
    if service is None or limits is None:
        return False
    return service.running + service.pending >= limits.may_run(service.desired)


def protect_tasks_on_draining_instances(
    context: PlanContext, state: ComponentState
) -> list[ProtectTasks]:
    """Protect tasks on draining instances until as many replacements are ready.

    Then idle tasks are released.
    """
    snapshot, observed = context.snapshot, state.observed
    draining, now = observed.draining_tasks, snapshot.observed_at
    if not draining:
        return []
    staying = [
        t
        for t in state.new_tasks
        if t.arn not in observed.draining and t.desired_status == "RUNNING"
    ]
    ready = {t.arn for t in observed.proven_ready(staying)}
    starting = [t.created_at or now for t in staying if t.arn not in ready]
    is_late = bool(starting) and now - max(starting) > REPLACEMENT_SECONDS
    busy = observed.busy or frozenset()
    ranked = sorted(draining, key=lambda t: (t.arn not in busy, t.arn))
    count = max(0, state.desired - len(ready))
    due = [t for t in ranked[:count] if _needs_protection(t, snapshot) and not is_late]
    due = [
        t for t in due if (at := _interrupted_at(t, snapshot)) is None or now - at < NOTICE_SECONDS
    ]
    if state.old_tasks and not starting and _is_full(state):
        # An old task that is kept for a replacement that cannot start would be kept indefinitely.
        old = {t.arn for t in state.old_tasks}
        due = [t for t in due if t.arn in busy or t.arn not in old]
    idle = [t for t in ranked[count:] if is_protected(t, now) and t.arn not in busy]
    actions = []
    purpose = ActionPurpose.DRAIN_INSTANCE
    if due:
        reason = f"keep {len(due)} tasks on a draining instance for a minute"
        actions.append(protect(state, due, PROTECTED_MINUTES, purpose, reason))
    if idle:
        reason = f"{len(idle)} tasks on a draining instance are replaced and idle"
        actions.append(protect(state, idle, None, purpose, reason))
    return actions
