"""The backlog after a cold start, and the slots that drain it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ecs_dynamo.planning.scaling.load.backlog import (
    Pool,
    backlog_after,
    draining_slots,
    held_back,
)

LOADS = st.floats(0.0, 200.0)
POOLS = st.builds(
    Pool, st.integers(0, 50), st.lists(st.floats(-10.0, 300.0), max_size=6), st.floats(1.0, 32.0)
)


def test_a_backlog_grows_by_what_the_replicas_do_not_serve() -> None:
    pool = Pool(2, (), 1.0)
    assert backlog_after(10.0, 5.0, 0.5, pool, 100.0) == 10.0 + (5.0 - 2.0) / 0.5 * 100.0
    assert backlog_after(10.0, 1.0, 0.5, pool, 100.0) == 0.0


@given(st.floats(0, 1e4), LOADS, st.floats(0.01, 60.0), POOLS, st.floats(1.0, 600.0))
def test_more_replicas_never_leave_more(
    waiting: float, load: float, seconds: float, pool: Pool, cold_start: float
) -> None:
    left = backlog_after(waiting, load, seconds, pool, cold_start)
    more = Pool(pool.ready + 1, pool.ready_in, pool.slots)
    soon = Pool(pool.ready, (*pool.ready_in, 0.0), pool.slots)
    assert left >= 0.0
    assert backlog_after(waiting, load, seconds, more, cold_start) <= left + 1e-6
    assert backlog_after(waiting, load, seconds, soon, cold_start) <= left + 1e-6


@given(st.floats(0, 1e4), LOADS, LOADS, st.floats(0.01, 60.0), POOLS, st.floats(1.0, 600.0))
def test_draining_at_most_doubles_the_load(
    waiting: float, load: float, expected: float, seconds: float, pool: Pool, cold_start: float
) -> None:
    slots = draining_slots(waiting, load, expected, seconds, pool, cold_start, 2.0)
    assert 0.0 <= slots <= 2.0 * max(load, expected, pool.slots)


def test_requests_in_prefill_are_not_held_back() -> None:
    assert held_back(None, 5.0) == held_back(8.0, 5.0) == 0.0
    assert held_back(100.0, 5.0) == 90.0
