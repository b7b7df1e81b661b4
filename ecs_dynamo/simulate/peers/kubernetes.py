"""The Kubernetes horizontal pod autoscaler, driven by KEDA's queue scalers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import Bounds, SlidingMax
from ecs_dynamo.simulate.scalers import View


@dataclass(slots=True)
class HpaBehavior:
    """The HPA's default behavior after it has computed a recommendation.

    The count rises immediately, by at most the larger of 4 and 100 % per 15 s, and falls to the
    largest recommendation of the last 300 s (kubernetes.io, "Horizontal Pod Autoscaling", default
    behavior; unchanged from Kubernetes 1.18 to 1.35).
    """

    bounds: Bounds
    recommendations: SlidingMax = field(default_factory=lambda: SlidingMax(300.0))

    def apply(self, view: View, desired: int) -> int:
        largest = self.recommendations.add(view.now, desired)
        if desired >= view.current:
            return self.bounds.clamp(min(desired, view.current + max(4, view.current)))
        return self.bounds.clamp(min(view.current, largest))


TOLERANCE = 0.1
"""The HPA makes no change while usage and target differ by less than this share."""


def hpa_recommendation(total: float, target: float, current: int) -> int:
    """Return ceil(total / target), or ``current`` within the tolerance."""
    ratio = total / (target * max(current, 1))
    return current if abs(ratio - 1) <= TOLERANCE else math.ceil(total / target)


@dataclass(slots=True)
class KedaHpa:
    """An HPA with an AverageValue target, driven by KEDA's queue scalers on unfinished requests.

    HPA: desired = ceil(total / target) with tolerance 0.1 (kubernetes.io, "Horizontal Pod
    Autoscaling", algorithm details; keda.sh 2.20, "Scaling deployments").
    """

    bounds: Bounds
    target: float
    behavior: HpaBehavior = field(init=False)

    def __post_init__(self) -> None:
        self.behavior = HpaBehavior(self.bounds)

    def decide(self, view: View) -> int:
        desired = hpa_recommendation(view.queue, self.target, view.current)
        return self.behavior.apply(view, desired)
