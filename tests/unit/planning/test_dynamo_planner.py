"""Acknowledged decisions of Dynamo's planner."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.snapshot import (
    Signal,
    SignalKind,
)
from ecs_dynamo.model.spec.scaling import (
    PlannerSource,
    SloScaling,
)
from ecs_dynamo.planning.observed.facts import observe_graph
from ecs_dynamo.planning.scaling.dynamo_planner import planner_reached
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.graphs import (
    graph,
)


def test_the_planner_is_notified_when_every_count_it_asked_for_is_ready() -> None:
    scaling = SloScaling(min=1, max=3, signals=(PlannerSource(source="planner"),))
    declared = graph(prefill=2, scaling=scaling)
    ecs, _ = converged(declared)
    observation = ecs.snapshot()
    replicas = {c.name: observe_graph(declared, observation).counts(c) for c in declared.components}

    def reached(*wishes: tuple[float, float]) -> bool:
        signals = tuple(
            Signal(
                "prefill",
                SignalKind.DESIRED_REPLICAS,
                value,
                "replicas",
                observation.observed_at - age,
            )
            for value, age in wishes
        )
        return planner_reached(declared, replace(observation, signals=signals), replicas)

    assert replicas["prefill"].ready == 2
    assert not reached()
    assert reached((2, 0))
    assert not reached((3, 0))
    assert not reached((9, 0))
    assert not reached((2, 1000))
    assert not planner_reached(graph(), observation, replicas)
