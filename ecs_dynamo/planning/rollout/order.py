"""The order in which dependants roll out.

Real Dynamo distinguishes two cases (measured on 1.6.1):

- *The endpoints stay, and the content changed.* One component at a time, workers before frontends,
  each completed before the next begins: a bad change stops at the first component that it breaks.
- *The endpoints moved.* A process serves for about 27 s after it lost etcd, and then exits.
  Therefore all components roll out in the same pass, and the old tasks are protected until the new
  side is ready and routed. One rollout at a time would split the graph between two etcds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.endpoints import share_endpoints

_ORDER = {Role.DECODE: 0, Role.WORKER: 0, Role.PREFILL: 1, Role.PLANNER: 2, Role.FRONTEND: 3}


def rollout_rank(state: ComponentState) -> int:
    """Return the position in the order; a task with several roles has that of the last of them."""
    return max((_ORDER.get(role, -1) for role in state.component.roles), default=-1)


def is_settled(state: ComponentState) -> bool:
    """Return whether all replicas have the desired revision and are proven ready."""
    service = state.service
    return (
        service is not None
        and not state.needs_rollout
        and not state.rollout_in_progress
        and service.desired == state.desired
        and len(state.observed.readiness.proven) >= state.desired
    )


def next_in_order(dependants: Sequence[ComponentState]) -> tuple[frozenset[str], str | None]:
    """Return which components may roll out when only content changed, and which one is next."""
    for rank in sorted({rollout_rank(s) for s in dependants}):
        for state in (s for s in dependants if rollout_rank(s) == rank):
            if state.needs_rollout:
                return frozenset({state.name}), state.name
            # ECS completes a deployment as soon as its tasks run; a revision that is not marked
            # good may still turn out bad.
            unproven = state.current is not None and state.current.number != state.last_good
            if (state.rollout_in_progress or unproven) and not is_settled(state):
                return frozenset(), state.name
    return frozenset(), None


def stale_dependants(
    injected: Mapping[str, Endpoints], desired: Endpoints, dependants: Sequence[ComponentState]
) -> tuple[str, ...]:
    """Return the dependants whose running revision has endpoints that no longer serve it.

    A list of servers that changed by one member is followed in order, like any other change.
    Dependants that get their endpoints as `secrets` have none in ``injected`` and are never stale.
    """
    return tuple(
        s.name
        for s in dependants
        if (current := injected.get(s.name)) is not None
        and s.needs_rollout
        and (
            (current.etcd is not None and not share_endpoints(current.etcd, desired.etcd))
            or (current.nats is not None and not share_endpoints(current.nats, desired.nats))
        )
    )
