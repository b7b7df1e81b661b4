"""llm-d's workload variant autoscaler (WVA): three analyzers of one variant of a model.

Its recommendation is a metric that an HPA applies, with stabilization windows of 240 s in both
directions in WVA's Helm chart (docs/integrations/hpa-integration.md). In favour of the peer, an
increase is applied at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

from ecs_dynamo.simulate.peers.base import Bounds, SlidingMax, occupancy, stabilized
from ecs_dynamo.simulate.scalers import View

PERIOD = 30.0
"""Seconds between two optimizations."""
DOWN_SECONDS = 240.0
"""A decrease takes the largest recommendation of this time."""


class Analyzer(Protocol):
    """An analyzer recommends a count once per period, and None in between."""

    def recommend(self, view: View) -> int | None: ...


@dataclass(slots=True)
class Wva:
    """An analyzer with the HPA that applies its recommendations."""

    bounds: Bounds
    analyzer: Analyzer
    largest: SlidingMax[int] = field(default_factory=lambda: SlidingMax(DOWN_SECONDS))
    last: int | None = None

    def decide(self, view: View) -> int:
        recommended = self.analyzer.recommend(view)
        if recommended is not None:
            self.last = self.bounds.clamp(recommended)
        if self.last is None:
            return view.current
        return stabilized(self.largest, view, self.last)


@dataclass(slots=True)
class WvaV1:
    """WVA's first saturation analyzer, on shares of the KV cache and on queue lengths.

    A replica is saturated at 80 % of its cache or with 5 waiting requests. One replica is added if
    the mean spare capacity of the others is below 10 % of the cache or 3 requests; one is removed
    if both remain after its load is spread over the rest. Nothing changes while a replica starts
    (llm-d/llm-d-workload-variant-autoscaler 0.5, internal/saturation/analyzer.go and
    docs/saturation-analyzer.md). The metrics are the largest of the last minute.

    ``target`` is the threshold of the queue in prefill, where 60 % of it must be spare and
    the cache says little, and the threshold of the cache in decode.
    """

    target: float
    cache: SlidingMax[float] = field(default_factory=lambda: SlidingMax(60.0))
    queue: SlidingMax[float] = field(default_factory=lambda: SlidingMax(60.0))
    next_at: float = 0.0

    def recommend(self, view: View) -> int | None:
        cache = self.cache.add(view.now, occupancy(view))
        queue = self.queue.add(view.now, view.waiting / max(view.ready, 1))
        if view.now < self.next_at:
            return None
        self.next_at = view.now + PERIOD
        if view.starting or view.ready != view.current:
            return view.current
        limits = [(queue, 5.0, 3.0), (cache, self.target, 0.1)]
        if view.slots == 1:
            limits = [(queue, self.target, 0.6 * self.target)]
        return self._decided(view, limits)

    def _decided(self, view: View, limits: list[tuple[float, float, float]]) -> int:
        """Decide by the (load, threshold, spare) of each metric."""
        if any(threshold - load < spare for load, threshold, spare in limits):
            return view.current + 1
        if view.ready < 2:
            return view.current
        growth = view.ready / (view.ready - 1)
        if all(threshold - load * growth >= spare for load, threshold, spare in limits):
            return view.current - 1
        return view.current


@dataclass(slots=True)
class WvaV2:
    """WVA's second saturation analyzer, on demand and capacity; its default since 0.9.

    required = demand / 0.85 - capacity of all replicas, including those that start; spare =
    capacity of the ready replicas - demand / 0.70. The former, rounded up to replicas, is added;
    the latter, rounded down, is removed. Demand is what is in use and what waits; the capacity of a
    replica is the smaller of 80 % of its cache and what its batch holds (v0.9,
    internal/engines/analyzers/saturation_v2 and internal/engines/pipeline/cost_aware_optimizer.go).

    Everything is counted in mean requests instead of tokens. A waiting request counts in full; WVA
    counts its prompt alone. ``target`` is the threshold of 0.85; the boundary is 0.15 below it.
    """

    target: float
    next_at: float = 0.0

    def recommend(self, view: View) -> int | None:
        if view.now < self.next_at:
            return None
        self.next_at = view.now + PERIOD
        each = float(view.slots)
        if view.kv_usage > 0 and view.busy:
            each = min(each, 0.8 * view.busy / (view.kv_usage * view.ready))
        demand = float(view.busy + view.waiting)
        anticipated = view.ready + len(view.starting)
        required = demand / self.target - anticipated * each
        if required > 0:
            return view.current + math.ceil(required / each)
        spare = view.ready * each - demand / (self.target - 0.15)
        if spare > 0:
            return max(1, view.current - math.floor(spare / each))
        return view.current


@dataclass(slots=True)
class WvaSlo:
    """WVA's model-based optimizer: the fewest replicas whose queueing model meets the targets.

    Each replica is a queue of its own with a share of the arrivals of the last minute. The largest
    rate at which its mean waiting time meets the TTFT target gives the number of replicas
    (docs/design/modeling-optimization.md and pkg/analyzer of 0.5; periods of 60 s). The model used
    here is exact: it knows the service times of all requests that arrived. A decode replica is
    M/M/c with its slots as servers.

    ``target`` is the mean waiting time in seconds.
    """

    target: float
    work: float = 0.0
    arrived: int = 0
    since: float = 0.0
    known: dict[tuple[int, int], float] = field(default_factory=dict)

    def recommend(self, view: View) -> int | None:
        self.work += view.work
        self.arrived += view.arrived
        elapsed = view.now - self.since
        if elapsed < 60.0:
            return None
        load, number = self.work / elapsed, self.arrived
        service = self.work / number if number else 0.0
        self.work, self.arrived, self.since = 0.0, 0, view.now
        if load <= 0:
            return 0
        return math.ceil(load / self._load_of_a_replica(view.slots, service))

    def _load_of_a_replica(self, slots: int, service: float) -> float:
        """Return the largest load in erlangs at which the mean wait meets the target."""
        step = round(20.0 * math.log(service / self.target))
        if (slots, step) not in self.known:
            ratio = math.exp(step / 20.0)
            low, high = 0.0, float(slots)
            for _ in range(30):
                load = (low + high) / 2
                if mean_wait(slots, load) * ratio <= 1.0:
                    low = load
                else:
                    high = load
            self.known[slots, step] = max(low, 1e-3)
        return self.known[slots, step]


def mean_wait(servers: int, load: float) -> float:
    """Return the mean wait of M/M/n in service times; ``load`` is below ``servers`` erlangs.

    It is C(n, a) / (n - a), with Erlang's C.
    """
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    waits = servers * blocking / (servers - load * (1.0 - blocking))
    return waits / (servers - load)


def wva_v1(bounds: Bounds, target: float) -> Wva:
    return Wva(bounds, WvaV1(target))


def wva_v2(bounds: Bounds, target: float) -> Wva:
    return Wva(bounds, WvaV2(target))


def wva_slo(bounds: Bounds, target: float) -> Wva:
    return Wva(bounds, WvaSlo(target))
