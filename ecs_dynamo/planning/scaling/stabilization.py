"""From a raw recommendation to a desired count: windows, steps, bounds, and scaling to zero.

The windows are those of the Kubernetes horizontal pod autoscaler: the count rises to the smallest
recommendation of the scale-up window and falls to the largest of the scale-down window. A fresh
daemon has not observed the window before its start, so it observes a whole one first: a restart
never undoes the stabilization.
"""

from __future__ import annotations

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.memory.scaling import Recommendation, ScalingState
from ecs_dynamo.model.memory.zero import Waking
from ecs_dynamo.model.plan import Decision, Limitation, decision_reason
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.cold_start import expected_cold_start
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.zero.idle import add_gap, keep_seconds
from ecs_dynamo.planning.scaling.zero.waking import count_to_start, observe_refused

REFUSED_SHARE = 0.02
"""While more than this share of the requests is refused, a count is not lowered."""


def clamp(inputs: ScalingInput[ScalingSpec], count: int) -> int:
    """Return ``count`` within [min, max]."""
    return min(max(count, inputs.spec.min), inputs.spec.max)


def _decision(
    inputs: ScalingInput[ScalingSpec],
    desired: int,
    text: str,
    demand: int | None,
    *,
    stale: bool = False,
) -> Decision:
    limitation = None
    if demand is not None and demand > inputs.spec.max:
        message = f"the demand asks for {demand} replicas, max is {inputs.spec.max}"
        limitation = Limitation(ConditionReason.AT_MAXIMUM, message)
        if desired == inputs.spec.max:
            text += f", limited by max {inputs.spec.max}"
    return Decision(
        component=inputs.component,
        current=inputs.current,
        desired=desired,
        reason=decision_reason(inputs.component, inputs.current, desired, text),
        stale=stale,
        demand=demand,
        limitation=limitation,
    )


def limited(decision: Decision, desired: int, text: str, limitation: Limitation) -> Decision:
    """Return ``decision`` with a smaller count, and the limit added to its reason (``text``)."""
    changed = decision.with_desired(desired, f"{decision.numbers}, {text}")
    return replace(changed, limitation=limitation)


def hold(
    inputs: ScalingInput[ScalingSpec], state: ScalingState, text: str, *, stale: bool = False
) -> ScalingOutput:
    """Keep the current count (within the bounds)."""
    desired = clamp(inputs, inputs.current)
    return ScalingOutput(_decision(inputs, desired, text, state.demand, stale=stale), state)


def _recent_recommendations(
    inputs: ScalingInput[ScalingSpec], count: int, demand: int
) -> tuple[Recommendation, ...]:
    """The recommendations inside the longer of the two windows, the new one included."""
    spec = inputs.spec
    window = max(spec.scale_up_stabilization_seconds, spec.scale_down_stabilization_seconds)
    oldest = max(inputs.now - window, inputs.observing_since)
    earlier = inputs.state.recommendations
    expired = 0
    while expired < len(earlier) and earlier[expired].at < oldest:
        expired += 1
    return (*earlier[expired:], Recommendation(inputs.now, count, demand))


def _may_start(inputs: ScalingInput[ScalingSpec], demand: Demand, waking: Waking | None) -> bool:
    """Whether the demand is enough to start a component from zero."""
    threshold = inputs.spec.activation_threshold
    if demand.replicas:
        return True
    if threshold > 0:
        return (demand.queue or 0.0) + (waking.refused if waking else 0.0) > threshold
    return bool(demand.queue or demand.arrival_rate or waking)


def _are_refused(demand: Demand) -> bool:
    """Whether more than a few requests are refused: some always are, for reasons of their own."""
    return (demand.rejection_rate or 0.0) > REFUSED_SHARE * (demand.arrival_rate or 0.0)


def _keep_seconds(inputs: ScalingInput[ScalingSpec], state: ScalingState) -> float:
    """How long a replica is kept after the last demand: as declared, or as learned."""
    spec = inputs.spec
    if spec.idle_seconds is not None:
        return spec.idle_seconds
    return keep_seconds(state.zero.gaps, expected_cold_start(state.cold_starts, spec), inputs.now)


