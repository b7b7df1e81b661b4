"""The demand that signals report: largest value, stale and partial sources."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.planning.scaling.demand import read_demand
from ecs_dynamo.planning.scaling.registry import decide
from tests.helpers.scaling import POLICY, scaling_input, spec


@given(policy=POLICY, depth=st.floats(0, 100), age=st.floats(31, 1000))
def test_a_stale_source_beside_a_fresh_one_never_lowers(
    policy: str, depth: float, age: float
) -> None:
    scaling = spec(policy=policy, max_step_down=10, scale_down_stabilization_seconds=0)
    inputs = scaling_input(
        scaling,
        1000.0,
        5,
        ("queue_depth", 0.0, 0.0),
        ("arrival_rate", 0.0, 0.0),
        ("queue_depth", depth, age),
    )
    assert decide(inputs).decision.desired >= 5


def test_a_source_that_is_always_late_declares_its_own_maximum_age() -> None:
    def depth(age: float) -> Signal:
        return Signal(
            "prefill", SignalKind.QUEUE_DEPTH, 8, "requests", 1000.0 - age, "cloudwatch", 300.0
        )

    inputs = scaling_input(spec(policy="queue"), 1000.0, 1)
    assert not decide(replace(inputs, signals=(depth(299.0),))).decision.stale
    assert decide(replace(inputs, signals=(depth(301.0),))).decision.stale
    own = replace(depth(31.0), max_age=0.0)
    assert decide(replace(inputs, signals=(own,))).decision.stale


def test_the_largest_demand_wins_and_in_flight_only_stands_in() -> None:
    inputs = scaling_input(
        spec(),
        100.0,
        1,
        ("queue_depth", 3, 0),
        ("queue_depth", 7, 5),
        ("in_flight", 99, 0),
        ("desired_replicas", 4, 0),
    )
    demand = read_demand(inputs)
    assert (demand.queue, demand.replicas, demand.incomplete) == (7, 4, False)
    alone = read_demand(scaling_input(spec(), 100.0, 1, ("in_flight", 99, 0)))
    assert alone.queue == 99
    nothing = read_demand(scaling_input(spec(), 100.0, 1))
    assert nothing.why_stale is not None
    assert "no signal" in nothing.why_stale


def test_a_part_of_the_demand_raises_the_count_and_never_lowers_it() -> None:
    for policy in ("queue", "slo"):
        scaling = spec(policy=policy, scale_down_stabilization_seconds=0.0, target=1.0)
        part = Signal(
            "prefill", SignalKind.QUEUE_DEPTH, 0.0, "requests", 1e6, "frontend", partial=True
        )
        inputs = replace(scaling_input(scaling, 1e6, 5), signals=(part,))
        assert decide(inputs).decision.desired == 5
        more = replace(inputs, signals=(replace(part, value=50.0),))
        assert decide(more).decision.desired > 5
