"""Scaling to a queue-time target: enough replicas when the next one can be ready, and no more.

What is asked for now is served only after a cold start, so the policy plans for that moment. The
load is the slots that the arrivals keep in use (rate times service time, both measured): where
requests get longer as they get fewer, the load stays, and so do the replicas. From it come
- the load that is to be expected after a cold start, and the error of such forecasts so far;
- the slots that keep the wait below the target at that load (Erlang C), and those that hold
  against the forecast's error: two chances that are independent, so their squares add up;
- the backlog that will be left by then, with those that are still starting counted in, and the
  replicas that drain it.
The larger wins. It goes up at once and comes down to what the last window needed. How much is kept
against chance follows from what was attained so far (`service.py`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

from ecs_dynamo.planning.scaling.cold_start import cold_start_seconds
from ecs_dynamo.planning.scaling.demand import Demand, read_demand
from ecs_dynamo.planning.scaling.erlang_c import staffing
from ecs_dynamo.planning.scaling.forecast import LEVEL_SECONDS, follow, predict, spread
from ecs_dynamo.planning.scaling.policies import queue
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.service_time import (
    learn,
    service_seconds,
    variability,
)
from ecs_dynamo.planning.scaling.stabilization import (
    hold,
    settle,
)

RELAXED = 5.0
"""With no caution left the wait is planned for this multiple of the declared misses."""
ARRIVALS = 800.0
MAX_LEVEL_SECONDS = 300.0
"""The load is averaged over as long as that many requests take: a few of them tell only noise."""
DRAIN_SHARE = 0.25
"""A backlog is drained within this share of a cold start: sooner would buy replicas that are
idle before they are ready."""


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
    if demand.partial and demand.queue is not None and given.state.forecast is not None:
        known = service_seconds(given.state.service)
        rate = given.state.forecast.level / known if known > 0 else 0.0
        return _plan(given, demand, demand.queue, rate)
    if demand.queue is None or demand.arrival_rate is None:
        # Without a rate there is nothing to forecast: the depth alone decides.
        raw, text = queue.wish(given, demand)
        return settle(given, given.state, demand, raw, text)
    return _plan(given, demand, demand.queue, demand.arrival_rate)


def _plan(given: ScalingInput, demand: Demand, depth: float, rate: float) -> ScalingOutput:
    spec = given.spec
    cold = cold_start_seconds(given.state.cold_starts, spec.cold_start_seconds)
    state = given.state
    if not demand.partial:  # From a part of the requests nothing is to be learned.
        state = replace(state, service=learn(state.service, given, depth, rate))
    # What was learned up to the last look judges this one: so that, all else equal, more demand
    # never asks for less (a queue that shrinks also looks like a replica that is faster).
    known, judge = given.state.service, given.state.forecast
    each = service_seconds(known)
    if known is None or each <= 0:
        raw, text = queue.wish(given, demand)
        keep = given.current if depth > 0 else raw
        text += ", still learning its speed"
        return settle(given, state, demand, max(raw, keep), text)
    smoothing = LEVEL_SECONDS
    if judge is not None and judge.level > 0:
        smoothing = min(max(ARRIVALS * each / judge.level, LEVEL_SECONDS), MAX_LEVEL_SECONDS)
    forecast = (
        judge
        if judge is not None and demand.partial
        else follow(judge, rate * each, given.now, cold, smoothing)
    )
    state = replace(state, forecast=forecast)
    judge = judge or forecast
    slots, target = spec.concurrency, spec.target_queue_seconds
    expected = predict(forecast, cold, judge)
    caution = min(known.caution, 1.0)
    miss = min(0.5, spec.miss * RELAXED ** (1.0 - caution))
    error = (
        spec.headroom
        * caution
        * NormalDist().inv_cdf(1.0 - spec.miss)
        * spread(judge, each, smoothing)
    )
    varied = variability(known)

    def slots_for(load: float, error: float = 0.0) -> float:
        waits = staffing(load, each, target, miss, varied) - load
        return load + math.hypot(waits, error * load)

    # Above 1 the caution is a share of the highest load of the last day: crowds that nobody could
    # foresee come again.
    reserve = (known.caution - caution) * known.peak if spec.headroom > 0 else 0.0
    planned = max(slots_for(expected, error), slots_for(forecast.level), slots_for(reserve))
    steady = math.ceil(planned / slots - 1e-9)
    per_replica = slots / each
    waiting = max(0.0, depth - given.ready * slots)
    meanwhile = 0.5 * (expected + forecast.level) / each
    left = _backlog_at(given, waiting, meanwhile, per_replica, cold)
    drain = max(target, DRAIN_SHARE * cold)
    draining = math.ceil((expected + left * each / drain) / slots - 1e-9) if left > 0 else 0
    wanted = math.ceil(demand.replicas or 0.0)
    raw = max(steady, draining, wanted)
    text = (
        f"{depth:g} {demand.unit} queued, {rate:.2f}/s arrive ({planned / each:.2f}/s planned), "
        f"{per_replica:.2f}/s per replica, cold start {cold:.0f} s, target {target:g} s"
    )
    if wanted:
        text += f", the planner wants {wanted}"
    return settle(given, state, demand, raw, f"{text}, wants {raw}")
