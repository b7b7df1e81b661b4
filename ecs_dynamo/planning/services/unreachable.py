"""Rule: report that the daemon reaches no task over the network."""

from __future__ import annotations

from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder


def report_unreachable(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Add a wait for the graph if no task that should answer can be reached."""
    message = context.observed.unreachable
    if message is None:
        return builder
    return builder.with_wait("", WaitPurpose.REACHABILITY, message)
