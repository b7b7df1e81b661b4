"""The fewest late requests of a segment of a trace with a certain number of replicas, compiled.

Each segment starts in the best case: earlier requests began the moment they arrived and worked at
full speed, and no request waits. A request that would be late is dropped and costs nothing. Prefill
replicas take requests in order. Decode replicas are pooled: all slots, all KV cache, and batches of
equal size.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecs_dynamo.simulate.fleet.compiled import compiled
from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName
from ecs_dynamo.simulate.traces.trace import Trace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
DEPTH = 12
"""Counts below the smallest without late requests for which the late requests are counted. Below
those, the number of the last one is used, which is too small."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """The requests of a pool in order of their earliest arrival there, in seconds.

    ``sizes`` are seconds of prefill or tokens of decode. A step takes ``base`` + ``each`` x batch
    seconds per unit of size. A replica has ``slots`` and ``cache`` tokens of KV cache.
    """

    arrivals: Floats
    sizes: Floats
    tokens: Floats
    base: float
    each: float
    slots: int
    cache: float


def jobs_of(fleet: FleetSpec, trace: Trace, pool: PoolName, seed: int) -> Jobs:
    """Return the jobs of a pool. A request arrives at decode when its prefill ends, unqueued."""
    prefill = fleet.work(PoolName.PREFILL, trace, seed)
    none = np.zeros(len(trace))
    if pool is PoolName.PREFILL:
        return Jobs(trace.arrivals, prefill, none, 1.0, 0.0, 1, np.inf)
    arrivals = trace.arrivals + prefill
    order = np.argsort(arrivals, kind="stable")
    cache = float(fleet.kv_tokens) if fleet.kv_tokens > 0 else np.inf
    tokens = np.minimum(trace.prompts + trace.outputs, cache)
    return Jobs(
        arrivals[order],
        trace.outputs[order],
        tokens[order],
        fleet.step_base,
        fleet.step_each,
        fleet.decode_slots,
        cache,
    )


@compiled
def late_requests(
    arrivals: Floats,
    sizes: Floats,
    tokens: Floats,
    first: int,
    begin: int,
    end: int,
    start: float,
    replicas: int,
    base: float,
    each: float,
    slots: int,
    cache: float,
    target: float,
) -> int:
    """Return how many of the requests from index ``begin`` to ``end`` are late.

    Those from ``first`` to ``begin`` arrived before the segment, at ``start``, and may still be in
    service. The clock counts units of size that each active request has been served.
    """
    if replicas <= 0:
        return end - begin
    now, clock, used, late = start, 0.0, 0.0, 0
    active = [(0.0, 0.0)]
    active.pop()
    for i in range(first, end):
        size, ready = sizes[i], arrivals[i]
        if i < begin:
            size -= (start - ready) / (base + each)
            if size <= 0:
                continue
            ready = start
        need = tokens[i]
        while active:
            step = base + each * max(1.0, len(active) / replicas)
            at = now + max(0.0, active[0][0] - clock) * step
            full = len(active) >= slots * replicas or used + need > cache * replicas
            if at > ready and not full:
                break
            clock, now = max(clock, active[0][0]), at
            used -= heapq.heappop(active)[1]
        if not active:
            clock, used = 0.0, 0.0
            now = max(now, ready)
        elif now < ready:
            clock += (ready - now) / (base + each * max(1.0, len(active) / replicas))
            now = ready
        if i >= begin and now > arrivals[i] + target:
            late += 1
            continue
        heapq.heappush(active, (clock + size, need))
        used += need
    return late


@compiled
def late_table(
    arrivals: Floats,
    sizes: Floats,
    tokens: Floats,
    edges: Floats,
    longest: float,
    base: float,
    each: float,
    slots: int,
    cache: float,
    target: float,
    high: int,
) -> Integers:
    """Return the late requests by segment and count of replicas, up to ``high``.

    ``edges`` are the limits of the segments, and ``longest`` is the longest service in seconds.
    """
    segments = len(edges) - 1
    table = np.zeros((segments, high + 1), dtype=np.int64)
    enough = 1
    for g in range(segments):
        start = edges[g]
        first = np.searchsorted(arrivals, start - longest)
        begin = np.searchsorted(arrivals, start)
        end = np.searchsorted(arrivals, edges[g + 1])
        table[g, 0] = end - begin
        # Upwards from the count that was enough before, then downwards.
        count, lowest = min(max(enough, 1), high), high + 1
        known = -1
        while True:
            value = late_requests(
                arrivals,
                sizes,
                tokens,
                first,
                begin,
                end,
                start,
                count,
                base,
                each,
                slots,
                cache,
                target,
            )
            table[g, count] = value
            lowest = min(lowest, count)
            if known < 0 or count > known:
                known = count
            if value == 0 or count == high:
                break
            count += 1
        enough = known
        count = lowest - 1
        while count >= 1:
            value = late_requests(
                arrivals,
                sizes,
                tokens,
                first,
                begin,
                end,
                start,
                count,
                base,
                each,
                slots,
                cache,
                target,
            )
            table[g, count] = value
            if value == 0:
                enough = count
            if count <= enough - 12 or value >= end - begin:
                for less in range(1, count):
                    table[g, less] = value
                break
            count -= 1
    return table


def lateness(jobs: Jobs, edges: Floats, target: float, high: int) -> Integers:
    """Return the fewest late requests by segment and count of replicas (0 to ``high``)."""
    longest = float(jobs.sizes.max(initial=0.0)) * (jobs.base + jobs.each)
    return late_table(
        jobs.arrivals,
        jobs.sizes,
        jobs.tokens,
        edges,
        longest,
        jobs.base,
        jobs.each,
        jobs.slots,
        jobs.cache,
        target,
        high,
    )
