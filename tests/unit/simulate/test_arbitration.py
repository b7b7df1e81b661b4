"""A fleet with fewer GPUs than both pools ask for."""

from __future__ import annotations

import numpy as np

from ecs_dynamo.model.spec.scaling import QueueScaling, SloScaling
from ecs_dynamo.simulate.arbitration import Arbiter
from ecs_dynamo.simulate.fleet import FleetSpec, PoolName
from ecs_dynamo.simulate.peers.reference import Static
from ecs_dynamo.simulate.run import Arbitrate, MakeScaler, Result, simulate
from ecs_dynamo.simulate.scalers import PolicyScaler
from ecs_dynamo.simulate.traces.trace import Trace, sorted_trace

LIMIT = 6


def trace() -> Trace:
    """Some minutes of a load for which one prefill replica is too few."""
    rng = np.random.default_rng(3)
    arrivals = np.sort(rng.uniform(0.0, 600.0, 3_000))
    prompts = rng.lognormal(6.5, 0.8, len(arrivals)).clip(4, 16_000).round()
    outputs = rng.lognormal(5.0, 0.8, len(arrivals)).clip(1, 2_000).round()
    return sorted_trace("limited", arrivals, prompts, outputs)


def run(make: MakeScaler, initial: tuple[int, int], arbiter: Arbitrate | None = None) -> Result:
    fleet = FleetSpec(gpu_slots=LIMIT, cold_start=60.0)
    return simulate(trace(), "x", make, fleet=fleet, target=2.0, initial=initial, arbitrate=arbiter)


def test_the_pool_under_pressure_gets_the_slots_of_the_other() -> None:
    def make(pool: PoolName, slots: int) -> PolicyScaler:
        return PolicyScaler(SloScaling(max=64, cold_start_seconds=60.0))

    arbiter = Arbiter(make)
    result = run(arbiter.make, (1, 5), arbiter)
    assert all(prefill + decode <= LIMIT for _, prefill, decode in result.history)
    _, prefill, decode = result.history[-1]
    assert prefill >= 2
    assert decode >= 2
    fixed = run(lambda pool, _: Static(1 if pool is PoolName.PREFILL else 5), (1, 5))
    assert result.attainment > fixed.attainment


def quiet_trace() -> Trace:
    """Two bursts with two quiet hours between them."""
    rng = np.random.default_rng(5)
    bursts = (0.0, 7_500.0)
    arrivals = np.concatenate([begin + np.sort(rng.uniform(0.0, 300.0, 300)) for begin in bursts])
    return sorted_trace("quiet", arrivals, np.full(600, 900.0), np.full(600, 100.0))


def test_arbitrated_pools_are_at_zero_together_only() -> None:
    """Prefill would leave an hour before decode, and serve nothing in between."""

    def make(pool: PoolName, slots: int) -> PolicyScaler:
        idle = 600.0 if pool is PoolName.PREFILL else 4_200.0
        return PolicyScaler(QueueScaling(min=0, max=8, idle_seconds=idle))

    arbiter = Arbiter(make)
    result = simulate(
        quiet_trace(),
        "x",
        arbiter.make,
        fleet=FleetSpec(cold_start=60.0),
        target=2.0,
        initial=(1, 1),
        arbitrate=arbiter,
    )
    assert (0, 0) in {(prefill, decode) for _, prefill, decode in result.history}
    assert all((prefill == 0) == (decode == 0) for _, prefill, decode in result.history)
