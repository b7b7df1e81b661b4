"""A lower bound on the GPU hours of every schedule that attains a goal.

The time is divided into segments of ``L`` seconds, at most half a cold start. Let n be the largest
number of replicas of a pool (ready or draining) within a segment. Then:

- At least as many of the segment's requests are late as with n replicas from its beginning to its
  end, when it begins without a queue and late requests are dropped (`late`). More replicas, less
  remaining work, or fewer requests to serve never delay a request that is served in order.
- A replica that is counted in r consecutive segments costs at least (r - 2) L in them, and it costs
  a cold start more if it was not there at the beginning: it may be launched at the end of its first
  segment and removed at the beginning of its last. It is never cheaper to remove it in between,
  because a gap is shorter than 2 L, and that is at most the cold start that it costs.

So the cheapest sequence of n for each pool, with at most the tolerated number of late requests,
costs no more than any schedule. It is found by dynamic programming with a price for each late
request (Lagrange): for every price, the sum of cost and price x (late requests - tolerated ones) is
a lower bound, and the largest is used. Both pools may use the whole tolerance. Nothing else costs
anything: launches never fail, every count is reached exactly when it is needed, and drains and idle
time between requests are free.

Two conditions: cold starts count with their mean, so that a run whose cold starts are shorter by
chance can be below the bound by that difference. And requests are served in order of arrival, or by
the least load, as both dispatchers do; a dispatcher that sacrifices the longest requests could
have fewer late ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecs_dynamo.simulate.compare import Setting
from ecs_dynamo.simulate.fleet.compiled import compiled
from ecs_dynamo.simulate.fleet.spec import PoolName
from ecs_dynamo.simulate.optimum.late import Floats, Integers, jobs_of, lateness

MAX_SEGMENT = 60.0
PRICES = np.geomspace(1.0, 1e6, 25)
"""GPU seconds per late request that are tried first."""
REFINEMENTS = 12
SHORTEST_COLD_START = 2.0


@compiled
def cheapest(
    late: Integers, price: float, segment: float, up: float, down: float, low: int
) -> tuple[float, Integers]:
    """Return the least cost of a pool in replica seconds, and its counts by segment.

    ``late`` is the table of late requests by segment and count. A replica more costs ``up`` and one
    less ``down``, in addition to ``segment`` per replica and segment.
    """
    segments, states = late.shape
    cost = np.zeros(states)
    before = np.zeros((segments, states), dtype=np.int64)
    for k in range(states):
        cost[k] = segment * k + price * late[0, k] if k >= low else np.inf
        before[0, k] = k
    best = np.zeros(states)
    for g in range(1, segments):
        arg = low
        for k in range(low, states):
            if cost[k] <= cost[arg] + up * (k - arg):
                arg = k
            best[k] = cost[arg] + up * (k - arg)
            before[g, k] = arg
        arg = states - 1
        for k in range(states - 1, low - 1, -1):
            if cost[k] <= cost[arg] + down * (arg - k):
                arg = k
            value = cost[arg] + down * (arg - k)
            if value < best[k]:
                best[k] = value
                before[g, k] = arg
        for k in range(low, states):
            cost[k] = best[k] + segment * k + price * late[g, k]
    last, least = low, np.inf
    for k in range(low, states):
        value = cost[k] - segment * (k - low)
        if value < least:
            last, least = k, value
    counts = np.zeros(segments, dtype=np.int64)
    for g in range(segments - 1, -1, -1):
        counts[g] = last
        last = before[g, last]
    return least, counts


@dataclass(frozen=True, slots=True)
class PoolBound:
    """The relaxed problem of one pool.

    ``late`` has the late requests by segment and count; a segment has ``segment`` seconds.
    """

    late: Integers
    segment: float
    cold_start: float
    gpus: int
    low: int

    def solve(self, price: float) -> tuple[float, Integers]:
        """Return the least GPU seconds plus the price of late requests, and the counts.

        ``price`` is in GPU seconds per late request.
        """
        length = self.segment
        cost, counts = cheapest(
            self.late, price / self.gpus, length, self.cold_start - length, -length, self.low
        )
        return cost * self.gpus, counts

    def gpu_seconds(self, tolerated: float) -> tuple[float, float]:
        """Return the bound for a number of tolerated late requests, and the best price."""

        def value(price: float) -> float:
            return self.solve(price)[0] - price * tolerated

        values = [value(price) for price in PRICES]
        i = int(np.argmax(values))
        low, high = PRICES[max(i - 1, 0)], PRICES[min(i + 1, len(PRICES) - 1)]
        best, best_price = values[i], float(PRICES[i])
        # The bound is concave in the price.
        for _ in range(REFINEMENTS):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            first, second = value(left), value(right)
            if first < second:
                low = left
            else:
                high = right
            for candidate, price in ((first, left), (second, right)):
                if candidate > best:
                    best, best_price = candidate, float(price)
        free = self.solve(0.0)[0]
        return (best, best_price) if best >= free else (free, 0.0)


def pool_bound(setting: Setting, pool: PoolName) -> PoolBound:
    """Return the relaxed problem of a pool."""
    fleet, trace = setting.fleet, setting.trace
    cold_start = fleet.cold_start / max(1.0 - fleet.launch_failure, 1e-9)
    length = min(MAX_SEGMENT, cold_start / 2, trace.seconds)
    segments = max(1, int(trace.seconds / length)) if length > 0 else 1
    length = max(length, 1e-3)
    edges: Floats = np.arange(segments + 1, dtype=np.float64) * length
    jobs = jobs_of(fleet, trace, pool, setting.seed)
    late = lateness(jobs, edges, setting.target, setting.high)
    # Counts that are enough in all segments need no larger ones beside them.
    needed = np.flatnonzero(late.sum(axis=0) > 0)
    states = max(int(needed[-1]) + 2 if len(needed) else 1, setting.low + 1)
    return PoolBound(late[:, :states], length, cold_start, fleet.gpus(pool), setting.low)


def lower_bound(setting: Setting, goal: float | None = None) -> float:
    """Return GPU hours below which no schedule attains ``goal`` (default: that of the setting).

    Cold starts below 2 s leave only the minimum count.
    """
    if setting.fleet.cold_start < SHORTEST_COLD_START:
        gpus = sum(setting.fleet.gpus(pool) for pool in PoolName)
        return setting.low * gpus * setting.trace.seconds / 3600.0
    tolerated = (setting.miss if goal is None else 1.0 - goal) * len(setting.trace) + 1e-6
    bounds = (pool_bound(setting, pool).gpu_seconds(tolerated)[0] for pool in PoolName)
    return sum(max(0.0, seconds) for seconds in bounds) / 3600.0
