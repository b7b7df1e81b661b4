"""Capacity shortages and spot interruptions."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.simulate.fleet.billing import INSTANCE_TYPES
from ecs_dynamo.simulate.fleet.cluster import Cluster
from ecs_dynamo.simulate.fleet.hazards import Shortages, arrivals, interrupt
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from ecs_dynamo.simulate.run import simulate
from tests.unit.simulate.fleet.runs import QUIET, poisson, scripts, trace_of


def test_shortages_have_the_declared_share_and_depend_on_the_seed() -> None:
    times = np.arange(0.0, 3e6, 20.0)
    first, same, other = (
        [shortages.covers(float(t)) for t in times]
        for shortages in (
            Shortages(9000, 1000, 1),
            Shortages(9000, 1000, 1),
            Shortages(9000, 1000, 2),
        )
    )
    assert np.mean(first) == pytest.approx(0.1, abs=0.02)
    assert first == same != other
    assert not Shortages(0.0, 1000, 1).covers(1e9)


def test_a_shortage_stops_launches_that_need_an_instance() -> None:
    fleet = replace(QUIET, shortage_every=1e-6, shortage_length=1e9)
    for name, count in (("g6.xlarge", 1), ("g6.12xlarge", 3)):
        cluster = Cluster(
            trace_of([1.0], [1.0], [1.0]), replace(fleet, instance=INSTANCE_TYPES[name]), seed=1
        )
        cluster.start(PoolName.PREFILL, 1)
        cluster.start(PoolName.DECODE, 1)
        cluster.keep(PoolName.DECODE, 9, 10.0)
        assert len(cluster.pools[PoolName.DECODE].launched) == count


def test_poisson_numbers_have_their_mean() -> None:
    rng = random.Random(1)
    counts = [arrivals(rng, 1.7) for _ in range(20_000)]
    assert np.mean(counts) == pytest.approx(1.7, abs=0.05)
    assert np.var(counts) == pytest.approx(1.7, abs=0.1)


def test_an_interrupted_request_continues_elsewhere() -> None:
    fleet = replace(QUIET, prefill_base=0.0, prefill_rate=1e18, batch_growth=0.0)
    cluster = Cluster(trace_of([0.0, 0.0], [10.0, 10.0], [1000.0, 1000.0]), fleet, seed=1)
    cluster.start(PoolName.PREFILL, 1)
    cluster.start(PoolName.DECODE, 1)
    cluster.advance(12.0)
    row = next(iter(cluster.pools[PoolName.DECODE].launched))
    cluster.keep(PoolName.DECODE, 0, 12.0)
    interrupt(cluster.state, row, 12.0)
    assert cluster.totals(PoolName.DECODE).waiting == 2
    cluster.advance(20.0)
    cluster.start(PoolName.DECODE, 1, 20.0)
    cluster.advance(math.inf)
    # 30 s of decode, and a gap of 8 s.
    assert cluster.state.requests["itl"] == pytest.approx(38.0 / 1000)
    assert cluster.state.requests["decode_wait"].tolist() == [0.0, 0.0]
    assert cluster.totals(PoolName.DECODE).done == 2
    assert cluster.front().first_tokens == 2
    assert cluster.front().outputs == pytest.approx(2000)


@given(seed=st.integers(0, 9), dispatch=st.sampled_from(Dispatch))
@settings(max_examples=20, deadline=None)
def test_nothing_is_lost_by_interruptions(seed: int, dispatch: Dispatch) -> None:
    trace = poisson(4.0, 1200, 2000, seed, output=400)
    fleet = FleetSpec(
        interruptions=6.0,
        dispatch=dispatch,
        cold_start=60.0,
        instance=INSTANCE_TYPES["g6.12xlarge"],
    )
    pools, make = scripts([6], [6])
    result = simulate(trace, "x", make, fleet=fleet, target=5.0, initial=(6, 6), seed=seed)
    second = pools[PoolName.DECODE].views
    assert result.interrupted > 0
    assert result.launches >= result.interrupted
    assert sum(v.arrived for v in second) == len(trace)
    assert math.isfinite(result.queue_p99)
    assert sum(v.prompts_done for v in second) == pytest.approx(float(trace.prompts.sum()))
    assert "6 spot interruptions" in result.fleet
