"""The fleet model compared with queueing theory and its invariants."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.simulate.compare import (
    Setting,
    best,
    default_spec,
    peak_counts,
    run_peer,
    run_peers,
    run_policy,
)
from ecs_dynamo.simulate.fleet.cluster import Cluster
from ecs_dynamo.simulate.fleet.spec import Dispatch, FleetSpec, PoolName
from ecs_dynamo.simulate.optimum.clairvoyant import clairvoyant
from ecs_dynamo.simulate.peers.reference import Static
from ecs_dynamo.simulate.peers.registry import PEERS
from ecs_dynamo.simulate.recommend import Candidate, as_yaml, candidates, frontier, recommend
from ecs_dynamo.simulate.report import format_seconds, markdown, plot_frontier, plot_history
from ecs_dynamo.simulate.run import Result, simulate
from ecs_dynamo.simulate.scalers import Scaler, View
from ecs_dynamo.simulate.traces.families import GENERATORS
from ecs_dynamo.simulate.traces.trace import Trace
from tests.unit.simulate.fleet.runs import QUIET, poisson, scripts


def test_the_queue_agrees_with_theory() -> None:
    """M/M/3 at 2 erlangs: the mean wait is C(3, 2) / (3 - 2) service times, with C = 0.444."""
    trace = poisson(rate=2.0, length=200_000, prompt=4000)
    fleet = replace(QUIET, prefill_base=0.0, dispatch=Dispatch.PULL)
    result = simulate(
        trace, "fixed", scripts([3], [20])[1], fleet=fleet, target=1.0, initial=(3, 20)
    )
    # P(wait > 1 s) = C exp(-(3 - 2) * 1 / 1) = 0.163.
    assert 1 - result.attainment == pytest.approx(0.163, rel=0.1)
    assert result.queue_p50 == 0
    assert result.launches == 0
    assert result.gpu_hours == pytest.approx(23 * trace.seconds / 3600, rel=0.01)


def test_requests_wait_for_a_cold_start() -> None:
    trace = poisson(rate=4.0, length=600, prompt=400)

    class Late:
        def decide(self, view: View) -> int:
            return 2 if view.now >= 60 else 0

    def make(pool: PoolName, _: int) -> Scaler:
        return Late() if pool is PoolName.PREFILL else Static(1)

    result = simulate(trace, "late", make, fleet=QUIET, target=1e9, initial=(0, 1))
    assert result.attainment == 1.0
    assert result.queue_p99 > 200  # Requests of the first minute wait for the launch at 60 s.
    assert result.launches == 2


def test_failed_launches_are_repeated() -> None:
    fleet = FleetSpec(launch_failure=1.0, cold_start_spread=0.0, gpu_slots=8)
    cluster = Cluster(poisson(1.0, 1.0, 100), fleet, seed=1)
    cluster.keep(PoolName.PREFILL, 2, 0.0)
    pool = cluster.pools[PoolName.PREFILL]
    assert (len(pool.launched), pool.launches) == (2, 2)
    cluster.advance(1000.0)
    cluster.observe(1000.0, 1000.0)
    cluster.keep(PoolName.PREFILL, 2, 1000.0)
    assert pool.launches == 4
    assert pool.gpu_seconds == 2 * 210.0
    assert cluster.totals(PoolName.PREFILL).ready == 0


@pytest.mark.parametrize("dispatch", Dispatch)
def test_slots_are_finite_and_removal_drains(dispatch: Dispatch) -> None:
    fleet = replace(QUIET, gpu_slots=3, prefill_base=10.0, prefill_rate=1e12, dispatch=dispatch)
    trace = Trace("t", np.array([0.0, 0.0, 0.0, 1.0, 1.0]), np.ones(5), np.ones(5))
    cluster = Cluster(trace, fleet, seed=1)
    cluster.start(PoolName.PREFILL, 2)
    cluster.keep(PoolName.PREFILL, 9, 0.0)
    pool = cluster.pools[PoolName.PREFILL]
    assert len(pool.launched) == 3
    cluster.advance(5.0)
    totals = cluster.totals(PoolName.PREFILL)
    assert (totals.active, totals.waiting, totals.ready) == (2, 3, 2)
    cluster.keep(PoolName.PREFILL, 1, 5.0)
    # The starting replica is removed first (wasted), then one that drains until 10 s.
    assert pool.wasted == 1
    assert (len(pool.launched), len(pool.draining)) == (1, 1)
    assert pool.gpu_seconds == 5.0
    assert cluster.launches_in_progress(PoolName.PREFILL) == ()
    # The GPU of a replica that drains is not free.
    cluster.keep(PoolName.DECODE, 2, 5.0)
    assert len(cluster.pools[PoolName.DECODE].launched) == 1
    cluster.advance(60.0)
    cluster.observe(60.0, 55.0)
    assert pool.gpu_seconds == pytest.approx(5.0 + 10.0)
    assert cluster.totals(PoolName.PREFILL).done == 5
    cluster.close(60.0)
    assert pool.gpu_seconds == pytest.approx(15.0 + 60.0)


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=30),
    seed=st.integers(0, 5),
    rate=st.floats(0.2, 5),
)
@settings(max_examples=40, deadline=None)
def test_every_request_is_served_once_in_order(counts: list[int], seed: int, rate: float) -> None:
    trace = poisson(rate, 400, 2000, seed)

    class Script:
        def decide(self, view: View) -> int:
            assert view.queue >= view.waiting >= 0
            assert view.queue - view.waiting == view.busy
            assert view.ready + len(view.starting) <= 40
            step = int(view.now / 15)
            return counts[step] if step < len(counts) else 6

    result = simulate(
        trace, "script", lambda *_: Script(), fleet=FleetSpec(), target=1.0, initial=(1, 1)
    )
    assert result.requests == len(trace)
    assert math.isfinite(result.queue_p99)
    assert 0 <= result.attainment <= 1
    assert result.gpu_hours > 0


def test_slo_beats_the_peers_on_a_day_and_every_policy_runs() -> None:
    """Three hours around the morning's rise, as a regression test. The benchmark is separate."""
    whole = GENERATORS["day"](3)
    part = (whole.arrivals > 7 * 3600) & (whole.arrivals < 10 * 3600)
    trace = Trace(
        "morning", whole.arrivals[part] - 7 * 3600, whole.prompts[part], whole.outputs[part]
    )
    setting = Setting(trace, FleetSpec())
    slo = run_policy(setting, default_spec(setting, "slo"))
    assert slo.attainment > 0.97
    peers = list(run_peers(setting))
    assert [p.policy for p in peers] == list(PEERS)
    peer = best(peers, 0.99)
    assert slo.attainment >= min(peer.attainment, 0.97)
    schedule = clairvoyant(setting, 0.99)
    assert schedule.gpu_hours < slo.gpu_hours * 1.05
    assert min(peak_counts(setting)) >= 1
    assert run_policy(setting, default_spec(setting, "slo")) == slo  # Same seed, same run.
    tuned = run_peer(setting, "ray-serve", PEERS["ray-serve"], 1.0, 0.8)
    assert tuned.requests == len(trace)


