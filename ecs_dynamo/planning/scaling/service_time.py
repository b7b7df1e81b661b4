"""Service time of a replica, burstiness of its arrivals, and caution learned from late requests.

The service time is measured, not configured: slot-seconds in use over requests done, by
conservation of requests (done = arrived - growth of the queue), which holds at any load. If a
replica works on more requests at once than declared, the estimate errs towards more replicas until
a full queue has been observed.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_dynamo.model.memory.scaling import ServiceTimeEstimate
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.policy import ScalingInput

OBSERVATIONS = 400.0
"""Busy slots that a service time is measured over: their count is Poisson, so the estimate is
accurate to 5 %."""
MIN_WORK_SECONDS = 60.0
MAX_WORK_SECONDS = 600.0
"""The mix of requests changes within ten minutes: older measurements do not count."""
LEARNING = 0.1
"""Step size of the caution: an hour without late requests removes a quarter of it, and ten passes
with late requests restore it."""
AIM = 0.5
"""Share of the declared misses that is aimed at, because a pass observes a queue, not requests."""
MAX_CAUTION = 2.0
PEAK_SECONDS = 86_400.0
MIN_DONE = 5.0
"""Requests that must be done before the measured service time is used."""
MIN_SERVICE_SECONDS = 1e-6
"""Smaller values are rounding errors of a measurement that has not begun."""


def service_seconds(estimate: ServiceTimeEstimate | None) -> float:
    """Return the mean seconds that a request holds a slot, or 0 where too little was observed."""
    if estimate is None or estimate.done < MIN_DONE:
        return 0.0
    seconds = estimate.busy / estimate.done
    return seconds if seconds >= MIN_SERVICE_SECONDS else 0.0


def learn(
    estimate: ServiceTimeEstimate | None,
    inputs: ScalingInput[SloScaling],
    depth: float,
    rate: float,
) -> ServiceTimeEstimate:
    """Return the estimate after one more pass; ``rate`` is that of the arrivals since the last."""
    if estimate is None:
        return ServiceTimeEstimate(at=inputs.now, queue=depth, rate=rate)
    elapsed = inputs.now - estimate.at
    if elapsed <= 0:
        return estimate
    fade = math.exp(-elapsed / _memory_seconds(estimate, elapsed))
    long_fade = math.exp(-elapsed / MAX_WORK_SECONDS)
    slots = inputs.ready * (inputs.spec.concurrency or 1.0)
    arrived = rate * elapsed
    done = max(0.0, arrived - (depth - estimate.queue))
    busy = 0.5 * (min(depth, slots) + min(estimate.queue, slots)) * elapsed
    level = inputs.state.forecast.level if inputs.state.forecast else 0.0
    learned = ServiceTimeEstimate(
        at=inputs.now,
        queue=depth,
        rate=rate,
        busy=estimate.busy * fade + busy,
        done=estimate.done * fade + done,
        ticks=estimate.ticks * long_fade + 1.0,
        counts=estimate.counts * long_fade + arrived,
        # Differences between successive passes: a rate that only drifts is not a burst.
        squares=estimate.squares * long_fade + 0.5 * ((rate - estimate.rate) * elapsed) ** 2,
        peak=max(level, estimate.peak * math.exp(-elapsed / PEAK_SECONDS)),
        caution=estimate.caution,
    )
    return replace(learned, caution=_caution(learned, inputs, depth, arrived))


def _memory_seconds(estimate: ServiceTimeEstimate, elapsed: float) -> float:
    """Seconds for which a measurement counts: with many slots in use, fewer are needed."""
    load = max(estimate.rate * service_seconds(estimate), 1e-9)
    return min(max(OBSERVATIONS * elapsed / load, MIN_WORK_SECONDS), MAX_WORK_SECONDS)


def _caution(
    estimate: ServiceTimeEstimate,
    inputs: ScalingInput[SloScaling],
    depth: float,
    arrived: float,
) -> float:
    """The caution after this pass: it rises where requests are late and falls slowly otherwise.

    This is adaptive conformal inference (Gibbs and Candes 2021): with steps of (1 - m) up and m
    down, the long-run share of late passes approaches m (`AIM` of ``miss``) whatever the traffic.
    It works like an error budget: what was attained above the target is spent, and what was missed
    is made up for.
    """
    mean = estimate.counts / estimate.ticks if estimate.ticks else 0.0
    seconds = service_seconds(estimate)
    if seconds <= 0 or mean <= 0:
        return estimate.caution
    slots = inputs.ready * (inputs.spec.concurrency or 1.0)
    waiting = max(0.0, depth - slots)
    late = waiting * seconds > inputs.spec.target_queue_seconds * slots
    step = LEARNING * min(arrived / mean, 4.0) * ((1.0 if late else 0.0) - AIM * inputs.spec.miss)
    return min(max(estimate.caution + step, 0.0), MAX_CAUTION)


def variability(estimate: ServiceTimeEstimate) -> float:
    """Return (ca^2 + cs^2) / 2, arrivals by their dispersion and service taken as exponential."""
    if estimate.ticks < 10 or estimate.counts <= 0:
        return 1.0
    mean = estimate.counts / estimate.ticks
    dispersion = estimate.squares / estimate.ticks / mean
    return 0.5 * (min(max(dispersion, 0.2), 6.0) + 1.0)
