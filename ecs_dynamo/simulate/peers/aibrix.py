"""AIBrix's pod autoscalers: APA and its variant of KPA."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import (
    Bounds,
    MakePeer,
    SlidingMax,
    SlidingMean,
    stabilized,
    tasks,
)
from ecs_dynamo.simulate.scalers import View

STABLE, PANIC, COOLDOWN = 180.0, 60.0, 300.0
"""Default seconds of the windows, and of the window of which the largest count is kept."""
RATE = 2.0
"""A decision at most doubles the replicas and at most halves them."""


@dataclass(slots=True)
class AibrixApa:
    """AIBrix's APA on unfinished requests per replica, averaged over 180 s.

    It acts if the metric lies outside the target by more than the fluctuation tolerances (both
    10 %): desired = ceil(current x metric / target), at most twice and at least half the current
    count. A decrease takes the largest recommendation of the last 300 s (vllm-project/aibrix 0.7,
    pkg/controller/podautoscaler: algorithm/apa.go, context/context.go, metrics/client.go).
    """

    bounds: Bounds
    target: float
    window: float = STABLE
    mean: SlidingMean = field(init=False)
    cooldown: SlidingMax[int] = field(default_factory=lambda: SlidingMax(COOLDOWN))

    def __post_init__(self) -> None:
        self.mean = SlidingMean(self.window)

    def decide(self, view: View) -> int:
        ratio = self.mean.add(view.now, view.queue / tasks(view)) / self.target
        current = view.current
        desired = current
        if ratio > 1.1:
            desired = min(math.ceil(current * ratio), math.ceil(current * RATE))
        elif ratio < 0.9:
            desired = max(math.ceil(current * ratio), math.floor(current / RATE))
        return self.bounds.clamp(stabilized(self.cooldown, view, desired))


@dataclass(slots=True)
class AibrixKpa:
    """AIBrix's KPA on unfinished requests.

    desired = ceil(mean / target) if a mean lies outside the tolerances of 10 %, over 180 s and, in
    a panic, over 60 s if that is larger. A panic lasts while the short mean is more than twice the
    long one. A decision at most doubles and at most halves the replicas; a decrease takes the
    largest recommendation of the last 300 s (vllm-project/aibrix 0.7,
    pkg/controller/podautoscaler/algorithm/kpa.go).

    The code divides the mean of a replica by the target, so that its count would not depend on the
    number of replicas. In favour of the peer, the total is divided, as Knative does.
    """

    bounds: Bounds
    target: float
    stable_window: float = STABLE
    panic_window: float = PANIC
    stable: SlidingMean = field(init=False)
    panic: SlidingMean = field(init=False)
    cooldown: SlidingMax[int] = field(default_factory=lambda: SlidingMax(COOLDOWN))

    def __post_init__(self) -> None:
        self.stable = SlidingMean(self.stable_window)
        self.panic = SlidingMean(self.panic_window)

    def decide(self, view: View) -> int:
        stable = self.stable.add(view.now, view.queue)
        panic = self.panic.add(view.now, view.queue)
        desired = self._count(view, stable)
        if stable <= 0 or panic / stable > 2.0:
            desired = max(desired, self._count(view, panic))
        return self.bounds.clamp(stabilized(self.cooldown, view, desired))

    def _count(self, view: View, total: float) -> int:
        current = max(view.current, 1)
        ratio = total / (self.target * current)
        count = current if 0.9 <= ratio <= 1.1 else math.ceil(total / self.target)
        return min(max(count, math.floor(current / RATE)), math.ceil(current * RATE))


def _apa(window: float) -> MakePeer:
    return lambda bounds, target: AibrixApa(bounds, target, window)


def _kpa(stable: float, panic: float) -> MakePeer:
    return lambda bounds, target: AibrixKpa(bounds, target, stable, panic)


APA_OPTIONS = {"window=30": _apa(30.0)}
KPA_OPTIONS = {"stable=60 panic=10": _kpa(60.0, 10.0)}
"""Shorter windows, in seconds (``observeWindowSeconds`` and ``panicWindowSeconds``)."""
