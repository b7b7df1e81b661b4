"""Dynamo's planner (ai-dynamo 1.6.1, dynamo/planner in its wheel) in its modes.

Its effective default is `DynamoLoad`: the target "throughput" disables throughput scaling and
enables the load loop. With the target "sla", throughput scaling alone is the default
(`DynamoThroughput` with the predictor "arima"), and the load loop can be enabled beside it
(`DynamoHybrid`). Counts of engines are known as means only, so that "any engine" and "all engines"
are the mean engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.arima import Arima
from ecs_dynamo.simulate.peers.base import Bounds, MakePeer
from ecs_dynamo.simulate.scalers import View

INTERVAL = 180.0
"""Seconds of a throughput adjustment (throughput_adjustment_interval_seconds)."""
MAX_CHANGE = 8
"""Replicas by which one throughput observation changes the count at most."""
SENSITIVITY = 0.8
"""Share of a latency target that must remain after a removal (load_scaling_down_sensitivity)."""


@dataclass(slots=True)
class DynamoLoad:
    """The load loop with static thresholds (core/load_scaling.py, "easy mode").

    It adds one replica if the queue is at least 1.0 of an engine's capacity (prefill) or if the KV
    slots are over-subscribed (decode), and removes one below 0.1 (prefill) or 0.6 (decode), unless
    the load of the others would then reach the upper threshold. While a replica starts, it adds
    none. The target "latency" has the thresholds 0.1 and 0 (prefill), and 0.4 and 0.1 (decode).

    In favour of the peer, a prefill engine's capacity is one request: the planner compares the
    queued tokens with the model's context length.
    """

    bounds: Bounds
    target: float
    low_prefill: float = 0.1
    low_decode: float = 0.6

    def decide(self, view: View) -> int:
        ready = max(view.ready, 1)
        if view.slots == 1:
            load, low = view.waiting / ready, self.low_prefill
            high = load >= self.target
        else:
            load, low = view.queue / (ready * view.slots), self.low_decode
            high = load > self.target
        if high:
            return view.current if view.starting else self.bounds.clamp(view.current + 1)
        below = load < low or load == low == 0
        if below and ready > 1 and load * ready / (ready - 1) < self.target:
            return self.bounds.clamp(view.current - 1)
        return view.current


def _latency(bounds: Bounds, target: float) -> DynamoLoad:
    return DynamoLoad(bounds, target, low_prefill=0.0, low_decode=0.1)


LOAD_OPTIONS: dict[str, MakePeer] = {"latency": _latency}


@dataclass(slots=True)
class ThroughputModel:
    """The replicas for the load that is predicted for the next interval.

    The performance model used here is exact: it knows the service time of all requests that
    arrived, including outputs that are not written yet. With ``arima``, the predictor is ARIMA, and
    otherwise the last interval continues ("constant").
    """

    target: float
    arima: Arima | None
    work: float = 0.0
    next_at: float = INTERVAL

    def update(self, view: View) -> int | None:
        """Return the replicas at the end of an interval, and None in between."""
        self.work += view.work
        if view.now < self.next_at:
            return None
        self.next_at = view.now + INTERVAL
        load, self.work = self.work / INTERVAL, 0.0
        if self.arima is not None:
            load = self.arima.predict(load)
        desired = math.ceil(load / (view.slots * self.target))
        return min(max(desired, view.ready - MAX_CHANGE), view.ready + MAX_CHANGE)


@dataclass(slots=True)
class DynamoThroughput:
    """Throughput scaling (core/throughput_scaling.py).

    Every 180 s, a performance model returns the replicas for the predicted rate. It changes the
    count by at most 8, and adds no replica while another one starts.

    ``target`` is the utilisation at which the model attains the latency target.
    """

    bounds: Bounds
    target: float
    arima: Arima | None = None
    model: ThroughputModel = field(init=False)

    def __post_init__(self) -> None:
        self.model = ThroughputModel(self.target, self.arima)

    def decide(self, view: View) -> int:
        desired = self.model.update(view)
        if desired is None or (view.starting and desired > view.ready):
            return view.current
        return self.bounds.clamp(desired)


def dynamo_sla(bounds: Bounds, target: float) -> DynamoThroughput:
    """Return throughput scaling with ARIMA, the default of the target "sla"."""
    return DynamoThroughput(bounds, target, Arima())


@dataclass(slots=True)
class DynamoHybrid:
    """Throughput scaling with ARIMA as the floor, and the load loop above it.

    The load loop (core/load_scaling.py, target "sla") estimates from the queue how late the next
    request would be. It adds one replica if every engine exceeds the target, and removes one if the
    engines that remain would stay below 80 % of it; never below the floor. While a replica starts,
    it adds none.

    The estimate of prefill is the time to work through the queue, with ``wait`` seconds as the
    target; that of decode is the batch including queued requests, and its target are the slots.
    """

    bounds: Bounds
    target: float
    wait: float = 1.0
    floor: ThroughputModel = field(init=False)
    least: int = 0
    service: float = 1.0

    def __post_init__(self) -> None:
        self.floor = ThroughputModel(self.target, Arima())

    def decide(self, view: View) -> int:
        floor = self.floor.update(view)
        if floor is not None:
            self.least = self.bounds.clamp(floor)
        if view.arrived:
            self.service += 0.2 * (view.work / view.arrived - self.service)
        ready = max(view.ready, 1)
        if view.slots == 1:
            late = view.waiting * self.service / (ready * self.wait)
        else:
            late = view.queue / (ready * view.slots)
        desired = view.ready
        if late > 1.0:
            desired = view.ready + 1
        elif ready > 1 and late * ready / (ready - 1) < SENSITIVITY:
            desired = view.ready - 1
        desired = max(desired, self.least)
        if view.starting and desired >= view.ready:
            return view.current
        return self.bounds.clamp(desired)
