"""The fewest late requests of a segment of a trace with a certain number of replicas, compiled.

Each segment starts in the best case: earlier requests began the moment they arrived and worked at
full speed, and no request waits. A request that would be late is dropped and costs nothing. Prefill
replicas take requests in order. Decode replicas are pooled: all slots, all KV cache, and batches of
equal size.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet.compiled import compiled
from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName
from ecs_dynamo.simulate.optimum.true_load import earliest_arrivals
from ecs_dynamo.simulate.traces.trace import Trace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DEPTH = 12
"""How far below the smallest count without late requests they are counted. For smaller counts, the
number of the last one is used: a lower bound, because fewer replicas have more late requests."""


class Jobs(NamedTuple):
    """The requests of a pool in order of their earliest arrival there, in seconds.

    ``sizes`` are seconds of prefill or tokens of decode, and ``tokens`` are the reserved KV cache.
    A step takes ``base`` + ``each`` x batch seconds per unit of size. A replica has ``slots`` and
    ``cache`` tokens of KV cache.
    """

    arrivals: Floats
    sizes: Floats
    tokens: Floats
    base: float
    each: float
    slots: int
    cache: float


def jobs_of(fleet: FleetSpec, trace: Trace, pool: PoolName, seed: int) -> Jobs:
    """Return the jobs of a pool."""
    arrivals, order = earliest_arrivals(fleet, trace, pool, seed)
    if pool is PoolName.PREFILL:
        work = fleet.work(pool, trace, seed)
        return Jobs(arrivals, work, np.zeros(len(trace)), 1.0, 0.0, 1, np.inf)
    return Jobs(
        arrivals,
        trace.outputs[order],
        fleet.kv(trace)[order],
        fleet.step_base,
        fleet.step_each,
        fleet.decode_slots,
        fleet.kv_limit,
    )


@compiled
def late_requests(
    jobs: Jobs, first: int, begin: int, end: int, start: float, replicas: int, target: float
) -> int:
    """Return how many of the requests from index ``begin`` to ``end`` are late.

    Those from ``first`` to ``begin`` arrived before the segment, at ``start``, and may still be in
    service. The clock counts units of size that each active request has been served.
    """
    if replicas <= 0:
        return end - begin
    now, clock, used, late = start, 0.0, 0.0, 0
    # Numba infers the type of the list's elements from the first one.
    active = [(0.0, 0.0)]
    active.pop()
    for i in range(first, end):
        size, ready = jobs.sizes[i], jobs.arrivals[i]
        if i < begin:
            size -= (start - ready) / (jobs.base + jobs.each)
            if size <= 0:
                continue
            ready = start
        need = jobs.tokens[i]
        while active:
            step = jobs.base + jobs.each * max(1.0, len(active) / replicas)
            at = now + max(0.0, active[0][0] - clock) * step
            full = len(active) >= jobs.slots * replicas or used + need > jobs.cache * replicas
            if at > ready and not full:
                break
            clock, now = max(clock, active[0][0]), at
            used -= heapq.heappop(active)[1]
        if not active:
            clock, used = 0.0, 0.0
            now = max(now, ready)
        elif now < ready:
            clock += (ready - now) / (jobs.base + jobs.each * max(1.0, len(active) / replicas))
            now = ready
        if i >= begin and now > jobs.arrivals[i] + target:
            late += 1
            continue
        heapq.heappush(active, (clock + size, need))
        used += need
    return late


@compiled
def late_table(jobs: Jobs, edges: Floats, longest: float, target: float, high: int) -> Integers:
    """Return the late requests by segment and count of replicas, up to ``high``.

    ``edges`` are the limits of the segments, and ``longest`` is the longest service in seconds.
    """
    segments = len(edges) - 1
    table = np.zeros((segments, high + 1), dtype=np.int64)
    enough = min(1, high)
    for g in range(segments):
        start = edges[g]
        first = np.searchsorted(jobs.arrivals, start - longest)
        begin = np.searchsorted(jobs.arrivals, start)
        end = np.searchsorted(jobs.arrivals, edges[g + 1])
        table[g, 0] = end - begin
        # Upwards from the count that was enough in the last segment, then downwards from it.
        count, below = enough, enough - 1
        while True:
            table[g, count] = late_requests(jobs, first, begin, end, start, count, target)
            if table[g, count] == 0 or count == high:
                break
            count += 1
        enough = count
        for count in range(below, 0, -1):
            value = late_requests(jobs, first, begin, end, start, count, target)
            table[g, count] = value
            if value == 0:
                enough = count
            if count <= enough - DEPTH or value >= end - begin:
                table[g, 1:count] = value
                break
    return table


def lateness(jobs: Jobs, edges: Floats, target: float, high: int) -> Integers:
    """Return the fewest late requests by segment and count of replicas (0 to ``high``)."""
    longest = float(jobs.sizes.max(initial=0.0)) * (jobs.base + jobs.each)
    return late_table(jobs, edges, longest, target, high)
