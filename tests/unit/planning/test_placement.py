"""Capacity providers and placement."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.capacity import (
    CapacityProvider,
)
from ecs_dynamo.model.service_settings import PlacementStrategy, ServiceSettings, difference
from ecs_dynamo.model.spec.capacity import (
    CapacityProviderItem,
    PlacementSpec,
)
from ecs_dynamo.planning.capacity.packing import allocatable_of, pack, resource_request
from ecs_dynamo.planning.desired.placement import (
    DISTINCT,
    default_strategy,
    distribute,
    placement_constraints,
)
from tests.helpers.capacity import LARGE, instance, snapshot, worker
from tests.helpers.graphs import (
    graph,
    template,
)


@given(
    weights=st.lists(st.integers(0, 10), min_size=1, max_size=4).filter(any),
    base=st.integers(0, 5),
    count=st.integers(0, 60),
)
def test_replicas_are_split_by_base_and_weight(weights: list[int], base: int, count: int) -> None:
    strategy = tuple(
        CapacityProviderItem(name=f"p{n}", weight=w, base=base if n == 0 else 0)
        for n, w in enumerate(weights)
    )
    chosen = distribute(strategy, {}, count)
    assert len(chosen) == count
    assert chosen[: min(base, count)] == ["p0"] * min(base, count)
    rest, total = max(0, count - base), sum(weights)
    for number, weight in enumerate(weights):
        own = chosen[base:].count(f"p{number}")
        assert abs(own - rest * weight / total) <= len(weights)
        assert weight or own == 0


def test_default_placement_spreads_frontends_and_packs_workers() -> None:
    observation = snapshot()
    front = default_strategy(graph().component("frontend"), observation)
    assert [(s.type, s.field) for s in front or ()] == [
        ("spread", "attribute:ecs.availability-zone"),
        ("spread", "instanceId"),
    ]
    packed = default_strategy(worker(), observation) or ()
    assert [s.type for s in packed] == ["spread", "binpack"]
    assert default_strategy(graph().component("etcd-nats"), observation) is None
    item = worker(capacity_providers=(CapacityProviderItem(name="p"),))
    assert default_strategy(item, observation) is None  # not known yet what it is
    for kind, expected in (("EC2_AUTOSCALING", packed), ("MANAGED_INSTANCES", None)):
        providers = {"p": CapacityProvider("p", "ACTIVE", kind)}
        assert default_strategy(item, snapshot(providers=providers)) == expected
    own = worker(placement=PlacementSpec(strategy=()))
    assert own.settings.placement_strategy == ()
    constraints = placement_constraints(worker(), one_per_instance=True) or ()
    assert [c.type for c in constraints] == ["distinctInstance"]


def test_what_ecs_writes_otherwise_is_not_a_difference() -> None:
    zones = PlacementStrategy("spread", "attribute:ecs.availability-zone")
    packed = ServiceSettings(
        placement_strategy=default_strategy(worker(), snapshot()),
        placement_constraints=placement_constraints(worker(), one_per_instance=True),
    )

    def observed(*strategy: PlacementStrategy, constraints: Any = (DISTINCT,)) -> ServiceSettings:
        return ServiceSettings(placement_strategy=strategy, placement_constraints=constraints)

    same = observed(zones, PlacementStrategy("binpack", "MEMORY"))
    assert difference(same, packed) == ServiceSettings()
    others = [(PlacementStrategy("binpack", "memory"), zones), ()]
    for strategy in others:
        changes = difference(observed(*strategy), packed)
        assert changes == packed.only(["placement_strategy"])
    without = observed(*(packed.placement_strategy or ()), constraints=())
    assert difference(without, packed) == packed.only(["placement_constraints"])


def test_the_packing_prefers_the_tightest_room() -> None:
    rooms = [allocatable_of(instance(1, LARGE), {}), allocatable_of(instance(2), {})]
    need = resource_request("a", template("a", "awsvpc", gpus=1))
    packing = pack([need], rooms)
    assert packing.used == {"arn:ci/2"}
    assert packing.unplaced == ()
