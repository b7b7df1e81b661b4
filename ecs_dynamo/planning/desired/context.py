"""What the rules of one pass look at together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import (
    Placing,
    desired_placing,
)
from ecs_dynamo.planning.desired.ports import PortPlan
from ecs_dynamo.planning.observed.certainty import (
    NO_DOUBTS,
    Doubts,
)


@dataclass(frozen=True, slots=True)
class PlanContext:
    """The graph, what was seen, and what is wanted of the components that may be touched.

    ``failures`` and ``reasons``: components whose declaration is held back, and why.
    ``doubts``: components that are not known for certain.
    ``ready_since``: since when each ready task has been so, by ARN, on the monotonic clock.
    """

    graph: Graph
    snapshot: Snapshot
    endpoints: Endpoints
    ports: PortPlan
    now: Now
    infrastructure: tuple[ComponentState, ...]
    dependants: tuple[ComponentState, ...]
    failures: Mapping[str, str]
    reasons: Mapping[str, str]
    ready_since: Mapping[str, float]
    doubts: Doubts = NO_DOUBTS

    def placing(self, state: ComponentState) -> Placing:
        """How the component's service should place its tasks."""
        return desired_placing(state.component, self.snapshot, self.ports)
