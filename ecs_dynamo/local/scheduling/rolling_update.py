"""ECS's rolling update: decides which tasks of a service to start and to stop. Pure.

The rules are from the ECS developer guide. At least ``ceil(desired * minimumHealthyPercent)``
healthy tasks remain, and at most ``floor(desired * maximumPercent)`` tasks run or start. Neither
deployments nor scale-in stop protected tasks. The circuit breaker fails a deployment after
``min(200, max(3, 0.5 * desired))`` consecutive failures, unless a task has succeeded before. Tasks
on a DRAINING container instance are replaced within the same limits.

Since November 2025 "ECS now replaces unhealthy or terminated tasks using the same service revision
they belong to", and "applies scale-out to both service revisions", within the same limits (AWS's
notice "Amazon ECS improves Service Availability during Rolling deployments"). The notice says this
of "your currently running version", that is, of a deployment that has completed once. AWS does not
document which of the two is placed first. Here it is the running version, the harder case for the
new one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

UNHEALTHY_REASON = "failed container health checks"
"""The reason to stop an unhealthy task, as ECS words it."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that is not being stopped.

    A task is healthy if it is RUNNING and its health check, if it has one, succeeds.
    """

    arn: str
    deployment: str
    running: bool
    healthy: bool
    unhealthy: bool
    protected: bool
    created_at: float
    on_draining_instance: bool = False
    """Such a task is replaced, whichever deployment it belongs to."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service and its tasks.

    ``primary`` is the id of the primary deployment; tasks of other deployments are to be replaced.
    ``retained`` has the number of tasks that each earlier deployment which has completed once
    should still have. ``backing_off`` has the deployments of which no task is started at present,
    after failures.
    """

    desired: int
    minimum_percent: int
    maximum_percent: int
    primary: str
    tasks: tuple[TaskView, ...]
    may_start: bool = True
    retained: Mapping[str, int] = field(default_factory=dict)
    backing_off: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """The tasks to start and to stop.

    ``start`` is the number of tasks to start of the primary deployment, and ``replace`` that of
    each earlier deployment. ``stop`` has pairs of a task's ARN and the reason to stop it.
    ``retained`` replaces that of the `ServiceView`. ``complete`` is whether the primary deployment
    has completed.
    """

    start: int
    stop: tuple[tuple[str, str], ...]
    complete: bool
    replace: Mapping[str, int] = field(default_factory=dict)
    retained: Mapping[str, int] = field(default_factory=dict)


def failure_threshold(desired: int) -> int:
    """Return the number of consecutive failures after which the circuit breaker acts."""
    return min(200, max(3, math.ceil(0.5 * desired)))


def _least_useful_first(tasks: Sequence[TaskView]) -> list[TaskView]:
    """Sort tasks: those that do not run first, then unhealthy ones, then the newest."""
    return sorted(tasks, key=lambda t: (t.running, t.healthy, -t.created_at, t.arn))


def decide(service: ServiceView) -> TaskChanges:
    """Return the changes to make now."""
    lower = math.ceil(service.desired * service.minimum_percent / 100)
    upper = math.floor(service.desired * service.maximum_percent / 100)
    stops = {t.arn: UNHEALTHY_REASON for t in service.tasks if t.unhealthy}
    tasks = [t for t in service.tasks if t.arn not in stops]
    new = [t for t in tasks if t.deployment == service.primary and not t.on_draining_instance]
    old = [t for t in tasks if t.deployment != service.primary or t.on_draining_instance]

    excess = len(new) - service.desired
    for task in _least_useful_first([t for t in new if not t.protected])[: max(0, excess)]:
        stops[task.arn] = "Scaling activity initiated by deployment"
    new = [t for t in new if t.arn not in stops]

    healthy = sum(1 for t in (*new, *old) if t.healthy)
    done = sum(1 for t in new if t.healthy) >= service.desired
    retained = dict.fromkeys(service.retained, 0) if done else dict(service.retained)
    for task in _least_useful_first([t for t in old if not t.protected]):
        if not done and task.healthy and healthy <= lower:
            continue
        # A task that was just started for the running version may still become healthy.
        if not done and not task.healthy and retained.get(task.deployment, 0) and healthy < lower:
            continue
        healthy -= task.healthy
        if task.deployment in retained:
            retained[task.deployment] = max(0, retained[task.deployment] - 1)
        stops[task.arn] = (
            "Task stopped by instance draining"
            if task.on_draining_instance
            else "Task stopped by a newer deployment"
        )
    old = [t for t in old if t.arn not in stops]

    # If the limits do not allow a surge, old tasks were stopped above, down to the lower limit.
    allowance = max(0, upper - len(new) - len(old))
    replace: dict[str, int] = {}
    for deployment, count in retained.items():
        if deployment in service.backing_off:
            continue
        lost = count - sum(1 for t in old if t.deployment == deployment)
        replace[deployment] = min(allowance, max(0, lost))
        allowance -= replace[deployment]
    missing = max(0, service.desired - len(new))
    start = min(missing, allowance) if service.may_start else 0
    complete = done and not old and len(new) == service.desired
    return TaskChanges(start, tuple(sorted(stops.items())), complete, replace, retained)
