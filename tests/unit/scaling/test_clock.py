"""Windows and cool-downs hold whatever the wall clock is set to meanwhile."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.model.clock import Now
from ecs_dynamo.model.plan import Memory
from ecs_dynamo.model.snapshot import Signal, SignalKind
from ecs_dynamo.model.spec.scaling import ScalingSpec, scaling_of
from ecs_dynamo.planning import plan
from tests.helpers.convergence import converge
from tests.helpers.graphs import graph
from tests.helpers.simulated_ecs import SimulatedEcs

HOUR = 3600.0
VALUES = {
    "min": 1,
    "max": 8,
    "scale_up_stabilization_seconds": 20.0,
    "scale_down_stabilization_seconds": 60.0,
    "max_signal_age_seconds": 30.0,
}
QUEUE = scaling_of({**VALUES, "policy": "queue"})
SLO = scaling_of({**VALUES, "policy": "slo"})
STEPS = st.lists(
    st.tuples(st.floats(0.0, 200.0), st.floats(1.0, 40.0), st.sampled_from([-HOUR, 0.0, HOUR])),
    min_size=1,
    max_size=25,
)


@cache
def converged(spec: ScalingSpec) -> SimulatedEcs:
    """Shared: `wishes` only looks at it."""
    declared = graph(prefill=2, scaling=spec)
    ecs = SimulatedEcs(declared)
    converge(ecs, declared, Memory(started_at=ecs.now))
    return ecs


def wishes(ecs: SimulatedEcs, steps: list[tuple[float, float, float]], jumps: bool) -> list[int]:
    """Desired counts of prefill over the steps: (queue depth, seconds, jump of the wall clock)."""
    observed = ecs.snapshot()
    monotonic, wall = 100.0, observed.observed_at
    memory = Memory(started_at=monotonic)
    matches = []
    for depth, seconds, jump in steps:
        monotonic += seconds
        wall += seconds + (jump if jumps else 0.0)
        signal = Signal("prefill", SignalKind.QUEUE_DEPTH, depth, "requests", monotonic, "frontend")
        rate = Signal(
            "prefill", SignalKind.ARRIVAL_RATE, depth / 10, "requests/s", monotonic, "frontend"
        )
        look = replace(observed, observed_at=wall, signals=(signal, rate))
        result = plan(ecs.graph, look, memory, Now(monotonic, wall))
        memory = result.memory
        matches += [d.desired for d in result.decisions]
    return matches


@given(spec=st.sampled_from([QUEUE, SLO]), steps=STEPS)
def test_a_wall_clock_that_jumps_changes_no_decision(
    spec: ScalingSpec, steps: list[tuple[float, float, float]]
) -> None:
    ecs = converged(spec)
    steady = wishes(ecs, steps, jumps=False)
    assert len(steady) == len(steps)
    assert wishes(ecs, steps, jumps=True) == steady


def test_an_hour_back_does_not_hold_up_a_scale_out() -> None:
    steps = [(150.0, 25.0, 0.0), (150.0, 25.0, -HOUR), (150.0, 25.0, 0.0)]
    assert wishes(converged(QUEUE), steps, jumps=True)[-1] > 2


def test_an_hour_ahead_does_not_skip_the_scale_down_window() -> None:
    steps = [(8.0, 15.0, 0.0), (8.0, 15.0, 0.0), (0.0, 15.0, HOUR)]
    assert wishes(converged(QUEUE), steps, jumps=True)[-1] == 2
