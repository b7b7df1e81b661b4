"""The work that arrives at a component and the speed of its replicas, both measured.

Work is counted in the unit that is known when a request arrives. For prefill that is prompt tokens:
their number is known at arrival, and the time per token hardly depends on the mix of requests. For
decode it is requests, because nobody knows the length of an output in advance.

The time per unit is slot-seconds in use over units done. The prompt tokens that are done are
reported; the requests that are done follow from conservation: arrived - growth of the queue.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.load import WorkEstimate
from ecs_dynamo.planning.scaling.load.prefix_cache import effective_tokens
from ecs_dynamo.planning.scaling.policy import Demand

OBSERVATIONS = 400.0
"""Busy slots that a time per unit is measured over: their count is Poisson, so the estimate is
accurate to 5 %."""
MIN_WORK_SECONDS = 60.0
MAX_WORK_SECONDS = 600.0
"""The mix of requests changes within ten minutes: older measurements do not count."""
EVEN_SHARE = 0.75
"""Below this share of the slots, pending requests are spread evenly again."""
MIN_DONE = 5.0
"""Requests that must be done before the measured time is used."""
MIN_SECONDS = 1e-9
"""Smaller times per unit are rounding errors of a measurement that has not begun."""


def seconds_per_unit(estimate: WorkEstimate | None) -> float:
    """Return the mean slot-seconds of a unit of work, or 0 where too little was observed."""
    if estimate is None or estimate.done < MIN_DONE or estimate.units <= 0:
        return 0.0
    seconds = estimate.busy / estimate.units
    return seconds if seconds >= MIN_SECONDS else 0.0


def seconds_per_request(estimate: WorkEstimate | None) -> float:
    """Return the mean slot-seconds of a request that arrives, or 0 where it is unknown."""
    if estimate is None or estimate.requests <= 0:
        return 0.0
    return seconds_per_unit(estimate) * estimate.arrived / estimate.requests


def work_rate(roles: Collection[Role], demand: Demand, rate: float) -> float:
    """Return the units of work per second that arrive: prompt tokens for prefill, or requests.

    Tokens in the prefix cache do not count.
    """
    if _counts_tokens(roles, demand) and demand.prompt_arrival_rate is not None:
        return effective_tokens(demand.prompt_arrival_rate, demand.cached_share)
    return rate


def _counts_tokens(roles: Collection[Role], demand: Demand) -> bool:
    tokens = demand.prompt_arrival_rate is not None and demand.prompt_rate is not None
    return tokens and Role.PREFILL in roles


def learn_work(
    estimate: WorkEstimate | None,
    roles: Collection[Role],
    demand: Demand,
    rate: float,
    slots: float,
    now: float,
) -> WorkEstimate:
    """Return the estimate after one more pass.

    ``rate`` is that of the graph's arrivals in requests/s, ``slots`` the number of requests that
    all ready replicas work on at once, and ``now`` is in monotonic seconds.
    """
    depth, upstream = demand.queue or 0.0, demand.upstream or 0.0
    if estimate is None:
        return WorkEstimate(at=now, queue=depth, upstream=upstream, rate=rate)
    elapsed = now - estimate.at
    if elapsed <= 0:
        return estimate
    arrived = rate * elapsed
    reached = max(0.0, arrived - (upstream - estimate.upstream))
    done = max(0.0, reached - (depth - estimate.queue))
    running = min(depth, slots)
    # A router that sends each request to a replica at once leaves the queues of busy replicas where
    # they are when others become ready: how many slots are in use is then unknown.
    uneven = estimate.uneven or 0 < estimate.slots < min(slots, depth)
    uneven = uneven and depth > EVEN_SHARE * slots
    if demand.waiting is not None:
        running, uneven = max(0.0, depth - demand.waiting), False
    busy = 0.5 * (running + estimate.running) * elapsed
    units = done
    if _counts_tokens(roles, demand):
        units = effective_tokens(demand.prompt_rate or 0.0, demand.cached_share) * elapsed
    if uneven and estimate.done >= MIN_DONE:
        busy = units = done = 0.0
    # An idle component forgets nothing: only new measurements replace old ones.
    fade = math.exp(-elapsed / _memory_seconds(estimate, elapsed)) if units > 0 else 1.0
    long_fade = math.exp(-elapsed / MAX_WORK_SECONDS) if arrived > 0 else 1.0
    return WorkEstimate(
        at=now,
        queue=depth,
        upstream=upstream,
        rate=rate,
        running=running,
        slots=slots,
        uneven=uneven,
        busy=estimate.busy * fade + busy,
        units=estimate.units * fade + units,
        done=estimate.done * fade + done,
        requests=estimate.requests * long_fade + arrived,
        arrived=estimate.arrived * long_fade + work_rate(roles, demand, rate) * elapsed,
        ticks=estimate.ticks * long_fade + 1.0,
        counts=estimate.counts * long_fade + arrived,
        # Differences between successive passes: a rate that only drifts is not a burst.
        squares=estimate.squares * long_fade + 0.5 * ((rate - estimate.rate) * elapsed) ** 2,
    )


def _memory_seconds(estimate: WorkEstimate, elapsed: float) -> float:
    """Seconds for which a measurement counts: with many slots in use, fewer are needed."""
    return min(
        max(OBSERVATIONS * elapsed / max(estimate.running, 1e-9), MIN_WORK_SECONDS),
        MAX_WORK_SECONDS,
    )


def variability(estimate: WorkEstimate) -> float:
    """Return (ca^2 + cs^2) / 2, arrivals by their dispersion and service taken as exponential."""
    if estimate.ticks < 10 or estimate.counts <= 0:
        return 1.0
    mean = estimate.counts / estimate.ticks
    dispersion = estimate.squares / estimate.ticks / mean
    return 0.5 * (min(max(dispersion, 0.2), 6.0) + 1.0)
