"""Whether the decisions of Dynamo's own planner have been carried out, so that it may continue."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import SignalKind, Snapshot
from ecs_dynamo.planning.scaling.demand import is_count


def planner_reached(
    graph: Graph, snapshot: Snapshot, replicas: Mapping[str, ReplicaCounts]
) -> bool:
    """Return whether every component that follows the planner has its count of replicas ready.

    The replicas of all generations of a component count together. A count outside [min, max] is
    reached at the bound, as no more replicas will ever come. Acknowledging before the workers are
    registered would make the planner hold (Dynamo 1.6.1).
    """
    followed = False
    for component in graph.components:
        scaling = component.scaling
        if (
            component.declared_name
            or scaling is None
            or all(s.source != "planner" for s in scaling.signals)
        ):
            continue
        requested = [
            s.value
            for s in snapshot.signals
            if s.component == component.name
            and s.kind == SignalKind.DESIRED_REPLICAS
            and is_count(s)
            and s.age(snapshot.observed_at) <= scaling.max_signal_age_seconds
        ]
        if not requested:
            return False
        followed = True
        count = min(max(max(requested), scaling.min), scaling.max)
        current = [replicas[c.name] for c in graph.components if c.origin == component.name]
        if sum(c.desired for c in current) < count or sum(c.ready for c in current) < count:
            return False
    return followed
