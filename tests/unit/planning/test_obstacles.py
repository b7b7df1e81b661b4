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
    wanted = graph()
    ecs, memory = converged(wanted)
    seen = ecs.snapshot()
    unknown = replace(seen, clusters={**seen.clusters, "gpu": Unknown("denied")})
    cases: list[tuple[Any, ObstacleReason]] = [
        (unknown, ObstacleReason.NOT_OBSERVED),
        (
            replace(seen, clusters={**seen.clusters, "gpu": False}),
            ObstacleReason.CLUSTER_MISSING,
        ),
        (
            replace(seen, components={"etcd-nats": seen.components["etcd-nats"]}),
            ObstacleReason.NOT_OBSERVED,
        ),
        (changed(seen, "prefill", revisions={}), ObstacleReason.NOT_OBSERVED),
        (changed(seen, "prefill", service=draining(seen)), ObstacleReason.SERVICE_DRAINING),
    ]
    for look, reason in cases:
        obstacle = find_obstacle(wanted, wanted.component("prefill"), look)
        assert obstacle is not None
        assert obstacle.reason is reason
        made = plan(wanted, look, memory, ecs.clock)
        assert WaitPurpose.OBSTACLE in purposes_of(made, "prefill")
        assert not [a for a in made.actions if a.component == "prefill"]
        reasons = {c.component for c in made.conditions if c.type == "Degraded" and c.status}
        assert "prefill" in reasons or "prefill" not in look.components


def test_a_lack_of_places_is_a_condition_in_ecss_words() -> None:
    wanted = graph(prefill=2)
    ecs, memory = converged(wanted)
    seen = ecs.snapshot()
    service = seen.components["prefill"].service
    assert isinstance(service, Service)
    event = "(service g-prefill) was unable to place a task because no container instance met all"
    short = replace(service, running=1, events=(event,))
    made = plan(wanted, changed(seen, "prefill", service=short), memory, ecs.clock)
    (condition,) = (
        c
        for c in made.conditions
        if c.type is ConditionType.CAPACITY_SHORT and c.component == "prefill"
    )
    assert (condition.status, condition.message) == (True, event)
