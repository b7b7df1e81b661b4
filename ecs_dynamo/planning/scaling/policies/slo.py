"""Scaling to latency targets: enough replicas when the next one can be ready, and no more.

A replica that is launched now serves only after a cold start, so the policy plans for that moment.
The load is the number of slots that arriving work keeps in use: units of work per second, counted
as they arrive, times the measured seconds per unit (`load.work`). The count is the largest of

- the slots that keep the wait below the target (Erlang C) at the load that is expected after a cold
  start, with the margin that past forecasts would have needed (`load.margin`). The two are
  independent, so they add as squares: the square root of the sum of their squares;
- the same for the present load, because a forecast of a fall may be wrong;
- the slots that drain the backlog which will be left after a cold start, with the replicas that are
  still starting counted in and with what is held back upstream (`load.backlog`).

The count rises at once and falls to what the last window needed. How many requests may be late
follows from what was attained so far (`load.budget`). A pass uses only what was learned up to the
previous one so that, all else equal, more demand never asks for fewer replicas: a queue that
shrinks also looks like a replica that got faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.memory.load import WorkEstimate
from ecs_dynamo.model.memory.scaling import Forecast, ScalingState
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.arbitration.missed import waits_too_long
from ecs_dynamo.planning.scaling.cold_start import expected_cold_start
from ecs_dynamo.planning.scaling.demand import read_demand
from ecs_dynamo.planning.scaling.erlang_c import fractional_servers
from ecs_dynamo.planning.scaling.estimation.concurrency import (
    learn_concurrency,
    planning_concurrency,
    seconds_factor,
)
from ecs_dynamo.planning.scaling.estimation.targets import queue_target
from ecs_dynamo.planning.scaling.load.backlog import Pool, draining_slots, held_back
from ecs_dynamo.planning.scaling.load.budget import spend, tolerated
from ecs_dynamo.planning.scaling.load.forecast import KEEP_EVERY, LEVEL_SECONDS, follow, predict
from ecs_dynamo.planning.scaling.load.margin import choose, kept, record
from ecs_dynamo.planning.scaling.load.work import (
    learn_work,
    seconds_per_request,
    seconds_per_unit,
    variability,
    work_rate,
)
from ecs_dynamo.planning.scaling.policies import queue
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput, ScalingOutput, Workload
from ecs_dynamo.planning.scaling.stabilization import hold, stabilize

RELAXED = 5.0
"""Erlang C plans for this multiple of the declared misses: the margin covers most of its noise."""
ARRIVALS = 800.0
"""The load is averaged over as long as this many requests take: fewer of them are mostly noise."""
MAX_LEVEL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class _Pass:
    """Measurements of a pass, and the speed and limits of a replica as known before it.

    ``seconds`` is the time that a request holds a slot, and ``per_unit`` that of a unit of work;
    ``waiting`` requests are on no replica. Times are in seconds.
    """

    depth: float
    rate: float
    waiting: float
    concurrency: float
    seconds: float
    per_unit: float
    cold_start: float
    target: float


def slo_policy(inputs: ScalingInput[SloScaling]) -> ScalingOutput:
    """Decide for the moment at which a replica launched now would be ready."""
    demand = read_demand(inputs)
    if demand.why_stale is not None:
        return hold(inputs, inputs.state, demand.why_stale, stale=True)
    if demand.queue is None:
        return _by_depth(inputs, inputs.state, demand, "")
    rate = demand.arrival_rate
    if rate is None and demand.partial and inputs.state.forecast is not None:
        # A rate over some of the frontends is not reported: the load stays what it was.
        seconds = seconds_per_request(inputs.state.work)
        rate = inputs.state.forecast.level / seconds if seconds > 0 else 0.0
    if rate is None:
        # Without a rate there is nothing to forecast: the depth alone decides.
        return _by_depth(inputs, inputs.state, demand, "")
    return _plan(inputs, demand, demand.queue, rate)


def _by_depth(
    inputs: ScalingInput[SloScaling], state: ScalingState, demand: Demand, note: str
) -> ScalingOutput:
    count, text = queue.recommend(inputs, demand)
    return stabilize(inputs, state, demand, count, text + note)


def _plan(
    inputs: ScalingInput[SloScaling], demand: Demand, depth: float, rate: float
) -> ScalingOutput:
    spec, before = inputs.spec, inputs.state
    known = before.concurrency or learn_concurrency(None, inputs, demand)
    concurrency = planning_concurrency(known, spec, inputs.roles)
    state = _learned(inputs, demand, rate, concurrency)
    cold_start = expected_cold_start(before.cold_starts, spec)
    seconds = seconds_per_request(before.work)
    if before.work is None or seconds <= 0:
        return _while_learning(inputs, state, demand, concurrency, cold_start)
    batch = before.work.running / inputs.ready if inputs.ready else 0.0
    slower = seconds_factor(known, spec, max(batch, 1.0), concurrency)
    now = _Pass(
        depth=depth,
        rate=rate,
        waiting=demand.not_started(inputs.ready * concurrency),
        concurrency=concurrency,
        seconds=seconds * slower,
        per_unit=seconds_per_unit(before.work) * slower,
        cold_start=cold_start,
        target=queue_target(spec, inputs.roles, seconds if Role.PREFILL in inputs.roles else 0.0),
    )
    state = _observed(inputs, state, demand, now)
    forecast = state.forecast
    if forecast is None:  # The first load of a component is in a report that is incomplete.
        return _by_depth(inputs, state, demand, ", no load observed yet")
    expected = predict(forecast, cold_start)
    planned = _planned_slots(inputs, state, before.work, forecast, expected, now)
    pool = Pool(inputs.ready, [at + cold_start - inputs.now for at in inputs.starting], concurrency)
    draining = draining_slots(
        now.waiting + held_back(demand.upstream, rate),
        forecast.level,
        expected,
        now.seconds,
        pool,
        cold_start,
        now.target,
    )
    requested = math.ceil(demand.replicas or 0.0)
    count = max(math.ceil(max(planned, draining) / concurrency - 1e-9), requested)
    text = (
        f"{depth:g} {demand.unit} queued, {rate:.2f}/s arrive "
        f"({planned / now.seconds:.2f}/s planned), {concurrency / now.seconds:.2f}/s per replica, "
        f"cold start {cold_start:.0f} s, target {now.target:g} s"
    )
    if requested:
        text += f", the planner wants {requested}"
    output = stabilize(inputs, state, demand, count, f"{text}, wants {count}")
    workload = Workload(forecast.level / concurrency, now.seconds / concurrency, concurrency)
    return ScalingOutput(output.decision, output.state, workload, demand)


def _learned(
    inputs: ScalingInput[SloScaling], demand: Demand, rate: float, concurrency: float
) -> ScalingState:
    """The state with what this pass teaches of the replicas; a partial report teaches nothing."""
    state = inputs.state
    if demand.partial:
        return state
    slots = inputs.ready * concurrency
    return replace(
        state,
        concurrency=learn_concurrency(state.concurrency, inputs, demand),
        work=learn_work(state.work, inputs.roles, demand, rate, slots, inputs.now),
    )


def _while_learning(
    inputs: ScalingInput[SloScaling],
    state: ScalingState,
    demand: Demand,
    concurrency: float,
    cold_start: float,
) -> ScalingOutput:
    """One more replica at a time until the speed of one is known, which takes a few passes."""
    depth = demand.queue or 0.0
    if depth == 0 and not demand.arrival_rate:
        # Without requests the load is zero, whatever the speed. The first crowd then counts as one
        # that no forecast expected.
        state = replace(state, forecast=follow(state.forecast, 0.0, inputs.now, cold_start))
        return _by_depth(inputs, state, demand, ", still learning its speed")
    more = depth > inputs.ready * concurrency and not inputs.starting
    recommended, _ = queue.recommend(inputs, demand)
    count = max(inputs.current, min(recommended, inputs.current + more))
    count = max(count, math.ceil(demand.replicas or 0.0))
    text = f"{depth:g} {demand.unit} queued, still learning its speed, wants {count}"
    return stabilize(inputs, state, demand, count, text)


def _observed(
    inputs: ScalingInput[SloScaling], state: ScalingState, demand: Demand, now: _Pass
) -> ScalingState:
    """The state with the load of this pass, the forecasts that were due and the late requests."""
    history, work = inputs.state.forecast, inputs.state.work
    if work is None or demand.partial:
        return state
    load = work_rate(inputs.roles, demand, now.rate) * now.per_unit
    smoothing = LEVEL_SECONDS
    if history is not None and history.level > 0:
        smoothing = ARRIVALS * now.seconds / history.level
        smoothing = min(max(smoothing, LEVEL_SECONDS), MAX_LEVEL_SECONDS)
    forecast = follow(history, load, inputs.now, now.cold_start, smoothing)
    margin = state.margin
    if forecast is not history:
        for predicted, outcome in forecast.outcomes:
            requests = now.rate * KEEP_EVERY
            margin = record(margin, predicted, outcome, requests, KEEP_EVERY, inputs.now)
    elapsed = max(0.0, inputs.now - work.at)
    # The reported share is that of the whole graph: a component is charged while it makes requests
    # wait itself.
    late = 0.0
    if waits_too_long(now.waiting, now.seconds, inputs.ready * now.concurrency, now.target):
        late = 1.0 if demand.late_share is None else demand.late_share
    budget = spend(state.budget, late, now.rate * elapsed, elapsed)
    margin = choose(margin, tolerated(budget, inputs.spec.miss), now.cold_start, inputs.now)
    return replace(state, forecast=forecast, margin=margin, budget=budget)


def _planned_slots(
    inputs: ScalingInput[SloScaling],
    state: ScalingState,
    work: WorkEstimate,
    forecast: Forecast,
    expected: float,
    now: _Pass,
) -> float:
    """The slots that keep the wait below the target now, and after a cold start with the margin."""
    burstiness = variability(work)
    miss = min(0.5, inputs.spec.miss * RELAXED)

    def slots_for(load: float, margin: float) -> float:
        servers = fractional_servers(load, now.seconds, now.target, miss, burstiness)
        return load + math.hypot(servers - load, margin)

    above = inputs.spec.headroom * max(kept(state.margin, expected) - expected, 0.0)
    return max(slots_for(expected, above), slots_for(forecast.level, 0.0))
