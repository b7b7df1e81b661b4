"""Whether one more replica fits."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Unknown,
)
from ecs_dynamo.planning.capacity.packing import Allocatable
from ecs_dynamo.planning.capacity.surge import (
    FreeCapacity,
    free_capacity,
    one_at_a_time,
    surge_fits,
)
from tests.helpers.convergence import (
    converged,
)
from tests.helpers.facts import state_of
from tests.helpers.graphs import (
    component,
    graph,
    template,
)


def test_capacity_counts_slots_an_instance_not_in_total() -> None:
    two = replace(component("big", Role.PREFILL), template=template("big", "host", gpus=2))
    big = state_of(two, ComponentSnapshot(service=None))

    def rooms(*gpus: int) -> FreeCapacity:
        matches = tuple(Allocatable(f"i{n}", have, 4096, 4096) for n, have in enumerate(gpus))
        return FreeCapacity({"gpu": matches})

    assert not surge_fits(big, 1, rooms(1, 1, 1))
    assert surge_fits(big, 2, rooms(2, 3))
    assert surge_fits(big, 0, FreeCapacity())
    assert not surge_fits(big, 1, FreeCapacity())
    ecs, _ = converged(graph())
    observed = ecs.snapshot()
    assert (
        free_capacity(replace(observed, container_instances={"gpu": Unknown("x")})).clusters == {}
    )
    spec = one_at_a_time(DeploymentLimits(), 4)
    assert (spec.minimum_healthy_percent, spec.maximum_percent) == (75, 100)
    assert one_at_a_time(DeploymentLimits(), 0).minimum_healthy_percent == 0
