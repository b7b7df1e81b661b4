"""Properties that every scaling policy has, whatever it measures."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.memory.scaling import (
    ScalingState,
)
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import (
    ScalingSpec,
)
from ecs_dynamo.planning.scaling.registry import decide
from tests.helpers.scaling import POLICY, TICK, scaling_input, spec

STEP = st.tuples(st.floats(0, 500), st.floats(0, 50), st.floats(0, 60), st.booleans())


@given(
    policy=POLICY,
    steps=st.lists(STEP, min_size=1, max_size=60),
    low=st.integers(0, 3),
    restarts=st.sets(st.integers(0, 60), max_size=3),
    window=st.sampled_from([0.0, 60.0, 200.0]),
)
# A depth that rounds to no service time at all.
@example(
    policy="slo",
    steps=[(5e-324, 0.0, 0.0, False), (5e-324, 2.0, 0.0, False), (0.0, 0.0, 0.0, False)],
    low=0,
    restarts=set(),
    window=0.0,
)
@settings(max_examples=150, deadline=None)
def test_bounds_steps_staleness_and_windows(
    policy: str,
    steps: list[tuple[float, float, float, bool]],
    low: int,
    restarts: set[int],
    window: float,
) -> None:
    scaling = spec(
        policy=policy,
        min=low,
        max=8,
        scale_down_stabilization_seconds=window,
        max_step_up=3,
        max_step_down=2,
        idle_seconds=90.0,
    )
    state, since, now, current = ScalingState(), 0.0, 0.0, max(low, 2)
    raised, busy = -math.inf, 0.0
    for index, (depth, rate, age, _) in enumerate(steps):
        now += TICK
        if index in restarts:
            state, since = ScalingState(), now
            raised = -math.inf
        inputs = scaling_input(
            scaling,
            now,
            current,
            ("queue_depth", depth, age),
            ("arrival_rate", rate, age),
            state=state,
            observing_since=since,
        )
        out = decide(inputs)
        desired, state = out.decision.desired, out.state
        assert low <= desired <= 8
        assert desired - current <= 3
        assert current - desired <= 2
        stale = age > scaling.max_signal_age_seconds
        assert out.decision.stale == stale
        if stale:
            assert desired == current
        elif depth or rate:
            busy = now
        if desired > current:
            raised = now
        if desired < current:
            assert now - raised >= window
            assert now - since >= window
        if desired == 0 < current:
            assert now - max(busy, since) >= 90.0
        assert f"{current} -> {desired}" in out.decision.reason
        current = desired


@given(
    policy=POLICY,
    depth=st.floats(0, 200),
    more=st.floats(0, 200),
    rate=st.floats(0, 20),
    faster=st.floats(0, 20),
    current=st.integers(1, 10),
    warm=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 4)), max_size=40),
)
@settings(max_examples=200, deadline=None)
def test_more_demand_never_gives_fewer_replicas(
    policy: str,
    depth: float,
    more: float,
    rate: float,
    faster: float,
    current: int,
    warm: list[tuple[float, float]],
) -> None:
    """From the same state: a longer queue, or a faster arrival, asks for as many at least."""
    scaling = spec(
        policy=policy,
        max=200,
        max_step_up=200,
        max_step_down=200,
        tolerance=0.0,
        scale_down_stabilization_seconds=0,
    )
    state, now = ScalingState(), 0.0
    for waits, arrives in warm:
        now += TICK
        out = decide(
            scaling_input(
                scaling,
                now,
                current,
                ("queue_depth", waits * current, 0),
                ("arrival_rate", arrives * current, 0),
                state=state,
            )
        )
        state = out.state
    now += TICK

    def wish(queue: float, arrivals: float) -> int:
        out = decide(
            scaling_input(
                scaling,
                now,
                current,
                ("queue_depth", queue, 0),
                ("arrival_rate", arrivals, 0),
                state=state,
            )
        )
        return out.decision.desired

    assert wish(depth + more, rate) >= wish(depth, rate)
    assert wish(depth, rate + faster) >= wish(depth, rate)


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_from_zero_above_the_threshold_or_by_a_rate_alone(policy: str) -> None:
    def desired(scaling: ScalingSpec, depth: float, rate: float) -> tuple[int, str]:
        signals = (("queue_depth", depth, 0.0), ("arrival_rate", rate, 0.0))
        decision = decide(scaling_input(scaling, 100.0, 0, *signals)).decision
        return decision.desired, decision.reason

    anything = spec(policy=policy, min=0)
    assert desired(anything, 0, 0)[0] == 0
    # Dynamo answers 404 without workers: nothing queues, requests only come.
    assert desired(anything, 0, 0.2)[0] == 1
    assert desired(anything, 9, 0)[0] >= 1
    picky = spec(policy=policy, min=0, activation_threshold=5)
    count, reason = desired(picky, 5, 2)
    assert count == 0
    assert "stays at zero up to 5 requests" in reason
    assert desired(picky, 6, 0)[0] >= 1
    # Once it runs, the threshold is of no matter.
    running = scaling_input(picky, 100.0, 1, ("queue_depth", 2, 0.0), ("arrival_rate", 1.0, 0.0))
    assert decide(running).decision.desired == 1
    reported = decide(scaling_input(picky, 100.0, 0, ("desired_replicas", 2, 0.0)))
    assert reported.decision.desired == 2


@pytest.mark.parametrize("policy", ["slo", "queue"])
def test_the_planners_count_is_followed_within_bounds(policy: str) -> None:
    scaling = spec(policy=policy, max=6)
    out = decide(scaling_input(scaling, 100.0, 2, ("desired_replicas", 5, 0)))
    assert (out.decision.desired, "planner wants 5" in out.decision.reason) == (5, True)
    many = decide(scaling_input(scaling, 100.0, 5, ("desired_replicas", 50, 0)))
    assert many.decision.desired == 6


NUMBER = st.one_of(
    st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e300, 0.0]), st.floats(0, 50)
)


def _numbers(value: Any) -> list[float]:
    """Every number in a frozen state."""
    if isinstance(value, float):
        return [value]
    if isinstance(value, tuple):
        return [n for item in value for n in _numbers(item)]
    if is_dataclass(value):
        return [n for f in fields(value) for n in _numbers(getattr(value, f.name))]
    return []


@given(
    policy=POLICY,
    steps=st.lists(
        st.tuples(
            st.lists(
                st.tuples(
                    st.sampled_from(["queue_depth", "arrival_rate", "desired_replicas"]),
                    NUMBER,
                    NUMBER,
                    st.booleans(),
                ),
                max_size=4,
            ),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_what_is_not_a_number_never_decides_and_is_never_remembered(
    policy: str,
    steps: list[tuple[list[tuple[str, float, float, bool]], int]],
) -> None:
    scaling, state, current = spec(policy=policy), ScalingState(), 1
    for tick, (signals, ready) in enumerate(steps):
        now = 1e6 + tick * TICK
        result = tuple(
            Signal(
                "prefill",
                SignalKind(kind),
                value,
                "requests",
                now - age,
                "frontend",
                partial=partial,
            )
            for kind, value, age, partial in signals
        )
        inputs = scaling_input(scaling, now, current, state=state, ready=ready)
        out = decide(replace(inputs, signals=result))
        assert scaling.min <= out.decision.desired <= scaling.max
        assert all(math.isfinite(n) for n in _numbers(out.state))
        usable = [s for s in result if 0 <= s.value <= 1e15 and math.isfinite(s.observed_at)]
        if not usable:
            assert out.decision.desired == current
        current, state = out.decision.desired, out.state