def result(policy: str, attainment: float, hours: float) -> Result:
    return Result(policy, "t", 1, attainment, 0, 0, 0, 0, 0, math.inf, hours, 0, 0, ((0.0, 1, 1),))


def test_best_is_the_cheapest_that_attains_the_goal_or_the_nearest() -> None:
    cheap, medium, expensive = result("a", 0.9, 1), result("b", 0.992, 5), result("c", 1.0, 9)
    assert best([cheap, medium, expensive], 0.99) is medium
    assert best([cheap, medium, expensive], 0.9999) is expensive
    assert best([cheap, medium], 0.9999) is medium


def test_recommendations_are_on_the_frontier(tmp_path: Path) -> None:
    trace = poisson(2.0, 900, 1000, output=100)
    setting = Setting(trace, FleetSpec())
    tried = list(candidates(setting))[:6]
    front = frontier(tried)
    for candidate in front:
        assert not any(
            c.result.attainment > candidate.result.attainment
            and c.result.gpu_hours < candidate.result.gpu_hours
            for c in tried
        )
    recommended = recommend(tried, 0.5)
    assert recommended in front
    assert "policy: slo" in as_yaml(recommended.spec)
    better, worse = (
        Candidate(recommended.spec, result(n, a, h)) for n, a, h in (("x", 0.5, 2), ("y", 0.4, 3))
    )
    assert frontier([better, worse]) == [better]
    plot_history(trace, [c.result for c in tried], tmp_path / "a.png")
    plot_frontier([c.result for c in tried], tmp_path / "b.svg", "title")
    for name in ("a.png", "b.svg"):
        assert (tmp_path / name).stat().st_size > 5000
    assert "| slo miss=" in markdown([tried[0].result])
    assert [format_seconds(v) for v in (1.234, 75.2, math.inf)] == ["1.23 s", "75 s", "never"]


def test_the_initial_fleet_fits_the_limit() -> None:
    setting = Setting(poisson(30.0, 1200, 2000, 1, output=400), replace(QUIET, gpu_slots=256))
    plain = setting.initial
    limit = sum(plain) // 2
    limited = replace(setting, fleet=replace(setting.fleet, gpu_slots=limit)).initial
    assert limit - 2 < sum(limited) <= limit
    assert all(few < many for few, many in zip(limited, plain, strict=True))
