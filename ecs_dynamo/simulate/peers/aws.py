"""AWS Application Auto Scaling on ECS services: target tracking and step scaling."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import Bounds, tasks
from ecs_dynamo.simulate.scalers import View

COOLDOWN = 300.0
"""Seconds; the default of both policies for ECS services."""


@dataclass(slots=True)
class MinuteMetric:
    """The backlog per task as a custom CloudWatch metric, with one mean value per minute."""

    total: float = 0.0
    count: int = 0
    next_at: float = 60.0

    def update(self, view: View) -> float | None:
        """Add the current backlog. Return the mean once per minute, and None in between."""
        self.total += view.queue / tasks(view)
        self.count += 1
        if view.now < self.next_at:
            return None
        self.next_at = view.now + 60.0
        mean = self.total / self.count
        self.total, self.count = 0.0, 0
        return mean


@dataclass(slots=True)
class TargetTracking:
    """AWS target tracking on the backlog per task, a custom metric with one value per minute.

    It scales out after 3 minutes above the target and in after 15 minutes below 90 % of it, both in
    proportion. The cooldowns are 300 s. The one of a scale-out does not delay a larger scale-out,
    and a scale-out ends the one of a scale-in (Application Auto Scaling user guide, "How target
    tracking scaling works"; API reference, TargetTrackingScalingPolicyConfiguration; the 3 and 15
    data points are those of the alarms that the service creates).
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
                self.out_until, self.out_to = view.now + COOLDOWN, desired
                self.in_until = 0.0
                return desired
        elif len(last) == 15 and max(last) < 0.9 * self.target and view.now >= self.in_until:
            self.in_until = view.now + COOLDOWN
            return min(view.current, desired)
        return view.current


@dataclass(slots=True)
class StepScaling:
    """ECS step scaling on the same metric, with one policy for each direction.

    They add 10 % above the target and 30 % above twice the target, and remove 10 % below half and
    30 % below a quarter of it; each step is at least one task (Application Auto Scaling user guide,
    "How step scaling works", with its example's percentages).

    The cooldown is 300 s (API reference, StepScalingPolicyConfiguration, Cooldown). During that of
    a scale-out only a larger step scales out, and what the first one added counts towards it: after
    a step of 2, a step of 3 adds 1. During that of a scale-in there is no other scale-in; a
    scale-out happens at once and ends it.
    """

    bounds: Bounds
    target: float
    metric: MinuteMetric = field(default_factory=MinuteMetric)
    out_until: float = 0.0
    out_from: int = 0
    in_until: float = 0.0

    def decide(self, view: View) -> int:
        backlog = self.metric.update(view)
        if backlog is None:
            return view.current
        ratio = backlog / self.target
        if ratio > 1:
            return self._scale_out(view, 0.3 if ratio >= 2 else 0.1)
        if ratio < 0.5 and view.now >= self.in_until:
            self.in_until = view.now + COOLDOWN
            share = 0.3 if ratio < 0.25 else 0.1
            return self.bounds.clamp(view.current - _step(share, view.current))
        return view.current

    def _scale_out(self, view: View, share: float) -> int:
        if view.now >= self.out_until:
            self.out_from = view.current
        desired = self.bounds.clamp(self.out_from + _step(share, self.out_from))
        if desired <= view.current:
            return view.current
        self.out_until, self.in_until = view.now + COOLDOWN, 0.0
        return desired


def _step(share: float, count: int) -> int:
    """Return the tasks of a step: a ``share`` of ``count``, at least one."""
    return max(1, math.ceil(share * count))
