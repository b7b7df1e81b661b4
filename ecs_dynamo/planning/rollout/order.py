"""In which order dependants roll.

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
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.endpoints import share_endpoints
from ecs_dynamo.planning.observed.readiness import ready_tasks

_ORDER = {Role.DECODE: 0, Role.WORKER: 0, Role.PREFILL: 1, Role.PLANNER: 2, Role.FRONTEND: 3}


def rollout_rank(state: ComponentState) -> int:
    """Place in the order; a task with several roles rolls with the last of them."""
    return max((_ORDER.get(role, -1) for role in state.component.roles), default=-1)


def settled(graph: Graph, state: ComponentState, snapshot: Snapshot) -> bool:
    """The component runs the wanted revision, all of it, and all of it is ready."""
    service = state.service
    return (
        service is not None
        and not state.needs_rollout
        and not state.rollout_in_progress
        and service.desired == state.desired
        and len(ready_tasks(graph, state.component, snapshot, proven=True)) >= state.desired
    )


def next_in_order(
    graph: Graph, dependants: Sequence[ComponentState], snapshot: Snapshot
) -> tuple[frozenset[str], str | None]:
    """Components that may roll now when only content changed, and the one that is waited for."""
    for rank in sorted({rollout_rank(w) for w in dependants}):
        group = [w for w in dependants if rollout_rank(w) == rank]
        for wanted in group:
            if wanted.needs_rollout:
                return frozenset({wanted.component.name}), wanted.component.name
            # ECS is done as soon as the tasks run; a revision that has not proven itself may still
            # turn out bad.
            tried = wanted.current is not None and wanted.current.number != wanted.last_good
            if (wanted.rollout_in_progress or tried) and not settled(graph, wanted, snapshot):
                return frozenset(), wanted.component.name
    return frozenset(), None


def moved(
    injected: Mapping[str, Endpoints], resolved: Endpoints, dependants: Sequence[ComponentState]
) -> tuple[str, ...]:
    """Dependants whose running revision has endpoints that serve it no more.

    A list of several that changed by one member is followed in order, as any other change.
    Dependants whose endpoints come as `secrets` have none here and so never count as moved.
    """
    return tuple(
        w.component.name
        for w in dependants
        if (have := injected.get(w.component.name)) is not None
        and w.needs_rollout
        and (
            (have.etcd is not None and not share_endpoints(have.etcd, resolved.etcd))
            or (have.nats is not None and not share_endpoints(have.nats, resolved.nats))
        )
    )
