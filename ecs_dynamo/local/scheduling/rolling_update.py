"""ECS's rolling update, decided from a view of a service: what to start and what to stop. Pure.

Rules from the ECS developer guide: at least ``ceil(desired * minimumHealthyPercent)`` healthy
tasks are kept, at most ``floor(desired * maximumPercent)`` run or start; protected tasks are not
stopped by deployments or scale-in; the circuit breaker fails a deployment after
``min(200, max(3, 0.5 * desired))`` failures in a row, unless a task has succeeded before. Tasks
on a DRAINING container instance are replaced within the same limits.

Since November 2025 "ECS now replaces unhealthy or terminated tasks using the same service revision
they belong to", and "applies scale-out to both service revisions", within the same limits (AWS's
notice "Amazon ECS improves Service Availability during Rolling deployments"). That is said of "your
currently running version": of a deployment that was complete once. AWS does not say which of the
two finds its place first; here it is the running version, which is harder on the new one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that is wanted (not stopping). ``healthy``: RUNNING, and its health check is fine."""

    arn: str
    deployment: str
    running: bool
    healthy: bool
    unhealthy: bool
    protected: bool
    created_at: float
    leaving: bool = False
    """Its container instance is DRAINING: it is replaced, whatever its deployment is."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """``primary`` is the id of the deployment in force; tasks of others are the old side.

    ``keeps``: how many tasks each former deployment that was complete once is to have still;
    ``pausing``: those of which nothing is started now, after failures.
    """

    desired: int
    minimum_percent: int
    maximum_percent: int
    primary: str
    tasks: tuple[TaskView, ...]
    may_start: bool = True
    keeps: Mapping[str, int] = field(default_factory=dict)
    pausing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moves:
    """``start`` tasks of the primary deployment; ``stop`` maps task ARN to the reason.

    ``replace``: tasks to start of former deployments, ``keeps``: what these keep from now on.
    """

    start: int
    stop: tuple[tuple[str, str], ...]
    complete: bool
    replace: Mapping[str, int] = field(default_factory=dict)
    keeps: Mapping[str, int] = field(default_factory=dict)


def failure_threshold(desired: int) -> int:
    """Failures in a row after which the circuit breaker acts."""
    return min(200, max(3, math.ceil(0.5 * desired)))


def _last_first(tasks: Sequence[TaskView]) -> list[TaskView]:
    """Those that serve least first: not running, then unhealthy, then the newest."""
    return sorted(tasks, key=lambda t: (t.running, t.healthy, -t.created_at, t.arn))


def decide(service: ServiceView) -> Moves:
    """The moves to make now."""
    lower = math.ceil(service.desired * service.minimum_percent / 100)
    upper = math.floor(service.desired * service.maximum_percent / 100)
    sick = [t for t in service.tasks if t.unhealthy]
    stops = {t.arn: "failed container health checks" for t in sick}
    tasks = [t for t in service.tasks if t.arn not in stops]
    new = [t for t in tasks if t.deployment == service.primary and not t.leaving]
    old = [t for t in tasks if t.deployment != service.primary or t.leaving]

    excess = len(new) - service.desired
    for task in _last_first([t for t in new if not t.protected])[: max(0, excess)]:
        stops[task.arn] = "Scaling activity initiated by deployment"
    new = [t for t in new if t.arn not in stops]

    healthy = sum(1 for t in (*new, *old) if t.healthy)
    done = sum(1 for t in new if t.healthy) >= service.desired
    keeps = dict.fromkeys(service.keeps, 0) if done else dict(service.keeps)
    for task in _last_first([t for t in old if not t.protected]):
        if not done and task.healthy and healthy <= lower:
            continue
        # What has just been started again for the running version is still to become healthy.
        if not done and not task.healthy and keeps.get(task.deployment, 0) and healthy < lower:
            continue
        healthy -= task.healthy
        if task.deployment in keeps:
            keeps[task.deployment] = max(0, keeps[task.deployment] - 1)
        stops[task.arn] = (
            "Task stopped by instance draining"
            if task.leaving
            else "Task stopped by a newer deployment"
        )
    old = [t for t in old if t.arn not in stops]

    # Where there is room for no surge, old tasks were stopped above down to the lower limit.
    room = max(0, upper - len(new) - len(old))
    replace: dict[str, int] = {}
    for deployment, count in keeps.items():
        if deployment in service.pausing:
            continue
        lost = count - sum(1 for t in old if t.deployment == deployment)
        replace[deployment] = min(room, max(0, lost))
        room -= replace[deployment]
    missing = max(0, service.desired - len(new))
    start = min(missing, room) if service.may_start else 0
    complete = done and not old and len(new) == service.desired
    return Moves(start, tuple(sorted(stops.items())), complete, replace, keeps)
