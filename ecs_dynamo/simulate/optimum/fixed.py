"""The cheapest fleet of fixed size that attains a goal."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.peers.reference import Static
from ecs_dynamo.simulate.result import Result


def run_fixed(setting: Setting, counts: tuple[int, int], name: str = "fixed") -> Result:
    """Run fixed (prefill, decode) counts, which are ready at the beginning."""
    by_pool = dict(zip(PoolName, counts, strict=True))
    plain = replace(setting, history=False)
    return plain.run(name, lambda pool, _: Static(by_pool[pool]), counts)


def least(low: int, high: int, attains: Callable[[int], bool]) -> int:
    """Return the least count from ``low`` to ``high`` that attains the goal, by bisection.

    ``high`` must attain it.
    """
    return low + bisect_left(range(low, high), x=True, key=attains)


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
        return least(first, last, lambda count: run(prefill, count).attainment >= goal)

    enough = least_decode(high, low, high)
    if enough is None:
        return run(high, high)
    best: Result | None = None
    prefill = least(low, high, lambda count: run(count, high).attainment >= goal)
    decode = high
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
