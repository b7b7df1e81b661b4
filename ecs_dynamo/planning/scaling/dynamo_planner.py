"""When a decision of Dynamo's own planner is carried out, so that it may decide anew."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import Snapshot
from ecs_dynamo.planning.scaling.demand import is_count


def planner_reached(
    graph: Graph, snapshot: Snapshot, replicas: Mapping[str, ReplicaCounts]
) -> bool:
    """Whether every component that follows the planner has the count it asked for, ready.

    A count outside [min, max] is reached at the bound: more will never come. Acknowledging before
    the workers are registered would make the planner hold (Dynamo 1.6.1).
    """
    asked = False
    for component in graph.components:
        scaling = component.scaling
        if scaling is None or all(s.source != "planner" for s in scaling.signals):
            continue
        wished = [
            s.value
            for s in snapshot.signals
            if s.component == component.name
            and s.kind == "desired_replicas"
            and is_count(s)
            and s.age(snapshot.observed_at) <= scaling.max_signal_age_seconds
        ]
        if not wished:
            return False
        asked = True
        count = min(max(max(wished), scaling.min), scaling.max)
        have = replicas[component.name]
        if have.desired < count or have.ready < count:
            return False
    return asked
