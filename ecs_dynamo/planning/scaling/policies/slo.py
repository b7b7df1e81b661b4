"""Scaling to a queue-time target: enough replicas when the next one can be ready, and no more.

A replica that is launched now serves only after a cold start, so the policy plans for that moment.
The load is the number of slots that the arrivals keep in use (rate times service time, both
measured): where requests get longer as they get fewer, the load stays, and so do the replicas.
The count is the largest of

- the slots that keep the wait below the target (Erlang C) at the load that is expected after a cold
  start, with a margin for the forecast's error. The two chances are independent, so the margins add
  as squares: the square root of the sum of their squares;
- the same for the present load, because a forecast of a fall may be wrong;
- a reserve: the share of the highest load of the last day that the caution asks for;
- the replicas that drain the backlog which will be left after a cold start, with those that are
  still starting counted in.

The count rises at once and falls to what the last window needed. How much margin is kept follows
from what was attained so far (`service_time.py`). A pass uses only what was learned up
to the previous one, so that, all else equal, more demand never asks for fewer replicas: a queue
that shrinks also looks like a replica that got faster.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

from ecs_dynamo.model.memory.scaling import Forecast, ServiceTimeEstimate
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.cold_start import cold_start_seconds
from ecs_dynamo.planning.scaling.demand import Demand, read_demand
from ecs_dynamo.planning.scaling.erlang_c import fractional_servers
from ecs_dynamo.planning.scaling.estimation.concurrency import (
    learn_concurrency,
    planning_concurrency,
)
from ecs_dynamo.planning.scaling.estimation.targets import queue_target
from ecs_dynamo.planning.scaling.forecast import LEVEL_SECONDS, follow, predict, spread
from ecs_dynamo.planning.scaling.policies import queue
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput, Workload
from ecs_dynamo.planning.scaling.service_time import learn, service_seconds, variability
from ecs_dynamo.planning.scaling.stabilization import hold, stabilize

RELAXED = 5.0
"""Without any caution the wait is planned for this multiple of the declared misses."""
ARRIVALS = 800.0
"""The load is averaged over as long as this many requests take: fewer of them are mostly noise."""
MAX_LEVEL_SECONDS = 300.0
DRAIN_SHARE = 0.25
"""A backlog is drained within this share of a cold start. A faster drain would pay for replicas
that are idle before they are ready."""


def slo_policy(inputs: ScalingInput[SloScaling]) -> ScalingOutput:
    """Decide for the moment at which a replica launched now would be ready."""
    demand = read_demand(inputs)
    inputs = _with_targets(inputs, demand)
    if demand.why_stale is not None:
        return hold(inputs, inputs.state, demand.why_stale, stale=True)
    if demand.partial and demand.queue is not None and inputs.state.forecast is not None:
        known = service_seconds(inputs.state.service_time)
        rate = inputs.state.forecast.level / known if known > 0 else 0.0
        return _plan(inputs, demand, demand.queue, rate)
    if demand.queue is None or demand.arrival_rate is None:
        # Without a rate there is nothing to forecast: the depth alone decides.
        count, text = queue.recommend(inputs, demand)
        return stabilize(inputs, inputs.state, demand, count, text)
    return _plan(inputs, demand, demand.queue, demand.arrival_rate)


def _with_targets(inputs: ScalingInput[SloScaling], demand: Demand) -> ScalingInput[SloScaling]:
    """Return the inputs with the concurrency and the queue time that keep the latency targets.

    What this pass teaches of the concurrency is in the state. The pass itself is planned with what
    was learned up to the previous one.
    """
    spec, state, roles = inputs.spec, inputs.state, inputs.roles
    learned = learn_concurrency(state.concurrency, inputs, demand)
    update = {
        "concurrency": planning_concurrency(state.concurrency or learned, spec, roles),
        "target_queue_seconds": queue_target(spec, roles, service_seconds(state.service_time)),
    }
    return replace(
        inputs, spec=spec.model_copy(update=update), state=replace(state, concurrency=learned)
    )


def _plan(
    inputs: ScalingInput[SloScaling], demand: Demand, depth: float, rate: float
) -> ScalingOutput:
    spec, state = inputs.spec, inputs.state
    cold_start = cold_start_seconds(state.cold_starts, spec.cold_start_seconds)
    estimate, history = state.service_time, state.forecast
    if not demand.partial:  # A part of the requests must not be learned from.
        state = replace(state, service_time=learn(estimate, inputs, depth, rate))
    seconds = service_seconds(estimate)
    if estimate is None or seconds <= 0:
        count, text = queue.recommend(inputs, demand)
        kept = inputs.current if depth > 0 else count
        text += ", still learning its speed"
        return stabilize(inputs, state, demand, max(count, kept), text)
    smoothing = _smoothing_seconds(history, seconds)
    forecast = (
        history
        if history is not None and demand.partial
        else follow(history, rate * seconds, inputs.now, cold_start, smoothing)
    )
    state = replace(state, forecast=forecast)
    history = history or forecast
    expected = predict(forecast, cold_start, history)
    planned = _planned_slots(spec, estimate, forecast, history, expected, smoothing)
    draining = _draining_slots(inputs, depth, expected, forecast.level, seconds, cold_start)
    requested = math.ceil(demand.replicas or 0.0)
    slots = spec.concurrency or 1.0
    steady = math.ceil(planned / slots - 1e-9)
    count = max(steady, math.ceil(draining / slots - 1e-9), requested)
    text = (
        f"{depth:g} {demand.unit} queued, {rate:.2f}/s arrive ({planned / seconds:.2f}/s planned), "
        f"{slots / seconds:.2f}/s per replica, cold start {cold_start:.0f} s, "
        f"target {spec.target_queue_seconds:g} s"
    )
    if requested:
        text += f", the planner wants {requested}"
    workload = Workload(forecast.level / slots, seconds / slots, slots)
    output = stabilize(inputs, state, demand, count, f"{text}, wants {count}")
    return replace(output, workload=workload)


def _smoothing_seconds(history: Forecast | None, seconds: float) -> float:
    """How long the load is averaged: the time in which `ARRIVALS` requests arrive, bounded."""
    if history is None or history.level <= 0:
        return LEVEL_SECONDS
    return min(max(ARRIVALS * seconds / history.level, LEVEL_SECONDS), MAX_LEVEL_SECONDS)


def _planned_slots(
    spec: SloScaling,
    estimate: ServiceTimeEstimate,
    forecast: Forecast,
    history: Forecast,
    expected: float,
    smoothing: float,
) -> float:
    """The slots that keep the wait below the target now, after a cold start, and in a crowd."""
    seconds = service_seconds(estimate)
    caution = min(estimate.caution, 1.0)
    miss = min(0.5, spec.miss * RELAXED ** (1.0 - caution))
    error = (
        spec.headroom
        * caution
        * NormalDist().inv_cdf(1.0 - spec.miss)
        * spread(history, seconds, smoothing)
    )
    burstiness = variability(estimate)

    def slots_for(load: float, error: float = 0.0) -> float:
        servers = fractional_servers(load, seconds, spec.target_queue_seconds, miss, burstiness)
        return load + math.hypot(servers - load, error * load)

    # Above 1 the caution is a share of the highest load of the last day, because crowds that
    # nobody could foresee come again.
    reserve = (estimate.caution - caution) * estimate.peak if spec.headroom > 0 else 0.0
    return max(slots_for(expected, error), slots_for(forecast.level), slots_for(reserve))


def _draining_slots(
    inputs: ScalingInput[SloScaling],
    depth: float,
    expected: float,
    level: float,
    seconds: float,
    cold_start: float,
) -> float:
    """The slots that serve the expected load and drain the backlog left after a cold start."""
    slots = inputs.spec.concurrency or 1.0
    waiting = max(0.0, depth - inputs.ready * slots)
    rate = 0.5 * (expected + level) / seconds
    backlog = _backlog_after(inputs, waiting, rate, slots / seconds, cold_start)
    if backlog <= 0:
        return 0.0
    drain_seconds = max(inputs.spec.target_queue_seconds, DRAIN_SHARE * cold_start)
    return expected + backlog * seconds / drain_seconds


def _backlog_after(
    inputs: ScalingInput[SloScaling],
    waiting: float,
    rate: float,
    per_replica: float,
    cold_start: float,
) -> float:
    """The requests that still wait after a cold start without a further launch (fluid model).

    ``rate`` is that of the arrivals and ``per_replica`` that of one replica, in requests/s.
    """
    ready_in = sorted(
        min(max(at + cold_start - inputs.now, 0.0), cold_start) for at in inputs.starting
    )
    serving, clock = float(inputs.ready), 0.0
    for at in (*ready_in, cold_start):
        waiting = max(0.0, waiting + (rate - serving * per_replica) * (at - clock))
        serving, clock = serving + 1.0, at
    return waiting
