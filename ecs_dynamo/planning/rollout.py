"""In which order dependants roll, and how long the old side is kept.

Two cases differ by what real Dynamo allows (measured on 1.6.1):

- *The endpoints hold, the content changed.* One component at a time, workers before frontends, each
  finished before the next begins: a bad change stops at the first component it breaks.
- *The endpoints moved.* A process serves on for about 27 s after etcd was lost and then exits, so
  everything rolls in the same pass, and the old tasks are protected until the new side is up and
  routed. Rolling one by one would split the graph between two etcds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import Endpoints, ProtectTasks
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.capacity import free_gpus, surge_fits
from ecs_dynamo.planning.readiness import ready_tasks
from ecs_dynamo.planning.wanted import Wanted

PROTECTION_MINUTES = 15
"""Task protection while the new side comes up: longer than a usual GPU cold start, and it ends by
itself where the daemon does not come back."""

_ORDER = {Role.DECODE: 0, Role.WORKER: 0, Role.PREFILL: 1, Role.PLANNER: 2, Role.FRONTEND: 3}


def rollout_rank(wanted: Wanted) -> int:
    """Place in the order; a task with several roles rolls with the last of them."""
    return max((_ORDER.get(role, -1) for role in wanted.component.roles), default=-1)


def settled(graph: Graph, wanted: Wanted, snapshot: Snapshot) -> bool:
    """The component runs the wanted revision, all of it, and all of it is ready."""
    service = wanted.service
    return (
        service is not None
        and not wanted.rolls
        and not wanted.rolling
        and service.desired == wanted.desired
        and len(ready_tasks(graph, wanted.component, snapshot)) >= wanted.desired
    )


def next_in_order(
    graph: Graph, dependants: Sequence[Wanted], snapshot: Snapshot
) -> tuple[frozenset[str], str | None]:
    """Components that may roll now when only content changed, and the one that is waited for."""
    for rank in sorted({rollout_rank(w) for w in dependants}):
        group = [w for w in dependants if rollout_rank(w) == rank]
        for wanted in group:
            if wanted.rolls:
                return frozenset({wanted.component.name}), wanted.component.name
            if wanted.rolling and not settled(graph, wanted, snapshot):
                return frozenset(), wanted.component.name
    return frozenset(), None


def moved(
    injected: Mapping[str, Endpoints], resolved: Endpoints, dependants: Sequence[Wanted]
) -> tuple[str, ...]:
    """Dependants whose running revision has endpoints other than the resolved ones.

    Dependants whose endpoints come as `secrets` have none here and so never count as moved.
    """
    return tuple(
        w.component.name
        for w in dependants
        if (have := injected.get(w.component.name)) is not None
        and w.rolls
        and (
            (have.etcd is not None and have.etcd != resolved.etcd)
            or (have.nats is not None and have.nats != resolved.nats)
        )
    )


def _protect(wanted: Wanted, tasks: Sequence[str], minutes: int | None, why: str) -> ProtectTasks:
    return ProtectTasks(
        component=wanted.component.name,
        reason=why,
        cluster=wanted.component.cluster,
        tasks=tuple(sorted(tasks)),
        minutes=minutes,
    )


def keep_old_side(
    rolling: Sequence[Wanted], snapshot: Snapshot
) -> tuple[list[ProtectTasks], list[str]]:
    """Protect the running tasks of what is about to roll, wherever the new side fits beside it."""
    free = dict(free_gpus(snapshot))
    actions: list[ProtectTasks] = []
    notes: list[str] = []
    for wanted in rolling:
        service = wanted.service
        running = [t for t in (*wanted.new_tasks, *wanted.old_tasks) if t.is_running]
        if service is None or not running:
            continue
        if not surge_fits(wanted.component, wanted.desired, free):
            notes.append(
                f"{wanted.component.name}: no free GPU slots for {wanted.desired} more: "
                "the old replicas can not be kept beside the new ones"
            )
            continue
        open_tasks = [
            t.arn
            for t in running
            if t.protected_until is None or t.protected_until <= snapshot.observed_at
        ]
        if open_tasks:
            why = f"keep {len(open_tasks)} serving until the new revision is ready"
            actions.append(_protect(wanted, open_tasks, PROTECTION_MINUTES, why))
    return actions, notes


def new_side_ready(graph: Graph, dependants: Sequence[Wanted], snapshot: Snapshot) -> bool:
    """Each dependant that should run has a ready replica of its service's revision."""
    return all(
        w.desired == 0
        or (not w.rolls and ready_tasks(graph, w.component, snapshot, tasks=w.new_tasks))
        for w in dependants
    )


def release_old_side(owned: Sequence[Wanted], snapshot: Snapshot, why: str) -> list[ProtectTasks]:
    """Take the protection off old tasks; ECS then stops them within the rollout's limits."""
    actions = []
    for wanted in owned:
        protected = [
            t.arn
            for t in wanted.old_tasks
            if t.protected_until is not None and t.protected_until > snapshot.observed_at
        ]
        if protected:
            actions.append(_protect(wanted, protected, None, why))
    return actions
