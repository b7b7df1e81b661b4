"""Scale-in takes idle replicas first: busy ones are protected from being stopped, for a while.

Dynamo's frontends tell the work at each worker by its lease, which its registration ties to an
address and so to a task. ECS stops what is not protected; the protection ends by itself after the
drain time, so a daemon that dies, or a replica that is never idle, holds nothing up for longer.
Where nobody knows who is busy, SIGTERM and `stopTimeout` still let requests finish.
"""

from __future__ import annotations

import math
from collections import Counter

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.snapshot import Snapshot, Task, Unknown
from ecs_dynamo.planning.readiness import SERVED_ENDPOINT, discovery_components
from ecs_dynamo.planning.wanted import Wanted

MIN_MINUTES, MAX_MINUTES = 1, 2880
"""What UpdateTaskProtection takes as `expiresInMinutes` (ECS API reference)."""


def busy_tasks(graph: Graph, wanted: Wanted, snapshot: Snapshot) -> frozenset[str] | None:
    """ARNs of the component's tasks that have work; None where that is not known.

    Tasks that share an address (host mode) can not be told apart: all count as busy.
    """
    registrations, busy = snapshot.registrations, snapshot.busy
    if isinstance(registrations, Unknown) or isinstance(busy, Unknown):
        return None
    names = discovery_components(wanted.component)
    addresses = {
        r.address
        for r in registrations
        if r.namespace == graph.namespace
        and r.endpoint == SERVED_ENDPOINT
        and r.component in names
        and busy.get(r.lease_id, 0.0) > 0
    }
    tasks = (*wanted.new_tasks, *wanted.old_tasks)
    return frozenset(t.arn for t in tasks if t.is_running and t.private_ip in addresses)


def _protected(task: Task, now: float) -> bool:
    return task.protected_until is not None and task.protected_until > now


def spare_busy(graph: Graph, wanted: Wanted, snapshot: Snapshot) -> list[ProtectTasks]:
    """Before a scale-in: protect who is busy. While it goes on: release who has become idle."""
    service = wanted.service
    if service is None or not wanted.component.is_worker or wanted.rolling:
        return []
    begins = wanted.desired < service.desired
    goes_on = service.running > service.desired
    if not begins and not goes_on:
        return []
    busy = busy_tasks(graph, wanted, snapshot)
    if busy is None:
        return []
    now = snapshot.observed_at
    running = [t for t in wanted.new_tasks if t.is_running]
    # With an address of their own for each, or as many as are left: else protecting tells nothing.
    crowded = Counter(t.private_ip for t in running)
    keep = [t.arn for t in running if t.arn in busy and not _protected(t, now)]
    free = [t.arn for t in running if t.arn not in busy and _protected(t, now)]
    made: list[ProtectTasks] = []
    if begins and keep and any(crowded[t.private_ip] < len(running) for t in running):
        minutes = math.ceil(graph.runtime.drain_seconds / 60.0) + 1
        made.append(
            ProtectTasks(
                component=wanted.component.name,
                reason=f"{len(keep)} still work: idle replicas go first",
                cluster=wanted.component.cluster,
                tasks=tuple(sorted(keep)),
                minutes=min(max(minutes, MIN_MINUTES), MAX_MINUTES),
            )
        )
    if goes_on and free:
        made.append(
            ProtectTasks(
                component=wanted.component.name,
                reason=f"{len(free)} have become idle and may go",
                cluster=wanted.component.cluster,
                tasks=tuple(sorted(free)),
                minutes=None,
            )
        )
    return made
