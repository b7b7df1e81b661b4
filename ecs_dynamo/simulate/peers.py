"""Other scalers that users could choose, after their published algorithms and with their defaults.

Each has one target and uses the measure of backlog that suits it best (unfinished requests, or its
share per replica). A decision period shorter than the simulator's tick becomes the tick. Open
questions are decided in favour of the peer: it receives every metric immediately (CloudWatch and
Prometheus are a minute late), and a backlog is also divided by the replicas that are starting;
otherwise the two AWS policies would launch the same replicas again every minute.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ecs_dynamo.planning.scaling.erlang_c import servers_needed
from ecs_dynamo.simulate.scalers import Scaler, View


@dataclass(slots=True)
class Bounds:
    """Minimum and maximum number of replicas."""

    low: int
    high: int

    def clamp(self, count: int) -> int:
        return min(max(count, self.low), self.high)


@dataclass(slots=True)
class KedaHpa:
    """A Kubernetes HPA with an AverageValue target, driven by KEDA's queue scalers.

    HPA: desired = ceil(total / target) with tolerance 0.1. It scales up immediately, by at most the
    larger of 4 and 100 % per 15 s, and down to the largest recommendation of the last 300 s
    (kubernetes.io, "Horizontal Pod Autoscaling", algorithm details and default behavior; keda.sh,
    "Scaling deployments").
    """

    bounds: Bounds
    target: float
    recommendations: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, view: View) -> int:
        current = max(view.current, 1)
        ratio = view.queue / (self.target * current)
        desired = view.current if abs(ratio - 1) <= 0.1 else math.ceil(view.queue / self.target)
        self.recommendations.append((view.now, desired))
        while self.recommendations[0][0] < view.now - 300.0:
            self.recommendations.popleft()
        if desired >= view.current:
            return self.bounds.clamp(min(desired, view.current + max(4, view.current)))
        return self.bounds.clamp(min(view.current, max(c for _, c in self.recommendations)))


@dataclass(slots=True)
class MinuteMetric:
    """The backlog per task as a custom CloudWatch metric, with one mean value per minute."""

    values: list[float] = field(default_factory=list)
    next_at: float = 60.0

    def update(self, view: View) -> float | None:
        """Add the current backlog. Return the mean once per minute, and None in between."""
        self.values.append(view.queue / max(view.ready + len(view.starting), 1))
        if view.now < self.next_at:
            return None
        self.next_at = view.now + 60.0
        mean = sum(self.values) / len(self.values)
        self.values.clear()
        return mean


@dataclass(slots=True)
class TargetTracking:
    """AWS target tracking on the backlog per task, a custom metric with one value per minute.

    It scales out after 3 minutes above the target and in after 15 minutes below 90 % of it, both in
    proportion. The cooldowns are 300 s and do not delay a larger scale-out (Application Auto
    Scaling user guide, "Target tracking scaling policies"; the 3 and 15 data points are those of
    the alarms that the service creates).
    """

    bounds: Bounds
    target: float
    metric: MinuteMetric = field(default_factory=MinuteMetric)
    points: deque[float] = field(default_factory=lambda: deque(maxlen=15))
    out_until: float = 0.0
    out_to: int = 0
    in_until: float = 0.0

    def decide(self, view: View) -> int:
        backlog = self.metric.update(view)
        if backlog is None:
            return view.current
        self.points.append(backlog)
        desired = self.bounds.clamp(math.ceil(view.current * backlog / self.target))
        last = list(self.points)
        if len(last) >= 3 and min(last[-3:]) > self.target and desired > view.current:
            if view.now >= self.out_until or desired > self.out_to:
                self.out_until, self.out_to = view.now + 300.0, desired
                return desired
        elif len(last) == 15 and max(last) < 0.9 * self.target and view.now >= self.in_until:
            self.in_until = view.now + 300.0
            return min(view.current, max(desired, self.bounds.low))
        return view.current


@dataclass(slots=True)
class StepScaling:
    """ECS step scaling on the same metric.

    It adds 10 % above the target and 30 % above twice the target; it removes 10 % below half and
    30 % below a quarter of it. Each step is at least one task, and the cooldown is 300 s
    (Application Auto Scaling user guide, "Step scaling policies", with its example's percentages).
    """

    bounds: Bounds
    target: float
    metric: MinuteMetric = field(default_factory=MinuteMetric)
    until: float = 0.0

    def decide(self, view: View) -> int:
        backlog = self.metric.update(view)
        if backlog is None:
            return view.current
        ratio = backlog / self.target
        share = 0.3 if ratio >= 2 else 0.1 if ratio > 1 else 0.0
        share = -0.3 if ratio < 0.25 else -0.1 if ratio < 0.5 else share
        if not share or view.now < self.until:
            return view.current
        self.until = view.now + 300.0
        change = max(1, math.ceil(abs(share) * view.current))
        return self.bounds.clamp(view.current + (change if share > 0 else -change))


@dataclass(slots=True)
class KnativeKpa:
    """Knative's pod autoscaler on concurrency.

    The stable window is 60 s and the panic window 6 s, with panic at 200 %, a target utilisation of
    70 % and scale-down to half at most (knative.dev, "Additional autoscaling configuration for
    Knative Pod Autoscaler"; serving/pkg/autoscaler/scaling).
    """

    bounds: Bounds
    target: float
    window: deque[tuple[float, int]] = field(default_factory=deque)
    panic_until: float = -math.inf
    panic_count: int = 0

    def decide(self, view: View) -> int:
        self.window.append((view.now, view.queue))
        while self.window[0][0] <= view.now - 60.0:
            self.window.popleft()
        ready = max(view.ready, 1)
        each = 0.7 * self.target
        stable = math.ceil(sum(q for _, q in self.window) / len(self.window) / each)
        panic = math.ceil(view.queue / each)
        floor, ceiling = math.floor(ready / 2), math.ceil(1000.0 * ready)
        stable, panic = (min(max(c, floor), ceiling) for c in (stable, panic))
        if panic / ready >= 2.0:
            self.panic_until = view.now + 60.0
        if view.now < self.panic_until:
            self.panic_count = max(self.panic_count, panic, stable)
            return self.bounds.clamp(self.panic_count)
        self.panic_count = 0
        return self.bounds.clamp(stable)


@dataclass(slots=True)
class RayServe:
    """Ray Serve's autoscaler on ongoing requests per replica, averaged over 30 s.

    It scales up after 30 s in which more replicas were desired, and down after 600 s with fewer
    (docs.ray.io, "Ray Serve Autoscaling", advanced guide; defaults of AutoscalingConfig).
    """

    bounds: Bounds
    target: float
    window: deque[tuple[float, int]] = field(default_factory=deque)
    up_since: float | None = None
    down_since: float | None = None

    def decide(self, view: View) -> int:
        self.window.append((view.now, view.queue))
        while self.window[0][0] <= view.now - 30.0:
            self.window.popleft()
        ongoing = sum(q for _, q in self.window) / len(self.window)
        desired = self.bounds.clamp(math.ceil(ongoing / self.target))
        if desired > view.current:
            self.down_since = None
            self.up_since = view.now if self.up_since is None else self.up_since
            if view.now - self.up_since >= 30.0:
                self.up_since = None
                return desired
        elif desired < view.current:
            self.up_since = None
            self.down_since = view.now if self.down_since is None else self.down_since
            if view.now - self.down_since >= 600.0:
                self.down_since = None
                return desired
        else:
            self.up_since = self.down_since = None
        return view.current


@dataclass(slots=True)
class DynamoLoad:
    """Dynamo's load-based planner (1.6.1, throughput target, virtual connector).

    It adds one replica if each engine's queue is at least 1.0 of its capacity (prefill) or if the
    KV slots are over-subscribed (decode), and removes one below 0.1 (prefill) or 0.6 (decode). It
    makes no decision while an earlier one is carried out.
    """

    bounds: Bounds
    target: float

    def decide(self, view: View) -> int:
        if view.starting:
            return view.current
        ready = max(view.ready, 1)
        if view.slots == 1:
            load, low = view.waiting / ready, 0.1
            high = load >= self.target
        else:
            load, low = view.queue / (ready * view.slots), 0.6
            high = load > self.target
        return self.bounds.clamp(view.current + (1 if high else -1 if load < low else 0))


@dataclass(slots=True)
class DynamoThroughput:
    """Dynamo's throughput-based planner, which is its default.

    Every 180 s it predicts that the last interval's rate continues (constant predictor), and its
    performance model returns the replicas for that rate. The model used here is exact: it knows the
    service time of all requests that arrived, including outputs that are not written yet.

    ``target`` is the utilisation at which the model attains the latency target.
    """

    bounds: Bounds
    target: float
    work: float = 0.0
    next_at: float = 180.0

    def decide(self, view: View) -> int:
        self.work += view.work
        if view.now < self.next_at:
            return view.current
        self.next_at = view.now + 180.0
        load, self.work = self.work / 180.0, 0.0
        if view.starting:
            return view.current
        return self.bounds.clamp(math.ceil(load / (view.slots * self.target)))


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


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer and its targets to try: first the default, then those that a careful user would try.

    A target of ``prefill`` is a number of requests, one of ``decode`` a share of a replica's slots.
    """

    make: Callable[[Bounds, float], Scaler]
    prefill: tuple[float, ...]
    decode: tuple[float, ...]


_QUEUES = (1.0, 0.5, 0.6, 0.7, 0.85, 1.3, 2.0, 4.0)
_SHARES = (0.8, 0.5, 0.6, 0.7, 0.9)
_USES = (0.8, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
PEERS: Mapping[str, Peer] = {
    "keda-hpa": Peer(KedaHpa, _QUEUES, _SHARES),
    "target-tracking": Peer(TargetTracking, _QUEUES, _SHARES),
    "step-scaling": Peer(StepScaling, _QUEUES, _SHARES),
    "knative-kpa": Peer(KnativeKpa, (1.0, 0.7, 1.5, 3.0), (1.0, 0.7, 1.3)),
    "ray-serve": Peer(RayServe, (2.0, 0.5, 0.6, 0.7, 0.85, 1.0, 4.0), _SHARES),
    "dynamo-load": Peer(DynamoLoad, (1.0, 0.3), (1.0, 0.8)),
    "dynamo-throughput": Peer(DynamoThroughput, _USES, _USES),
}
