"""AWS predictive scaling of ECS services, beside target tracking."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.aws import TargetTracking
from ecs_dynamo.simulate.peers.base import Bounds
from ecs_dynamo.simulate.scalers import View

HOUR = 3600.0
DAY_HOURS, WEEK_HOURS, HISTORY_HOURS = 24, 7 * 24, 14 * 24


@dataclass(slots=True)
class HourlyForecast:
    """A forecast of the mean load of an hour from the hourly means of up to 14 days.

    AWS does not publish its model; this is the mean of the same hour of past weeks or, before a
    week is over, of past days. It needs 24 hours (Application Auto Scaling user guide, "How
    predictive scaling works"). It is renewed every hour, where AWS renews it every 6 hours.
    """

    means: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY_HOURS))
    hours: int = 0
    total: float = 0.0
    count: int = 0
    known: dict[int, float] = field(default_factory=dict)

    def add(self, now: float, load: float) -> None:
        """Add a value of the current hour."""
        if now >= (self.hours + 1) * HOUR:
            self.means.append(self.total / max(self.count, 1))
            self.hours += 1
            self.total, self.count = 0.0, 0
            self.known.clear()
        self.total += load
        self.count += 1

    def at(self, when: float) -> float | None:
        """Return the mean load of the hour of ``when``, the current hour or the next."""
        hour = int(when / HOUR)
        if len(self.means) < DAY_HOURS:
            return None
        if hour not in self.known:
            period = WEEK_HOURS if len(self.means) >= WEEK_HOURS else DAY_HOURS
            first = self.hours - len(self.means)
            past = [
                self.means[h - first]
                for h in range(hour - period, first - 1, -period)
                if h < self.hours
            ]
            if not past:
                past = [self.means[-1]]
            self.known[hour] = sum(past) / len(past)
        return self.known[hour]


@dataclass(slots=True)
class PredictiveScaling:
    """ECS predictive scaling beside target tracking: the larger count wins.

    The forecast of the hourly load (unfinished requests) divided by the target gives the least
    count of each hour, from 300 s before it begins (SchedulingBufferTime) or, in favour of the
    peer, one measured cold start if that is longer. It never removes tasks; target tracking does
    (Application Auto Scaling user guide, "How predictive scaling works"; API reference,
    PredictiveScalingPolicyConfiguration, 2024-11).
    """

    bounds: Bounds
    target: float
    tracking: TargetTracking = field(init=False)
    forecast: HourlyForecast = field(default_factory=HourlyForecast)

    def __post_init__(self) -> None:
        self.tracking = TargetTracking(self.bounds, self.target)

    def decide(self, view: View) -> int:
        self.forecast.add(view.now, view.queue)
        desired = self.tracking.decide(view)
        ahead = max(300.0, *view.cold_starts[-1:], 0.0)
        for when in (view.now, view.now + ahead):
            load = self.forecast.at(when)
            if load is not None:
                desired = max(desired, self.bounds.clamp(math.ceil(load / self.target)))
        return desired
