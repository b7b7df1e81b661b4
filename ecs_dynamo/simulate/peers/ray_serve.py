"""Ray Serve's autoscaler."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import Bounds, SlidingMean
from ecs_dynamo.simulate.scalers import View


@dataclass(slots=True)
class RayServe:
    """Ray Serve's autoscaler on ongoing requests per replica, averaged over 30 s.

    It scales up after 30 s in which more replicas were desired, and down after 600 s with fewer
    (docs.ray.io, "Ray Serve Autoscaling", advanced guide; ray 2.5x, defaults of AutoscalingConfig
    and serve/autoscaling_policy.py).
    """

    bounds: Bounds
    target: float
    window: SlidingMean = field(default_factory=lambda: SlidingMean(30.0))
    up_since: float | None = None
    down_since: float | None = None

    def decide(self, view: View) -> int:
        ongoing = self.window.add(view.now, view.queue)
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
