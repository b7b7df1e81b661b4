"""Scale-in takes idle replicas first: busy ones are protected from being stopped, for a while.

Workers, and Dynamo's frontends, tell the work at each worker by its lease, which its registration
ties to an address and so to a task. ECS stops what is not protected; the protection ends by itself
after the drain time, so a daemon that dies, or a replica that is never idle, holds nothing up.
Where nobody knows who is busy, SIGTERM and `stopTimeout` still let requests finish.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ProtectTasks
from ecs_dynamo.model.snapshot import Snapshot, Task, Unknown
from ecs_dynamo.planning.readiness import SERVED_ENDPOINT, discovery_components
from ecs_dynamo.planning.wanted import Wanted

MIN_MINUTES, MAX_MINUTES = 1, 2880
"""What UpdateTaskProtection takes as `expiresInMinutes` (ECS API reference)."""


def _of_leases(
    graph: Graph, wanted: Wanted, snapshot: Snapshot, leases: Container[int]
) -> frozenset[str] | None:
    registrations = snapshot.registrations
    if isinstance(registrations, Unknown):
        return None
    names = discovery_components(wanted.component)
    addresses = {
        r.address
        for r in registrations
        if r.namespace == graph.namespace
        and r.endpoint == SERVED_ENDPOINT
        and r.component in names
        and r.lease_id in leases
    }
    tasks = (*wanted.new_tasks, *wanted.old_tasks)
    return frozenset(t.arn for t in tasks if t.is_running and t.private_ip in addresses)


def busy_tasks(graph: Graph, wanted: Wanted, snapshot: Snapshot) -> frozenset[str] | None:
    """ARNs of the component's tasks that have work; None where that is not known.

    Tasks that share an address (host mode) can not be told apart: all count as busy.
    """
    busy = snapshot.busy
    if isinstance(busy, Unknown):
        return None
    return _of_leases(graph, wanted, snapshot, {k for k, work in busy.items() if work > 0})


def served_tasks(graph: Graph, wanted: Wanted, snapshot: Snapshot) -> frozenset[str] | None:
    """ARNs of the component's tasks that a frontend has had an answer from; None: not known."""
    served = snapshot.served
    return None if isinstance(served, Unknown) else _of_leases(graph, wanted, snapshot, served)


def is_protected(task: Task, now: float) -> bool:
    """ECS will not stop it for a deployment or a scale-in now."""
    return task.protected_until is not None and task.protected_until > now


def drain_minutes(graph: Graph) -> int:
    """The drain time as a protection: whole minutes, with a margin for what ends meanwhile."""
    minutes = math.ceil(graph.runtime.drain_seconds / 60.0) + 1
    return min(max(minutes, MIN_MINUTES), MAX_MINUTES)


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
    keep = [t.arn for t in running if t.arn in busy and not is_protected(t, now)]
    free = [t.arn for t in running if t.arn not in busy and is_protected(t, now)]
    made: list[ProtectTasks] = []
    if begins and keep and any(crowded[t.private_ip] < len(running) for t in running):
        made.append(
            ProtectTasks(
                component=wanted.component.name,
                reason=f"{len(keep)} still work: idle replicas go first",
                cluster=wanted.component.cluster,
                tasks=tuple(sorted(keep)),
                minutes=drain_minutes(graph),
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