def stabilize(
    inputs: ScalingInput[ScalingSpec],
    state: ScalingState,
    demand: Demand,
    recommended: int,
    text: str,
) -> ScalingOutput:
    """Return the count to set for the raw count ``recommended``; ``text`` gives its numbers."""
    spec, now, current = inputs.spec, inputs.now, inputs.current
    zero, waking = state.zero, observe_refused(inputs, demand)
    active = bool(demand.queue or demand.arrival_rate or demand.replicas or demand.rejection_rate)
    if active and state.busy_at is not None:
        zero = replace(zero, gaps=add_gap(zero.gaps, now - state.busy_at, now))
    busy_at = now if active else state.busy_at
    if busy_at is None:
        busy_at = inputs.observing_since
    if demand.incomplete:
        # A source that is silent may hide a larger demand, so the count does not fall.
        recommended = max(recommended, current)
        text += ", a signal is stale: not lowered"
    if waking is not None and not demand.queue and not demand.replicas:
        recommended = max(current, count_to_start(inputs, state, waking))
        text += f", {demand.rejection_rate or 0.0:.2f}/s refused"
    elif recommended < current and _are_refused(demand):
        recommended = current
        text += f", {demand.rejection_rate:.2f}/s refused: not lowered"
    elif active and inputs.ready > 0:
        # After a wake-up, what was needed before it no longer counts.
        before = zero.busiest if zero.serving else 0
        zero = replace(zero, busiest=max(before, clamp(inputs, recommended)))
    leaves = False
    if spec.min == 0 and current > 0 and not demand.incomplete:
        keep = _keep_seconds(inputs, state)
        leaves = not active and now - busy_at >= keep
        if not leaves and recommended == 0:
            text += f", kept for {keep:.0f} s after the last demand"
        recommended = 0 if leaves else max(recommended, 1)
    may_start = _may_start(inputs, demand, waking)
    if current == 0:
        # Nothing queues where nothing serves: refused requests, or a backlog above the threshold,
        # are enough.
        recommended = max(recommended, 1) if may_start else 0
        if active and not may_start:
            text += f", stays at zero up to {spec.activation_threshold:g} {demand.unit}"
    unlimited, recommended = recommended, clamp(inputs, recommended)
    history = _recent_recommendations(inputs, recommended, unlimited)
    observed_seconds = now - inputs.observing_since
    up_from = now - spec.scale_up_stabilization_seconds
    down_from = now - spec.scale_down_stabilization_seconds
    rising = min(r.demand for r in history if r.at >= up_from)
    falling = max(r.demand for r in history if r.at >= down_from)
    known = state.demand if state.demand is not None else unlimited
    lasting = max(rising, min(falling, known))
    desired = current
    if recommended > current:
        up = min(r.desired for r in history if r.at >= up_from)
        if current == 0 and may_start:
            # Nothing serves: waiting for a window would only lengthen the outage.
            desired = min(recommended, spec.step_up(current))
        elif up > current and observed_seconds >= spec.scale_up_stabilization_seconds:
            desired = min(up, current + spec.step_up(current))
        else:
            text += ", held by the scale-up window"
    elif recommended < current:
        down = max(r.desired for r in history if r.at >= down_from)
        if leaves and (zero.raised_at is None or zero.raised_at <= down_from):
            # The keep time was the window: a second one would only be paid for.
            down = recommended
        if down < current and observed_seconds >= spec.scale_down_stabilization_seconds:
            desired = max(down, current - spec.step_down(current))
        else:
            text += ", held by the scale-down window"
    desired = clamp(inputs, desired)
    raised_at = now if desired > current else zero.raised_at
    zero = replace(zero, waking=waking, raised_at=raised_at, serving=inputs.ready > 0)
    state = replace(state, recommendations=history, busy_at=busy_at, zero=zero, demand=lasting)
    return ScalingOutput(_decision(inputs, desired, text, lasting), state, demand=demand)
