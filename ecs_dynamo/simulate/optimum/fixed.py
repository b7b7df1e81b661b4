"""The cheapest fleet of fixed size that attains a goal."""

from __future__ import annotations

from functools import partial

from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet.spec import PoolName
from ecs_dynamo.simulate.peers.reference import Static
from ecs_dynamo.simulate.result import Result, pooled
from ecs_dynamo.simulate.run import simulate


def run_fixed(setting: Setting, counts: tuple[int, int], name: str = "fixed") -> Result:
    """Run fixed (prefill, decode) counts, which are ready at the beginning."""
    runs = [
        simulate(
            setting.trace,
            name,
            partial(_static, counts),
            fleet=setting.fleet,
            target=setting.target,
            initial=counts,
            seed=setting.seed + number,
            history=False,
        )
        for number in range(setting.repeats)
    ]
    return pooled(runs)


def _static(counts: tuple[int, int], pool: PoolName, _: int) -> Static:
    return Static(counts[0] if pool is PoolName.PREFILL else counts[1])


def cheapest_fixed(setting: Setting, goal: float | None = None) -> Result:
    """Return the run of the cheapest (prefill, decode) pair that attains ``goal``.

    More replicas of a pool never need more of the other. So the least count of each pool beside the
    largest of the other limits the search, and each prefill count needs a bisection of the decode
    count. If no pair attains the goal, the result is that of the largest fleet.
    """
    goal = 1.0 - setting.miss if goal is None else goal
    low, high = max(setting.low, 1), setting.high
    results: dict[tuple[int, int], Result] = {}

    def run(prefill: int, decode: int) -> Result:
        if (prefill, decode) not in results:
            results[prefill, decode] = run_fixed(
                setting, (prefill, decode), f"fixed {prefill}+{decode}"
            )
        return results[prefill, decode]

    def least_decode(prefill: int, first: int, last: int) -> int | None:
        if run(prefill, last).attainment < goal:
            return None
        while first < last:
            middle = (first + last) // 2
            if run(prefill, middle).attainment >= goal:
                last = middle
            else:
                first = middle + 1
        return last

    enough = least_decode(high, low, high)
    if enough is None:
        return run(high, high)
    first, last = low, high
    while first < last:
        middle = (first + last) // 2
        if run(middle, high).attainment >= goal:
            last = middle
        else:
            first = middle + 1
    best: Result | None = None
    prefill, decode = last, high
    each = setting.fleet.prefill_gpus, setting.fleet.decode_gpus
    least_cost = float("inf")
    while prefill <= high and each[0] * prefill + each[1] * enough < least_cost:
        count = least_decode(prefill, enough, decode)
        if count is not None:
            decode = count
            cost = each[0] * prefill + each[1] * count
            if cost < least_cost:
                least_cost, best = cost, run(prefill, count)
        prefill += 1
    return best if best is not None else run(high, high)
