"""Scalers to compare with: fixed fleets and one that knows the future."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ecs_dynamo.planning.scaling.erlang_c import servers_needed
from ecs_dynamo.simulate.scalers import View


@dataclass(slots=True)
class Static:
    """A fixed count."""

    count: int

    def decide(self, view: View) -> int:
        del view
        return self.count


@dataclass(slots=True)
class Clairvoyant:
    """A scaler that knows all arrivals and their service times.

    ``counts`` holds Erlang C's counts at the true load of each tick. Replicas are launched
    ``ahead`` seconds (one long cold start) before they are needed and removed as soon as the future
    needs fewer.
    """

    counts: Sequence[int]
    tick: float
    ahead: float

    def decide(self, view: View) -> int:
        first = int(view.now / self.tick)
        last = first + math.ceil(self.ahead / self.tick)
        return max(self.counts[first : last + 1], default=self.counts[-1] if self.counts else 0)


def true_counts(
    arrivals: Sequence[float],
    work: Sequence[float],
    slots: int,
    *,
    target: float,
    miss: float,
    tick: float,
    low: int,
) -> list[int]:
    """Return the replicas that the true load needs at each tick, from means over a minute."""
    if not arrivals:
        return []
    bins = int(arrivals[-1] / tick) + 1
    load = [0.0] * bins
    number = [0] * bins
    for at, seconds in zip(arrivals, work, strict=True):
        load[int(at / tick)] += seconds
        number[int(at / tick)] += 1
    half = max(1, round(30.0 / tick))
    counts = []
    for i in range(bins):
        near = range(max(0, i - half), min(bins, i + half + 1))
        seconds, count = sum(load[j] for j in near), sum(number[j] for j in near)
        offered = seconds / (len(near) * tick)
        service_time = seconds / count if count else 1.0
        servers = servers_needed(offered, service_time, target, miss, 1.0)
        counts.append(max(low, math.ceil(servers / slots)))
    return counts
