"""A schedule that knows the trace: the counts of the lower bound, made feasible by simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet.spec import PoolName
from ecs_dynamo.simulate.optimum.bound import PoolBound, pool_bound
from ecs_dynamo.simulate.optimum.late import Integers
from ecs_dynamo.simulate.result import Result
from ecs_dynamo.simulate.scalers import View

SHARES = (1.0, 0.5, 0.25, 0.1, 0.03, 0.0)
"""Shares of the tolerated late requests for which each pool has a plan, beside one replica more."""


@dataclass(slots=True)
class Planned:
    """A scaler with a plan: the replicas that must be ready, by segment of ``seconds``.

    It launches ``ahead`` seconds early and removes a replica as soon as the plan allows.
    """

    plan: Integers
    seconds: float
    ahead: float

    def decide(self, view: View) -> int:
        first = min(int(view.now / self.seconds), len(self.plan) - 1)
        last = math.ceil((view.now + self.ahead) / self.seconds)
        return int(self.plan[first : max(last, first + 1)].max())


def plans(bound: PoolBound, tolerated: float, high: int) -> list[Integers]:
    """Return plans of a pool from the cheapest to the most punctual."""
    least = [bound.solve(bound.gpu_seconds(max(share * tolerated, 0.5))[1])[1] for share in SHARES]
    return least + [np.minimum(least[-1] + extra, high) for extra in (1, 2, 4)]


def clairvoyant(setting: Setting, goal: float | None = None, *, trims: int = 40) -> Result:
    """Return the cheapest schedule with perfect knowledge that was found for ``goal``.

    Each pair of plans along the limit of attainment is simulated. Then the best is improved: in one
    part of it after another, a replica is removed, if the goal is still attained. It is not a
    bound but achievable, so that the optimum lies between it and the lower bound.
    """
    goal = 1.0 - setting.miss if goal is None else goal
    tolerated = (1.0 - goal) * len(setting.trace)
    problems = {pool: pool_bound(setting, pool) for pool in PoolName}
    options = {pool: plans(problems[pool], tolerated, setting.high) for pool in PoolName}
    ahead = setting.fleet.cold_start * (1 + setting.fleet.cold_start_spread)

    def run(pair: dict[PoolName, Integers]) -> Result:
        def make(pool: PoolName, _: int) -> Planned:
            return Planned(pair[pool], problems[pool].segment, ahead)

        return setting.run("clairvoyant", make)

    prefill, decode = options[PoolName.PREFILL], options[PoolName.DECODE]
    best_pair = {PoolName.PREFILL: prefill[-1], PoolName.DECODE: decode[-1]}
    best = run(best_pair)
    j = len(decode) - 1
    for first in prefill:
        while j >= 0:
            pair = {PoolName.PREFILL: first, PoolName.DECODE: decode[j]}
            result = run(pair)
            if result.attainment < goal:
                break
            if best.attainment < goal or result.gpu_hours < best.gpu_hours:
                best, best_pair = result, pair
            j -= 1
    for number in range(trims if best.attainment >= goal else 0):
        pool = tuple(PoolName)[number % 2]
        parts = max(1, trims // 2)
        plan = best_pair[pool].copy()
        at = (number // 2) * len(plan) // parts
        part = plan[at : max(at + len(plan) // parts, at + 1)]
        part[:] = np.maximum(part - 1, max(setting.low, 1))
        pair = {**best_pair, pool: plan}
        result = run(pair)
        if result.attainment >= goal and result.gpu_hours < best.gpu_hours:
            best, best_pair = result, pair
    return best
