"""What a replica does and how its arrivals fare: the service time, the burstiness, the caution.

A service time is not configured but measured: slot-seconds in use over requests done, by
conservation of requests (done = arrived - growth of the queue), which holds at any load. With
more concurrency than declared it errs towards more replicas until it has seen a full queue.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_dynamo.model.memory.scaling import Service
from ecs_dynamo.planning.scaling.policy import ScalingInput

LOOKS = 400.0
"""Busy slots that a service time is measured over: their count is Poisson, so it is 5 % exact."""
MIN_WORK_SECONDS = 60.0
MAX_WORK_SECONDS = 600.0
"""Mixes of requests change within ten minutes: what is older does not count."""
LEARNING = 0.1
"""The step of caution: an hour without late requests takes a quarter of it, ten late looks give
it back."""
AIM = 0.5
"""The share of the declared misses that is aimed at: a look sees a queue, not each request."""
MAX_CAUTION = 2.0
PEAK_SECONDS = 86_400.0
MIN_DONE = 5.0
"""Requests before the measured service time is believed."""
MIN_SERVICE_SECONDS = 1e-6
"""Below this nothing was measured yet, whatever the rounding left."""


def service_seconds(service: Service | None) -> float:
    """The mean time that a request holds a slot; 0 where too little was seen."""
    if service is None or service.done < MIN_DONE:
        return 0.0
    each = service.busy / service.done
    return each if each >= MIN_SERVICE_SECONDS else 0.0


def learn(state: Service | None, given: ScalingInput, depth: float, rate: float) -> Service:
    """The service state after one more look; ``rate`` is the arrivals' since the last one."""
    if state is None:
        return Service(at=given.now, queue=depth, rate=rate)
    elapsed = given.now - state.at
    if elapsed <= 0:
        return state
    fade = math.exp(-elapsed / _memory(state, elapsed))
    long_fade = math.exp(-elapsed / MAX_WORK_SECONDS)
    slots = given.ready * given.spec.concurrency
    arrived = rate * elapsed
    done = max(0.0, arrived - (depth - state.queue))
    busy = 0.5 * (min(depth, slots) + min(state.queue, slots)) * elapsed
    level = given.state.forecast.level if given.state.forecast else 0.0
    made = Service(
        at=given.now,
        queue=depth,
        rate=rate,
        busy=state.busy * fade + busy,
        done=state.done * fade + done,
        ticks=state.ticks * long_fade + 1.0,
        counts=state.counts * long_fade + arrived,
        # Successive differences: a rate that only drifts is no burst.
        squares=state.squares * long_fade + 0.5 * ((rate - state.rate) * elapsed) ** 2,
        peak=max(level, state.peak * math.exp(-elapsed / PEAK_SECONDS)),
        caution=state.caution,
    )
    return replace(made, caution=_caution(made, given, depth, arrived))


def _memory(state: Service, elapsed: float) -> float:
    """Seconds that a measurement counts: many slots in use tell the service time sooner."""
    load = max(state.rate * service_seconds(state), 1e-9)
    return min(max(LOOKS * elapsed / load, MIN_WORK_SECONDS), MAX_WORK_SECONDS)


def _caution(service: Service, given: ScalingInput, depth: float, arrived: float) -> float:
    """The caution after this look: up where arrivals are late, slowly down where they are not.

    Adaptive conformal inference (Gibbs and Candes 2021): with steps of (1 - m) up and m down,
    the long-run share of late looks goes to m (`AIM` of ``miss``) whatever the traffic. It is
    an error budget: what was attained above the target is spent, what was missed is made up for.
    """
    mean = service.counts / service.ticks if service.ticks else 0.0
    each = service_seconds(service)
    if each <= 0 or mean <= 0:
        return service.caution
    slots = given.ready * given.spec.concurrency
    waiting = max(0.0, depth - slots)
    late = waiting * each > given.spec.target_queue_seconds * slots
    step = LEARNING * min(arrived / mean, 4.0) * ((1.0 if late else 0.0) - AIM * given.spec.miss)
    return min(max(service.caution + step, 0.0), MAX_CAUTION)


def variability(service: Service) -> float:
    """(ca^2 + cs^2) / 2: arrivals by their index of dispersion, service taken as exponential."""
    if service.ticks < 10 or service.counts <= 0:
        return 1.0
    mean = service.counts / service.ticks
    dispersion = service.squares / service.ticks / mean
    return 0.5 * (min(max(dispersion, 0.2), 6.0) + 1.0)
