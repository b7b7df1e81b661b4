"""From zero: how many replicas refused requests start, and which roles start together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.load import WorkEstimate
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.memory.zero import ZeroState
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.policy import ScalingOutput
from ecs_dynamo.planning.scaling.registry import decide
from ecs_dynamo.planning.scaling.zero.together import keep_together
from tests.helpers.scaling import POLICY, TICK, scaling_input, spec

BUSY = ScalingState(
    work=WorkEstimate(
        at=0.0, queue=0.0, busy=400.0, units=100.0, done=100.0, requests=100.0, arrived=100.0
    ),
    zero=ZeroState(busiest=3),
)
"""A component whose requests take four seconds and that last needed three replicas."""


def refuse(
    scaling: ScalingSpec, rates: list[float], state: ScalingState = BUSY
) -> list[ScalingOutput]:
    """Return the decisions while each pass observes requests/s that are refused."""
    outputs: list[ScalingOutput] = []
    now, current = 1000.0, 0
    for rate in rates:
        now += TICK
        inputs = scaling_input(
            scaling,
            now,
            current,
            ("queue_depth", 0.0, 0.0),
            ("arrival_rate", 0.0, 0.0),
            ("rejection_rate", rate, 0.0),
            state=state,
            ready=0,
        )
        out = decide(inputs)
        outputs.append(out)
        state, current = out.state, out.decision.desired
    return outputs


def counts(outputs: list[ScalingOutput]) -> list[int]:
    return [out.decision.desired for out in outputs]


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_a_refused_request_starts_a_replica_at_once(policy: str) -> None:
    scaling = spec(policy=policy, min=0, scale_up_stabilization_seconds=60)
    outputs = refuse(scaling, [0.0, 1 / TICK, 0.0, 0.0], ScalingState())
    assert counts(outputs) == [0, 1, 1, 1]
    assert "0.07/s refused" in outputs[1].decision.reason


@given(POLICY, st.lists(st.floats(0.1, 1000.0), min_size=3, max_size=20))
@settings(max_examples=60, deadline=None)
def test_retries_never_launch_more_than_was_last_needed(policy: str, rates: list[float]) -> None:
    desired = counts(refuse(spec(policy=policy, min=0, max=100), rates))
    assert 1 <= desired[0] <= max(desired) <= BUSY.zero.busiest
    assert desired == sorted(desired)


def test_the_lowest_rate_counts_as_retries_only_add_to_it() -> None:
    scaling = spec(min=0, max=100, max_step_up=100)
    state = replace(BUSY, zero=ZeroState(busiest=50))
    # A request per second is four replicas; each client then tries again every ten seconds.
    rates = [1.0 + 0.1 * TICK * number for number in range(12)]
    assert max(counts(refuse(scaling, rates, state))) <= 10
    assert counts(refuse(scaling, [0.1, 1.0, 1.0, 9.0], state)) == [1, 4, 4, 4]


def test_the_demand_that_was_last_served_is_learned_again_after_a_wake_up() -> None:
    scaling = spec(policy="queue", min=0, target=1.0)
    state = refuse(scaling, [1.0, 1.0])[-1].state
    busy = scaling_input(
        scaling, 1100.0, 1, ("queue_depth", 2.0, 0.0), ("arrival_rate", 1.0, 0.0), state=state
    )
    assert decide(busy).state.zero.busiest == 2


def test_a_queue_in_front_of_the_frontends_is_not_limited() -> None:
    scaling = spec(policy="queue", min=0, max=8, max_step_up=8, target=4.0)
    inputs = scaling_input(
        scaling, 10.0, 0, ("queue_depth", 30.0, 0.0), ("rejection_rate", 2.0, 0.0), state=BUSY
    )
    assert decide(inputs).decision.desired == 8


def test_an_arrival_rate_without_a_replica_is_refused_and_not_learned_from() -> None:
    scaling = spec(min=0)
    inputs = scaling_input(
        scaling, 10.0, 0, ("queue_depth", 0.0, 0.0), ("arrival_rate", 5.0, 0.0), state=BUSY
    )
    out = decide(inputs)
    assert out.decision.desired == 3
    assert out.state.work == BUSY.work


def test_a_ready_role_waits_for_the_other_one_and_learns_nothing() -> None:
    """A frontend may count the requests that it refuses as arrivals too."""
    scaling = spec(min=0, max=100)
    inputs = scaling_input(
        scaling,
        10.0,
        1,
        ("queue_depth", 0.0, 0.0),
        ("arrival_rate", 9.0, 0.0),
        ("rejection_rate", 9.0, 0.0),
        state=BUSY,
    )
    out = decide(inputs)
    assert out.decision.desired == 3
    assert out.state.work == BUSY.work


def test_only_refused_requests_are_a_demand_and_the_count_is_not_lowered() -> None:
    scaling = spec(policy="queue", min=0, scale_down_stabilization_seconds=0)
    alone = scaling_input(scaling, 10.0, 0, ("rejection_rate", 1.0, 0.0))
    assert (decide(alone).decision.desired, decide(alone).decision.stale) == (1, False)
    # The other role is missing: this one has replicas without work.
    waits = scaling_input(scaling, 10.0, 3, ("rejection_rate", 1.0, 0.0), ("queue_depth", 0.0, 0.0))
    assert decide(waits).decision.desired == 3
    for refused, expected in ((1.0, 3), (0.1, 2)):
        busy = scaling_input(
            scaling,
            10.0,
            3,
            ("rejection_rate", refused, 0.0),
            ("queue_depth", 1.0, 0.0),
            ("arrival_rate", 10.0, 0.0),
        )
        assert decide(busy).decision.desired == expected


def test_the_threshold_counts_refused_requests() -> None:
    scaling = spec(min=0, activation_threshold=20.0)
    # 15 seconds per pass: the third one has observed more than twenty requests.
    assert counts(refuse(scaling, [1.0, 1.0, 1.0])) == [0, 0, 3]


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_to_zero_after_the_keep_time_without_another_window(policy: str) -> None:
    scaling = spec(policy=policy, min=0, idle_seconds=90, scale_down_stabilization_seconds=300)
    state, now, current = ScalingState(), 0.0, 1
    desired: list[tuple[float, int]] = []
    for _ in range(12):
        now += TICK
        depth = 1.0 if now < 40 else 0.0
        out = decide(scaling_input(scaling, now, current, ("queue_depth", depth, 0.0), state=state))
        state, current = out.state, out.decision.desired
        desired.append((now, current))
    assert next(at for at, count in desired if count == 0) == 30 + 90


def test_a_fresh_daemon_observes_a_whole_window_before_it_scales_to_zero() -> None:
    scaling = spec(policy="queue", min=0, idle_seconds=10, scale_down_stabilization_seconds=60)
    for seconds, expected in ((45.0, 1), (61.0, 0)):
        inputs = scaling_input(
            scaling, 100.0, 1, ("queue_depth", 0.0, 0.0), observing_since=100.0 - seconds
        )
        assert decide(inputs).decision.desired == expected


PAIR = {"prefill": {Role.PREFILL}, "decode": {Role.DECODE}}


def decision(name: str, current: int, desired: int) -> Decision:
    return Decision(name, current, desired, f"{name} {current} -> {desired}: idle")


@pytest.mark.parametrize(
    ("before", "desired", "expected"),
    [
        ((0, 0), (0, 0), (0, 0)),
        ((0, 0), (1, 0), (1, 1)),
        ((0, 1), (0, 1), (1, 1)),
        ((1, 1), (0, 1), (1, 1)),
        ((1, 3), (1, 0), (1, 1)),
        ((1, 1), (0, 0), (0, 0)),
    ],
)
def test_prefill_and_decode_go_together(
    before: tuple[int, int], desired: tuple[int, int], expected: tuple[int, int]
) -> None:
    names = ("prefill", "decode")
    decisions = [decision(n, b, d) for n, b, d in zip(names, before, desired, strict=True)]
    kept, result = keep_together(PAIR, dict(zip(names, desired, strict=True)), decisions)
    assert (kept["prefill"], kept["decode"]) == expected
    for b, d, count in zip(before, result, expected, strict=True):
        assert d.desired == count
        assert f"{b} -> {count}:" in d.reason


def test_an_aggregated_worker_serves_alone_and_a_fixed_role_is_not_decided() -> None:
    worker = {"worker": {Role.WORKER}}
    counted = {"worker": 1, "prefill": 0, "decode": 0}
    kept, _ = keep_together({**worker, **PAIR}, counted, [decision("prefill", 0, 0)])
    assert kept == counted
    # Decode has a fixed count of zero, so there is no decision to change.
    kept, result = keep_together(PAIR, {"prefill": 1, "decode": 0}, [decision("prefill", 1, 1)])
    assert (kept["decode"], len(result)) == (0, 1)
