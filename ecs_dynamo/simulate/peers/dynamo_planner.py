"""Dynamo's planner (ai-dynamo 1.6.1) in its modes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecs_dynamo.simulate.peers.base import Bounds
from ecs_dynamo.simulate.scalers import View


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
