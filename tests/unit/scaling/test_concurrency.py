"""The number of requests that a replica works on concurrently: declared, or learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.scaling import ConcurrencyEstimate
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.estimation.concurrency import (
    FRONTEND,
    SPREAD,
    START,
    learn_concurrency,
    planning_concurrency,
    seconds_factor,
)
from ecs_dynamo.planning.scaling.policy import Demand
from tests.helpers.scaling import TICK, scaling_input

DECODE = frozenset({Role.DECODE})


def slo(**changes: Any) -> SloScaling:
    return SloScaling.model_validate({"max": 100, **changes})


def demand(running: float, waiting: float | None = 0.0, **more: float | None) -> Demand:
    queue = running + (waiting or 0.0)
    return Demand(queue, more.pop("rate", 1.0), None, waiting=waiting, **more)  # type: ignore[arg-type]


@dataclass
class Pool:
    """Replicas of ``capacity`` each; ``estimate`` is what was learned about them."""

    capacity: float
    limit: float | None = None
    now: float = 0.0
    estimate: ConcurrencyEstimate | None = None

    def observe(self, requests: float, ready: int, spec: SloScaling, **more: float) -> float:
        """Run one pass with ``requests`` in the pool; return the concurrency to plan with."""
        self.now += TICK
        inputs: Any = scaling_input(spec, self.now, ready, roles=DECODE, engine_limit=self.limit)
        running = min(requests, ready * self.capacity)
        self.estimate = learn_concurrency(
            self.estimate, inputs, demand(running, requests - running, **more)
        )
        return planning_concurrency(self.estimate, spec, DECODE)


def closed_loop(
    pool: Pool, spec: SloScaling, load: Callable[[int], float], passes: int
) -> list[tuple[float, int]]:
    """Let the replicas follow the learned concurrency: (concurrency, replicas) of each pass."""
    history, ready = [], 2
    for number in range(passes):
        slots = pool.observe(load(number), ready, spec)
        ready = max(1, round(1.2 * load(number) / slots + 0.5))
        history.append((slots, ready))
    return history


def test_a_declared_concurrency_and_the_roles_come_first() -> None:
    assert planning_concurrency(None, slo(concurrency=12), DECODE) == 12
    assert planning_concurrency(None, slo(), frozenset({Role.PREFILL})) == 1
    assert planning_concurrency(None, slo(concurrency=3), frozenset({Role.PREFILL})) == 3
    assert planning_concurrency(None, slo(), frozenset({Role.FRONTEND})) == FRONTEND
    assert planning_concurrency(None, slo(), DECODE) == START


def test_the_engines_limit_is_the_starting_value_and_the_bound() -> None:
    pool = Pool(capacity=64, limit=64)
    assert pool.observe(10, 2, slo()) == 64
    for _ in range(200):
        assert pool.observe(120, 2, slo()) == 64


def test_a_long_quiet_time_does_not_raise_the_capacity_above_the_engines_limit() -> None:
    """After half a day of moderate use, the next saturation was taken for more than the limit."""
    pool = Pool(capacity=16, limit=16)
    for _ in range(8):
        pool.observe(100, 2, slo())
    for _ in range(3000):
        assert pool.observe(20, 2, slo()) <= 16
    for _ in range(8):
        assert pool.observe(100, 2, slo()) <= 16


@pytest.mark.parametrize("capacity", [4, 16, 64])
def test_the_capacity_is_learned_from_saturation(capacity: float) -> None:
    pool = Pool(capacity)
    for _ in range(8):
        slots = pool.observe(5 * capacity, 2, slo())
    assert slots == pytest.approx(capacity)


def test_a_limit_that_the_memory_does_not_allow_is_corrected_within_a_minute() -> None:
    pool = Pool(capacity=30, limit=256)
    for _ in range(4):
        slots = pool.observe(200, 4, slo())
    assert slots == pytest.approx(30)


@pytest.mark.parametrize("capacity", [8, 16, 48, 128])
def test_exploration_reaches_the_capacity_and_rests_there(capacity: float) -> None:
    pool = Pool(capacity)
    history = closed_loop(pool, slo(), lambda number: 10 * capacity, 960)
    needed = 10
    assert history[0][1] <= 12 * capacity / START + 2
    assert all(ready <= 1.3 * needed + 1 for _, ready in history[480:])
    short = sum(ready < needed for _, ready in history[480:])
    assert short <= 12  # At most three minutes in two hours with too few replicas.


def test_a_wrong_low_value_does_not_stay() -> None:
    """For some minutes, requests wait for something other than the engine, and few of them run."""
    pool = Pool(capacity=16)
    for _ in range(20):
        pool.observe(64, 2, slo())
    pool.capacity = 2
    for _ in range(8):
        slots = pool.observe(60, 2, slo())
    assert slots < 10
    pool.capacity = 16
    history = closed_loop(pool, slo(), lambda number: 160, 480)
    assert history[-1][0] > 14


def test_replicas_that_start_beside_a_backlog_do_not_lower_the_capacity() -> None:
    """With push dispatch the backlog stays at the old replicas while new ones are idle."""
    pool = Pool(capacity=16)
    for _ in range(4):
        pool.observe(500, 2, slo())
    for ready in (4, 8, 12, 12, 12, 12, 12, 12):
        pool.capacity = 32 / ready  # Only two replicas have work.
        slots = pool.observe(500, ready, slo())
    assert slots == pytest.approx(16)


def test_growth_needs_use() -> None:
    pool = Pool(capacity=100)
    for _ in range(400):
        slots = pool.observe(0.25 * START, 1, slo())
    assert slots == START


def test_a_few_requests_between_the_stages_are_not_saturation() -> None:
    now, estimate = 0.0, None
    for _ in range(40):
        now += TICK
        inputs: Any = scaling_input(slo(), now, 4, roles=DECODE)
        estimate = learn_concurrency(estimate, inputs, demand(60.0, 1.5, rate=8.0))
    assert estimate is not None
    assert estimate.saturation is None
    assert estimate.assumed > START


def test_replicas_that_drain_do_not_inflate_the_batch() -> None:
    pool = Pool(capacity=1e9)
    pool.observe(100, 10, slo())
    slots = pool.observe(100, 5, slo())
    assert slots < 14


def test_nothing_is_learned_without_the_number_that_waits() -> None:
    inputs: Any = scaling_input(slo(), 100.0, 2, roles=DECODE)
    estimate = learn_concurrency(None, inputs, demand(500.0, None))
    assert planning_concurrency(estimate, slo(), DECODE) == START


def test_a_target_for_the_itl_limits_the_batch() -> None:
    pool, spec = Pool(capacity=100, limit=100), slo(targetItlSeconds=0.04)
    slots = 0.0
    for number in range(240):
        requests = 40.0 + 30.0 * (number % 7) / 7
        itl = 0.02 + 0.0005 * requests / 2
        slots = pool.observe(requests, 2, spec, itl_seconds=itl)
    assert slots == pytest.approx(40.0 - SPREAD * 40.0**0.5, rel=0.05)


def test_a_declared_concurrency_is_an_upper_bound_beside_a_target_for_the_itl() -> None:
    spec = slo(
        concurrency=64,
        targetItlSeconds=0.03,
        itlModel={"baseSeconds": 0.01, "perRequestSeconds": 0.001},
    )
    assert planning_concurrency(None, spec, DECODE) == pytest.approx(20 - SPREAD * 20**0.5)


def test_the_kv_cache_bounds_the_batch() -> None:
    pool = Pool(capacity=100, limit=256)
    assert pool.observe(80, 2, slo(), kv_usage=0.5) == pytest.approx(0.85 * 80)
    pool, spec = Pool(capacity=100, limit=256), slo(kvTokens=100_000)
    slots = pool.observe(80, 2, spec, rate=2.0, prompt_arrival_rate=4000.0, output_rate=1000.0)
    assert slots == pytest.approx(0.85 * 100_000 / 2250)


def test_a_request_takes_longer_in_a_larger_batch() -> None:
    spec = slo(itlModel={"baseSeconds": 0.02, "perRequestSeconds": 0.001})
    assert seconds_factor(None, spec, 10, 40) == pytest.approx(2.0)
    assert seconds_factor(None, slo(), 10, 40) == 1.0


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 1e6),
            st.none() | st.floats(0, 1e6),
            st.integers(0, 50),
            st.floats(0, 500),
            st.none() | st.floats(0, 100),
            st.none() | st.floats(0, 1),
            st.floats(0, 1e5),
        ),
        min_size=1,
        max_size=60,
    ),
    limit=st.none() | st.floats(1, 4096),
    itl=st.none() | st.floats(1e-4, 10),
    kv=st.none() | st.floats(1, 1e8),
)
@settings(max_examples=200, deadline=None)
def test_the_result_is_finite_and_at_least_one_whatever_is_reported(
    steps: list[tuple[float, float | None, int, float, float | None, float | None, float]],
    limit: float | None,
    itl: float | None,
    kv: float | None,
) -> None:
    spec = slo(targetItlSeconds=itl, kvTokens=kv)
    estimate, now = None, 0.0
    for running, waiting, ready, elapsed, latency, usage, rate in steps:
        now += elapsed
        inputs: Any = scaling_input(spec, now, ready, roles=DECODE, engine_limit=limit)
        reported = demand(
            running,
            waiting,
            rate=rate,
            itl_seconds=latency,
            kv_usage=usage,
            prompt_arrival_rate=rate * 100,
            output_rate=rate * 10,
        )
        estimate = learn_concurrency(estimate, inputs, reported)
        assert 1.0 <= planning_concurrency(estimate, spec, DECODE) < 1e9
        assert seconds_factor(estimate, spec, 3.0, 12.0) > 0
