"""Concurrency that is learned, and a target for the inter-token latency, in the simulator."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName
from ecs_dynamo.simulate.result import Result
from ecs_dynamo.simulate.run import simulate
from ecs_dynamo.simulate.scalers import PolicyScaler, View
from ecs_dynamo.simulate.traces.trace import Trace

FLEET = FleetSpec(decode_slots=48, decode_token=0.06, cold_start=60.0, launch_failure=0.0)
HOURS = 3.0
RATE = 12.0
TARGET = 0.045


def swinging_trace(rate: float) -> Trace:
    """Poisson arrivals whose rate swings by 40 % within an hour."""
    rng = np.random.default_rng(11)
    count = int(rate * HOURS * 3600)
    even = np.sort(rng.uniform(0.0, HOURS * 3600, count))
    arrivals = even - 0.4 * 3600 / (2 * np.pi) * np.sin(2 * np.pi * even / 3600)
    prompts = rng.lognormal(5.5, 0.5, count)
    return Trace("swinging", np.sort(arrivals), prompts, rng.lognormal(4.6, 0.5, count))


class _WithoutLimit(PolicyScaler):
    """A policy that does not know the engine's limit."""

    def decide(self, view: View) -> int:
        return super().decide(replace(view, slots=0))


def run(*, limit: bool, **changes: float) -> Result:
    def make(pool: PoolName, _: int) -> PolicyScaler:
        values = {"max": 60, "coldStartSeconds": 60, "miss": 0.005}
        own = changes if pool is PoolName.DECODE else {}
        spec = SloScaling.model_validate({**values, **own})
        return (PolicyScaler if limit else _WithoutLimit)(spec)

    return simulate(
        swinging_trace(RATE),
        "slo",
        make,
        fleet=FLEET,
        target=2.0,
        initial=(4, 6),
        target_itl=TARGET,
    )


def decode_hours(result: Result, after: float) -> float:
    """Replica hours of decode after a time, by the desired counts."""
    changes = [(max(at, after), count) for at, _, count in result.history]
    return sum((end - begin) * count for (begin, count), (end, _) in pairwise(changes))


def test_a_learned_concurrency_costs_little_after_the_first_hour() -> None:
    declared, learned = run(limit=True, concurrency=48), run(limit=False)
    assert decode_hours(learned, 3600) <= 1.1 * decode_hours(declared, 3600)
    assert learned.attainment >= declared.attainment - 0.02


def test_a_target_for_the_itl_is_kept() -> None:
    without, with_target = run(limit=True), run(limit=True, targetItlSeconds=TARGET)
    assert (without.latency_attainment or 0.0) < 0.9
    assert (with_target.latency_attainment or 0.0) >= 0.95
