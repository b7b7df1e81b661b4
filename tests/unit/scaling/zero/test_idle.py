"""How long a replica without demand is kept before its component scales to zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.model.memory.zero import IdleGaps
from ecs_dynamo.planning.scaling.zero.idle import (
    MAX_KEEP_RESTARTS,
    MEMORY_SECONDS,
    MIN_GAP_SECONDS,
    RESTART_COST,
    add_gap,
    keep_seconds,
)

COLD_START = 210.0
RESTART = RESTART_COST * COLD_START


def cost_of(gap: float, keep: float) -> float:
    """Return the seconds that one gap costs: staying, or leaving and a restart."""
    return gap if gap <= keep else keep + RESTART


def cost_of_gaps(lengths: list[float]) -> tuple[float, float, float]:
    """Return the costs of learned keep times, of always staying, and of the best in hindsight."""
    gaps, now, learned = IdleGaps(), 0.0, 0.0
    for length in lengths:
        learned += cost_of(length, keep_seconds(gaps, COLD_START, now))
        now += length + 60.0
        gaps = add_gap(gaps, length, now)
    return learned, sum(lengths), sum(min(length, RESTART) for length in lengths)


@pytest.mark.parametrize("cold_start", [60.0, 210.0, 480.0])
def test_without_observations_the_keep_time_is_the_cost_of_a_restart(cold_start: float) -> None:
    keep = keep_seconds(IdleGaps(), cold_start, 0.0)
    assert keep == pytest.approx(RESTART_COST * cold_start, rel=0.25)


def test_the_next_batch_comes_within_a_cold_start_so_the_replica_stays() -> None:
    learned, stays, _ = cost_of_gaps([180.0] * 20)
    assert learned == stays


def test_gaps_of_hours_are_not_paid_for_twice() -> None:
    learned, stays, best = cost_of_gaps([3600.0] * 12)
    assert learned < 0.2 * stays
    assert learned < 1.5 * best
    gaps = IdleGaps()
    for number in range(12):
        gaps = add_gap(gaps, 3600.0, 4000.0 * number)
    assert keep_seconds(gaps, COLD_START, 48_000.0) < 0.25 * RESTART


def test_gaps_a_little_longer_than_the_first_keep_time_are_learned() -> None:
    """Without learning, each of them would cost the keep time and a restart."""
    learned, _, best = cost_of_gaps([1.2 * RESTART] * 30)
    assert learned < 1.5 * best


def test_a_pause_between_requests_is_not_a_gap_and_old_gaps_fade() -> None:
    assert add_gap(IdleGaps(), MIN_GAP_SECONDS / 2, 5.0) == IdleGaps()
    gaps = add_gap(IdleGaps(), 100.0, 0.0)
    assert sum(add_gap(gaps, 100.0, MEMORY_SECONDS).weights) == pytest.approx(1 + math.exp(-1))
    old = keep_seconds(gaps, COLD_START, 50 * MEMORY_SECONDS)
    assert old == keep_seconds(IdleGaps(), COLD_START, 0.0)


@given(st.lists(st.floats(MIN_GAP_SECONDS, 1e5), max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_gaps_cost_at_most_a_multiple_of_the_best_in_hindsight(lengths: list[float]) -> None:
    learned, _, best = cost_of_gaps(lengths)
    assert learned <= (MAX_KEEP_RESTARTS + 1) * best + 1e-6


@given(
    st.sampled_from([60.0, 400.0, 600.0, 1200.0, 7200.0]),
    st.sampled_from([45.0, 300.0, 1000.0, 20_000.0]),
    st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_recurring_gaps_cost_little_more_than_the_best_fixed_keep_time(
    first: float, second: float, share: int
) -> None:
    lengths = ([first] * share + [second]) * 15
    learned, _, _ = cost_of_gaps(lengths)
    fixed = [0.0, 60.0, 120.0, 240.0, RESTART, 2 * RESTART, MAX_KEEP_RESTARTS * RESTART]
    best = min(sum(cost_of(length, keep) for length in lengths) for keep in fixed)
    assert learned <= 1.35 * best + 5 * RESTART


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.floats(0, 1e7)), max_size=30), st.floats(1.0, 3600.0)
)
@settings(max_examples=60, deadline=None)
def test_the_keep_time_is_finite_and_capped(
    observed: list[tuple[float, float]], cold_start: float
) -> None:
    gaps = IdleGaps()
    for length, now in observed:
        gaps = add_gap(gaps, length, now)
    keep = keep_seconds(gaps, cold_start, 1e7)
    assert keep >= MIN_GAP_SECONDS
    assert keep <= max(MIN_GAP_SECONDS, MAX_KEEP_RESTARTS * RESTART_COST * cold_start)
