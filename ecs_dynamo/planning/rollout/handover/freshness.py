"""When a new replica has been ready for long enough that an old one may go."""

from __future__ import annotations

from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import PlanContext

FOUND_SECONDS = 5.0
"""Time in which clients and load balancers find a new frontend before an old one goes."""


def stay_seconds(context: PlanContext, state: ComponentState, task: Task) -> float:
    """Return how long a new replica must stay ready before an old one goes.

    Workers and frontends must stay ready for one discovery lease: after it, no registration of a
    previous process counts any longer, and a replica that exits soon after its start has
    exited. Clients and load balancers need some time, too, to find a frontend.
    """
    component = state.component
    lease = state.observed.lease_seconds(context.graph, task)
    if component.is_frontend:
        return max(FOUND_SECONDS, lease)
    return lease if component.is_worker else 0.0


def proven_seconds(context: PlanContext, state: ComponentState) -> tuple[tuple[Task, float], ...]:
    """Return the tasks of the new side that are proven ready, and for how many seconds."""
    now = context.now.monotonic
    return tuple(
        (t, now - context.ready_since.get(t.arn, now))
        for t in state.observed.proven_ready(state.new_tasks)
    )


def fresh_tasks(context: PlanContext, state: ComponentState) -> tuple[Task, ...]:
    """Return the tasks of the new side that have stayed proven ready for long enough."""
    proven = proven_seconds(context, state)
    return tuple(t for t, seconds in proven if seconds >= stay_seconds(context, state, t))
