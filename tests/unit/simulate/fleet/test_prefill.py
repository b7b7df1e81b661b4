"""Prefill compared with queueing theory; dispatch; replicas that come and go."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ecs_dynamo.simulate.fleet.cluster import Cluster
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from ecs_dynamo.simulate.run import simulate
from tests.unit.simulate.fleet.runs import QUIET, poisson, scripts, trace_of


def erlang_c(servers: int, load: float) -> float:
    """Return the probability of waiting in M/M/n, from its defining sum."""
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(load**k / math.factorial(k) for k in range(servers)) + last)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 2.0), (8, 6.0), (20, 17.0)])
def test_waits_agree_with_erlang_c(servers: int, load: float) -> None:
    trace = poisson(rate=load, length=150_000 / load, prompt=4000)
    fleet = replace(QUIET, prefill_base=0.0, dispatch=Dispatch.PULL)
    cluster = Cluster(trace, fleet, seed=1)
    cluster.start(PoolName.PREFILL, servers)
    cluster.start(PoolName.DECODE, 40)
    cluster.advance(math.inf)
    wait = cluster.state.requests["prefill_wait"]
    expected = erlang_c(servers, load)
    assert float((wait > 0).mean()) == pytest.approx(expected, rel=0.06)
    assert float(wait.mean()) == pytest.approx(expected / (servers - load), rel=0.1)


def test_a_new_replica_takes_part_in_a_backlog_only_if_requests_are_pulled() -> None:
    fleet = replace(QUIET, prefill_base=1.0, prefill_rate=1e18, cold_start=45.0)
    trace = trace_of([0.0] * 120, [1.0] * 120, [1.0] * 120)
    waits = {}
    for dispatch in Dispatch:
        _, make = scripts([2], [1])
        result = simulate(
            trace,
            "grow",
            make,
            fleet=replace(fleet, dispatch=dispatch),
            target=70.0,
            initial=(1, 1),
        )
        waits[dispatch] = result.prefill_wait
        assert result.launches == 1
    # The second replica is ready after a minute: with pull, both serve the remaining half.
    assert waits[Dispatch.PUSH] == pytest.approx(59.5, abs=0.1)
    assert waits[Dispatch.PULL] == pytest.approx(52.0, abs=1.0)


def test_requests_that_wait_at_a_removed_replica_go_elsewhere() -> None:
    fleet = replace(QUIET, prefill_base=10.0, prefill_rate=1e18)
    cluster = Cluster(trace_of([0.0] * 6, [1.0] * 6, [1.0] * 6), fleet, seed=1)
    cluster.start(PoolName.PREFILL, 2)
    cluster.start(PoolName.DECODE, 1)
    cluster.advance(5.0)
    cluster.keep(PoolName.PREFILL, 1, 5.0)
    cluster.advance(math.inf)
    # One of two requests in service ends at the removed replica; the other queues five.
    wait = np.sort(cluster.state.requests["prefill_wait"])
    assert wait.tolist() == [0.0, 0.0, 10.0, 20.0, 30.0, 40.0]


def test_prefix_cache_shortens_prefill() -> None:
    trace = poisson(2.0, 2000.0, 1000)
    fleet = FleetSpec(cached_share=0.4)
    cached = fleet.cached(trace, 1)
    assert float((cached / trace.prompts).mean()) == pytest.approx(0.4, abs=0.02)
    assert (cached == fleet.cached(trace, 1)).all()
    assert (cached != fleet.cached(trace, 2)).any()
    assert (cached <= trace.prompts).all()
    work = fleet.work(PoolName.PREFILL, trace, 1)
    assert work == pytest.approx(fleet.prefill_base + (trace.prompts - cached) / 4000)
    pools, make = scripts([4], [4])
    simulate(trace, "fixed", make, fleet=fleet, target=1.0, initial=(4, 4))
    views = pools[PoolName.PREFILL].views
    assert float(np.mean([v.cached_share for v in views])) == pytest.approx(0.4, abs=0.02)


def test_without_a_replica_requests_wait_or_are_refused() -> None:
    trace = trace_of([1.0, 2.0, 100.0], [10.0] * 3, [10.0] * 3)
    fleet = replace(QUIET, cold_start=30.0)
    _, make = scripts([1], [1])
    waiting = simulate(trace, "zero", make, fleet=fleet, target=60.0, initial=(0, 1))
    assert (waiting.attainment, waiting.rejected) == (1.0, 0)
    refusing = replace(fleet, zero_rejects=True)
    pools, make = scripts([1], [1])
    refused = simulate(trace, "zero", make, fleet=refusing, target=60.0, initial=(0, 1))
    assert refused.rejected == 2
    assert refused.attainment == pytest.approx(1 / 3)
    assert math.isinf(refused.queue_p50)
    assert [v.rejected for v in pools[PoolName.PREFILL].views if v.rejected] == [2]
