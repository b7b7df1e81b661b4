"""What the rules of one pass look at together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.service_settings import ServiceSettings
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.placement import default_strategy, placement_constraints
from ecs_dynamo.planning.desired.ports import PortPlan
from ecs_dynamo.planning.desired.service_settings import declared_settings
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

    def settings(self, state: ComponentState) -> ServiceSettings:
        """Return the settings that the component's service should have, with their defaults."""
        component = state.component
        settings = declared_settings(component)
        distinct = component.name in self.ports.distinct_instances
        constraints = placement_constraints(component, one_per_instance=distinct)
        settings = replace(settings, placement_constraints=constraints)
        if settings.placement_strategy is None:
            strategy = default_strategy(component, self.snapshot)
            settings = replace(settings, placement_strategy=strategy)
        return settings
