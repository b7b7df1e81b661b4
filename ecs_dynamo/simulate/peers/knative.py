"""Knative's pod autoscaler (KPA)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import Bounds, MakePeer, SlidingMax, SlidingMean
from ecs_dynamo.simulate.scalers import View

PERIOD = 2.0
"""Seconds between two evaluations; the rates of change apply to each."""


@dataclass(slots=True)
class KnativeKpa:
    """Knative's pod autoscaler on concurrency.

    desired = ceil(mean concurrency / (0.7 x target)), over the stable window of 60 s and the panic
    window of 10 % of it. A panic begins when the latter asks for at least twice the ready replicas,
    and ends a stable window after that was last so; during it, the count never falls. Each
    evaluation at most halves the ready replicas. The largest count of the scale-down delay (0 s)
    counts. With more than one replica, the autoscaler starts in a panic (knative/serving 1.22,
    pkg/autoscaler/scaling/autoscaler.go and config/core/configmaps/autoscaler.yaml; knative.dev,
    "Additional autoscaling configuration for Knative Pod Autoscaler").
    """

    bounds: Bounds
    target: float
    stable_window: float = 60.0
    panic_percentage: float = 10.0
    scale_down_delay: float = 0.0
    stable: SlidingMean = field(init=False)
    panic: SlidingMean = field(init=False)
    delay: SlidingMax[int] = field(init=False)
    panic_since: float | None = None
    panic_count: int = 0
    started: bool = False

    def __post_init__(self) -> None:
        self.stable = SlidingMean(self.stable_window)
        self.panic = SlidingMean(max(1.0, round(self.stable_window * self.panic_percentage / 100)))
        self.delay = SlidingMax(self.scale_down_delay)

    def decide(self, view: View) -> int:
        if not self.started:
            self.started = True
            if view.ready > 1:
                self.panic_since, self.panic_count = view.now, view.ready
        each = 0.7 * self.target
        ready = max(view.ready, 1)
        stable = math.ceil(self.stable.add(view.now, view.queue) / each)
        panic = math.ceil(self.panic.add(view.now, view.queue) / each)
        over = panic / ready >= 2.0
        # The scale-up rate of 1000 per evaluation never limits.
        floor = math.floor(ready / 2.0 ** max(1.0, view.tick // PERIOD))
        stable, panic = max(stable, floor), max(panic, floor)
        if over:
            self.panic_since = view.now
        elif self.panic_since is not None and self.panic_since + self.stable_window < view.now:
            self.panic_since, self.panic_count = None, 0
        desired = stable
        if self.panic_since is not None:
            desired = self.panic_count = max(self.panic_count, panic, stable)
        return self.bounds.clamp(self.delay.add(view.now, desired))


def _kpa(stable: float, panic: float, delay: float) -> MakePeer:
    return lambda bounds, target: KnativeKpa(bounds, target, stable, panic, delay)


KPA_OPTIONS = {
    f"stable={stable:g} panic={panic:g}% delay={delay:g}": _kpa(stable, panic, delay)
    for stable, panic, delay in (
        (60.0, 10.0, 300.0),
        (60.0, 10.0, 900.0),
        (300.0, 10.0, 0.0),
        (300.0, 10.0, 300.0),
        (600.0, 10.0, 0.0),
        (60.0, 50.0, 300.0),
    )
}
"""Stable window in seconds (6 s to 1 h), panic window in percent of it (1 to 100) and scale-down
delay in seconds (0 to 1 h)."""
