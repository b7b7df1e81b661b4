"""No schedule beats the bound; fixed fleets, clairvoyant schedules and the true load."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.fleet.spec import Dispatch
from ecs_dynamo.simulate.optimum.bound import lower_bound
from ecs_dynamo.simulate.optimum.clairvoyant import Planned, clairvoyant
from ecs_dynamo.simulate.optimum.fixed import cheapest_fixed, run_fixed
from ecs_dynamo.simulate.optimum.true_load import TrueLoad
from ecs_dynamo.simulate.traces.trace import Trace
from tests.unit.simulate.fleet import runs
from tests.unit.simulate.peers.views import view

QUIET = replace(runs.QUIET, cold_start=120.0)


def crowds(seed: int, seconds: float = 2400.0) -> Trace:
    """Return Poisson arrivals with a crowd in the middle."""
    rng = np.random.default_rng(seed)
    base, peak = rng.uniform(0.5, 3.0), rng.uniform(2.0, 8.0)
    begin, end = sorted(rng.uniform(0, seconds, 2).tolist())
    arrivals = np.sort(
        np.concatenate(
            (
                rng.uniform(0, seconds, rng.poisson(base * seconds)),
                rng.uniform(begin, end, rng.poisson(peak * (end - begin))),
            )
        )
    )
    size = len(arrivals)
    prompts = rng.lognormal(6.5, 1.0, size).clip(4, 16_000).round()
    return Trace("crowds", arrivals, prompts, rng.lognormal(5, 0.85, size).clip(1, 2000).round())


@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.0, 1.0),
    dispatch=st.sampled_from(Dispatch),
    fixed=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_no_schedule_beats_the_bound(
    seed: int, share: float, dispatch: Dispatch, fixed: bool
) -> None:
    setting = Setting(crowds(seed), replace(QUIET, dispatch=dispatch), high=12)
    rng = random.Random(seed)
    if fixed:
        result = run_fixed(setting, (rng.randint(1, 6), rng.randint(1, 5)))
    else:
        plans = {
            pool: np.array([rng.randint(1, 2 + round(5 * share)) for _ in range(40)])
            for pool in PoolName
        }
        result = setting.run("random", lambda pool, _: Planned(plans[pool], 60.0, 120.0))
    assert result.gpu_hours >= lower_bound(setting, result.attainment) - 1e-9


@pytest.mark.parametrize("dispatch", list(Dispatch))
def test_the_optimum_lies_between_the_bound_and_the_clairvoyant(dispatch: Dispatch) -> None:
    setting = Setting(crowds(3), replace(QUIET, dispatch=dispatch), high=12)
    bound = lower_bound(setting)
    known = clairvoyant(setting, trims=10)
    fixed = cheapest_fixed(setting)
    assert known.attainment >= 0.99
    assert fixed.attainment >= 0.99
    assert bound <= min(known.gpu_hours, fixed.gpu_hours)
    assert known.gpu_hours < 3 * bound


def test_the_bound_grows_with_the_goal_and_has_the_minimum() -> None:
    setting = Setting(crowds(4), QUIET, high=12)
    bounds = [lower_bound(setting, goal) for goal in (0.5, 0.9, 0.99, 1.0)]
    assert bounds == sorted(bounds)
    trace = setting.trace
    assert bounds[0] >= 2 * (trace.seconds - 120.0) / 3600.0
    assert lower_bound(replace(setting, fleet=replace(QUIET, cold_start=0.0))) > 0


def test_the_cheapest_fixed_fleet_is_the_cheapest_of_all_pairs() -> None:
    setting = Setting(crowds(5, 900.0), QUIET, high=6)
    cheapest = cheapest_fixed(setting, 0.95)
    pairs = [run_fixed(setting, (p, d)) for p in range(1, 7) for d in range(1, 7)]
    attaining = [r for r in pairs if r.attainment >= 0.95]
    if attaining:
        assert cheapest.gpu_hours == pytest.approx(min(r.gpu_hours for r in attaining), rel=0.01)


def test_the_true_load_is_what_arrives() -> None:
    trace = Trace("t", np.array([0.0, 30.0, 90.0]), np.full(3, 3880.0), np.full(3, 100.0))
    load = TrueLoad(trace, QUIET, PoolName.PREFILL)
    assert load.at(30.0).slot_seconds == pytest.approx(2.0 / 60.0)
    assert load.at(30.0).service_seconds == pytest.approx(1.0)
    assert load.at(300.0).rate == 0.0
    assert load.peak(0.0, 300.0).rate == pytest.approx(2.0 / 60.0)
    decode = TrueLoad(trace, QUIET, PoolName.DECODE)
    assert decode.between(90.5, 92.0).slot_seconds == pytest.approx(3.0 / 1.5)


def test_a_plan_is_launched_ahead() -> None:
    scaler = Planned(np.array([1, 1, 5, 2]), 60.0, 60.0)
    counts = [scaler.decide(view(now, 0, 1)) for now in (30.0, 61.0, 130.0, 185.0, 900.0)]
    assert counts == [1, 5, 5, 2, 2]
