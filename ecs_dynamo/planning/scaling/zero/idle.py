"""How long a replica without demand is kept before its component scales to zero.

Staying costs one second of GPU time per second. Going to zero costs a restart at the next demand:
the GPU time of a cold start, during which the requests wait. This is the ski-rental problem. If
nothing is known about the idle gaps, a replica is kept for as long as a restart costs, which is at
most twice what the best choice in hindsight would have cost (Karlin et al. 1988, Competitive snoopy
caching). Once gaps were observed, the time with the lowest expected cost is used: a component whose
next batch comes within a cold start stays, and one that is used once per hour leaves at once.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from ecs_dynamo.model.memory.zero import IdleGaps

RESTART_COST = 2.0
"""Cost of a restart in cold starts: one for the GPU time, and one for the requests that wait."""
MEMORY_SECONDS = 7 * 86_400.0
"""Gaps fade over a week, because nights and weekends come again."""
MIN_GAP_SECONDS = 30.0
"""Shorter gaps are pauses between two requests. No keep time is as short."""
MAX_KEEP_RESTARTS = 4.0
"""Cap of the keep time as a multiple of the cost of a restart, whatever was observed."""
_RATIO = math.sqrt(2.0)
EDGES = tuple(MIN_GAP_SECONDS * _RATIO**i for i in range(30))
"""Bin ``i`` holds gaps of at least ``EDGES[i]`` seconds; the last one begins after eight days."""
_MIDDLES = tuple(edge * math.sqrt(_RATIO) for edge in EDGES)
PRIOR_GAPS = 2.0
"""The prior distribution weighs as much as this many observed gaps."""
PRIOR_SHARE = 0.125
"""Share of those gaps that are longer than a restart costs."""


def add_gap(gaps: IdleGaps, seconds: float, now: float) -> IdleGaps:
    """Return the histogram with a gap that ended at ``now``; pauses are ignored."""
    if seconds < MIN_GAP_SECONDS:
        return gaps
    fade = math.exp(-max(0.0, now - gaps.at) / MEMORY_SECONDS)
    weights = [weight * fade for weight in gaps.weights] or [0.0] * len(EDGES)
    weights[bisect_right(EDGES, seconds) - 1] += 1.0
    return IdleGaps(tuple(weights), now)


def keep_seconds(gaps: IdleGaps, cold_start: float, now: float) -> float:
    """Return how long to keep a replica after the last demand, for a ``cold_start`` in seconds."""
    restart = RESTART_COST * cold_start
    fade = math.exp(-max(0.0, now - gaps.at) / MEMORY_SECONDS)
    # A gap that outlasts the keep time costs that time and a restart; a shorter one its length.
    inside = outside = 0.0
    costs: list[tuple[float, float]] = []
    longer = sum(gaps.weights)
    for index, edge in enumerate(EDGES):
        if edge > MAX_KEEP_RESTARTS * restart and costs:
            break
        outside = longer * (edge + restart)
        costs.append(((inside + outside) * fade + _prior_cost(edge, restart), edge))
        if gaps.weights:
            inside += gaps.weights[index] * _MIDDLES[index]
            longer = max(0.0, longer - gaps.weights[index])
    return min(costs)[1]


def _prior_cost(keep: float, restart: float) -> float:
    """The expected cost of ``keep`` seconds if the chance of a gap longer than x falls as 1 / x.

    Under this prior the best keep time is the cost of a restart, as in the ski-rental problem.
    """
    shortest = PRIOR_SHARE * restart
    if keep <= shortest:
        return PRIOR_GAPS * (keep + restart)
    staying = shortest * (1.0 + math.log(keep / shortest))
    return PRIOR_GAPS * (staying + restart * shortest / keep)
