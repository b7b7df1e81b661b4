"""Scaling to a queue-time target: enough replicas when the next one can be ready, and no more.

What is asked for now is served only after a cold start, so the policy plans for that moment. From
the measured arrival rate, work and backlog it takes
- the rate that is to be expected until then, with the forecast's own error as the margin;
- the replicas that keep the wait below the target at that rate (Erlang C);
- the backlog that will be left by then, with those that are still starting counted in, and the
  replicas that drain it.
The larger wins. It goes up at once and comes down to what the last window needed.

A replica's service time is not configured but measured: slot-seconds in use over requests done,
by conservation of requests (done = arrived - growth of the queue), which holds at any load. With
more concurrency than declared it errs towards more replicas until it has seen a full queue.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ecs_dynamo.model.scaling import Service
from ecs_dynamo.planning.scaling import queue
from ecs_dynamo.planning.scaling.coldstart import cold_start_seconds
from ecs_dynamo.planning.scaling.demand import Demand, read_demand
from ecs_dynamo.planning.scaling.forecast import follow, predict, spread, young_weight
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.settle import hold, settle
from ecs_dynamo.planning.scaling.staffing import servers_needed

WORK_SECONDS = 600.0
"""How long a measured service time counts: mixes of requests change within the hour."""
SLOW_SECONDS = 7200.0
LEARNING = 0.04
"""One late stretch of a cold start raises the caution by about one; it fades within a day."""
MAX_CAUTION = 8.0
MIN_DONE = 5.0
"""Requests before the measured service time is believed."""
MIN_SERVICE_SECONDS = 1e-6
"""Below this nothing was measured yet, whatever the rounding left."""


def learn(state: Service | None, given: ScalingInput, depth: float, rate: float) -> Service:
    """The service state after one more look; ``rate`` is the arrivals' since the last one."""
    if state is None:
        return Service(at=given.now, queue=depth, slow=rate)
    elapsed = given.now - state.at
    if elapsed <= 0:
        return state
    fade = math.exp(-elapsed / WORK_SECONDS)
    slots = given.ready * given.spec.concurrency
    arrived = rate * elapsed
    done = max(0.0, arrived - (depth - state.queue))
    busy = 0.5 * (min(depth, slots) + min(state.queue, slots)) * elapsed
    made = Service(
        at=given.now,
        queue=depth,
        busy=state.busy * fade + busy,
        done=state.done * fade + done,
        ticks=state.ticks * fade + 1.0,
        counts=state.counts * fade + arrived,
        squares=state.squares * fade + arrived * arrived,
        slow=state.slow + young_weight(elapsed, state.age, SLOW_SECONDS) * (rate - state.slow),
        age=state.age + elapsed,
        caution=state.caution,
    )
    return replace(made, caution=_caution(made, given, depth, arrived))


def _caution(service: Service, given: ScalingInput, depth: float, arrived: float) -> float:
    """The caution after this tick: up where arrivals are late, slowly down where they are not.

    Adaptive conformal inference (Gibbs and Candes 2021): with steps of (1 - miss) up and miss down,
    the long-run share of late requests goes to ``miss`` whatever the traffic.
    """
    mean = service.counts / service.ticks if service.ticks else 0.0
    if service.done < MIN_DONE or mean <= 0:
        return service.caution
    each = service.busy / service.done
    slots = given.ready * given.spec.concurrency
    waiting = max(0.0, depth - slots)
    late = waiting * each > given.spec.target_queue_seconds * slots
    step = LEARNING * min(arrived / mean, 4.0) * ((1.0 if late else 0.0) - given.spec.miss)
    return min(max(service.caution + step, 0.0), MAX_CAUTION)


def _variability(service: Service) -> float:
    """(ca^2 + cs^2) / 2: arrivals by their index of dispersion, service taken as exponential."""
    if service.ticks < 10 or service.counts <= 0:
        return 1.0
    mean = service.counts / service.ticks
    dispersion = (service.squares / service.ticks - mean * mean) / mean
    return 0.5 * (min(max(dispersion, 0.2), 6.0) + 1.0)


def _backlog_at(
    given: ScalingInput, waiting: float, rate: float, per_replica: float, cold: float
) -> float:
    """The requests that still wait one cold start from now, with no further launch (fluid)."""
    events = sorted(min(max(at + cold - given.now, 0.0), cold) for at in given.starting)
    serving, clock = float(given.ready), 0.0
    for at in (*events, cold):
        waiting = max(0.0, waiting + (rate - serving * per_replica) * (at - clock))
        serving, clock = serving + 1.0, at
    return waiting


def slo_policy(given: ScalingInput) -> ScalingOutput:
    """Decide for the moment at which a replica launched now would be ready."""
    demand = read_demand(given)
    if demand.why_not is not None:
        return hold(given, given.state, demand.why_not, stale=True)
    if demand.queue is None or demand.arrival_rate is None:
        # Without a rate there is nothing to forecast: the depth alone decides.
        raw, text = queue.wish(given, demand)
        return settle(given, given.state, demand, raw, text)
    return _plan(given, demand, demand.queue, demand.arrival_rate)


def _plan(given: ScalingInput, demand: Demand, depth: float, rate: float) -> ScalingOutput:
    spec = given.spec
    cold = cold_start_seconds(given.state.cold_starts, spec.cold_start_seconds)
    service = learn(given.state.service, given, depth, rate)
    forecast = follow(given.state.forecast, rate, given.now, cold)
    state = replace(given.state, service=service, forecast=forecast)
    # What was learned up to the last look judges this one: so that, all else equal, more demand
    # never asks for less (a queue that shrinks also looks like a replica that is faster).
    known, judge = given.state.service, given.state.forecast
    each = known.busy / known.done if known is not None and known.done >= MIN_DONE else 0.0
    if known is None or each < MIN_SERVICE_SECONDS:
        raw, text = queue.wish(given, demand)
        keep = given.current if depth > 0 else raw
        return settle(given, state, demand, max(raw, keep), f"{text}, still learning its speed")
    slots = spec.concurrency
    per_replica = slots / each
    reach = cold + spec.target_queue_seconds
    expected = max(predict(forecast, ahead, judge) for ahead in (0.0, 0.5 * reach, reach))
    margin = min(known.caution, 1.0) * spec.headroom * spread(judge or forecast)
    reserve = known.caution * known.slow if known.caution > 1.0 and spec.headroom > 0 else 0.0
    planned = max(expected * (1.0 + margin), reserve)
    steady = math.ceil(
        servers_needed(
            planned * each, each, spec.target_queue_seconds, spec.miss, _variability(known)
        )
        / slots
    )
    waiting = max(0.0, depth - given.ready * slots)
    left = _backlog_at(given, waiting, expected, per_replica, cold)
    drain = max(spec.target_queue_seconds, 0.25 * cold)
    draining = math.ceil((planned + left / drain) / per_replica - 1e-9) if left > 0 else 0
    wanted = math.ceil(demand.replicas or 0.0)
    raw = max(steady, draining, wanted)
    text = (
        f"{depth:g} {demand.unit} queued, {rate:.2f}/s arrive ({planned:.2f}/s planned), "
        f"{per_replica:.2f}/s per replica, cold start {cold:.0f} s, "
        f"target {spec.target_queue_seconds:g} s"
    )
    if wanted:
        text += f", the planner wants {wanted}"
    return settle(given, state, demand, raw, f"{text}, wants {raw}")
