"""Obstacles and ECS's own messages in waits and conditions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.purposes import WaitPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    Unknown,
)
from ecs_dynamo.planning import plan
from ecs_dynamo.planning.desired.obstacles import ObstacleReason, find_obstacle
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.facts import purposes_of
from tests.helpers.graphs import (
    graph,
)
from tests.helpers.observations import changed, draining


def test_what_stands_in_the_way_is_said() -> None:
    declared = graph()
    ecs, memory = converged(declared)
    observed = ecs.snapshot()
    unknown = replace(observed, clusters={**observed.clusters, "gpu": Unknown("denied")})
    cases: list[tuple[Any, ObstacleReason]] = [
        (unknown, ObstacleReason.NOT_OBSERVED),
        (
            replace(observed, clusters={**observed.clusters, "gpu": False}),
            ObstacleReason.CLUSTER_MISSING,
        ),
        (
            replace(observed, components={"etcd-nats": observed.components["etcd-nats"]}),
            ObstacleReason.NOT_OBSERVED,
        ),
        (changed(observed, "prefill", revisions={}), ObstacleReason.NOT_OBSERVED),
        (changed(observed, "prefill", service=draining(observed)), ObstacleReason.SERVICE_DRAINING),
    ]
    for look, reason in cases:
        obstacle = find_obstacle(declared, declared.component("prefill"), look)
        assert obstacle is not None
        assert obstacle.reason is reason
        result = plan(declared, look, memory, ecs.clock)
        assert WaitPurpose.OBSTACLE in purposes_of(result, "prefill")
        assert not [a for a in result.actions if a.component == "prefill"]
        reasons = {c.component for c in result.conditions if c.type == "Degraded" and c.status}
        assert "prefill" in reasons or "prefill" not in look.components


def test_a_lack_of_places_is_a_condition_in_ecss_words() -> None:
    declared = graph(prefill=2)
    ecs, memory = converged(declared)
    observed = ecs.snapshot()
    service = observed.components["prefill"].service
    assert isinstance(service, Service)
    event = "(service g-prefill) was unable to place a task because no container instance met all"
    short = replace(service, running=1, events=(event,))
    result = plan(declared, changed(observed, "prefill", service=short), memory, ecs.clock)
    (condition,) = (
        c
        for c in result.conditions
        if c.type is ConditionType.CAPACITY_SHORT and c.component == "prefill"
    )
    assert (condition.status, condition.message) == (True, event)
