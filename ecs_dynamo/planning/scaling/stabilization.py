"""From a raw recommendation to a desired count: windows, steps, bounds, and scaling to zero.

The windows are those of the Kubernetes horizontal pod autoscaler: the count rises to the smallest
recommendation of the scale-up window and falls to the largest of the scale-down window. A fresh
daemon has not observed the window before its start, so it observes a whole one first: a restart
never undoes the stabilization.
"""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.memory.scaling import Recommendation, ScalingState
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.demand import Demand
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput


def clamp(inputs: ScalingInput[ScalingSpec], count: int) -> int:
    """Return ``count`` within [min, max]."""
    return min(max(count, inputs.spec.min), inputs.spec.max)


def _decision(
    inputs: ScalingInput[ScalingSpec], desired: int, text: str, *, stale: bool = False
) -> Decision:
    return Decision(
        component=inputs.component,
        current=inputs.current,
        desired=desired,
        reason=f"{inputs.component} {inputs.current} -> {desired}: {text}",
        stale=stale,
    )


def hold(
    inputs: ScalingInput[ScalingSpec], state: ScalingState, text: str, *, stale: bool = False
) -> ScalingOutput:
    """Keep the current count (within the bounds)."""
    desired = clamp(inputs, inputs.current)
    return ScalingOutput(_decision(inputs, desired, text, stale=stale), state)


def _recent_recommendations(
    inputs: ScalingInput[ScalingSpec], count: int
) -> tuple[Recommendation, ...]:
    """The recommendations inside the longer of the two windows, ``count`` included."""
    spec = inputs.spec
    window = max(spec.scale_up_stabilization_seconds, spec.scale_down_stabilization_seconds)
    oldest = max(inputs.now - window, inputs.observing_since)
    earlier = inputs.state.recommendations
    expired = 0
    while expired < len(earlier) and earlier[expired].at < oldest:
        expired += 1
    return (*earlier[expired:], Recommendation(inputs.now, count))


def _may_start(inputs: ScalingInput[ScalingSpec], demand: Demand) -> bool:
    """Whether the demand is enough to start a component from zero."""
    threshold = inputs.spec.activation_threshold
    if demand.replicas:
        return True
    if threshold > 0 and demand.queue is not None:
        return demand.queue > threshold
    return bool(demand.queue or demand.arrival_rate)


def stabilize(
    inputs: ScalingInput[ScalingSpec],
    state: ScalingState,
    demand: Demand,
    recommended: int,
    text: str,
) -> ScalingOutput:
    """Return the count to set for the raw count ``recommended``; ``text`` gives its numbers."""
    spec, now, current = inputs.spec, inputs.now, inputs.current
    active = bool(demand.queue or demand.arrival_rate or demand.replicas)
    busy_at = now if active else state.busy_at
    if busy_at is None:
        busy_at = inputs.observing_since
    if demand.incomplete:
        # A source that is silent may hide a larger demand, so the count does not fall.
        recommended = max(recommended, current)
        text += ", a signal is stale: not lowered"
    if spec.min == 0 and recommended == 0 and now - busy_at < spec.idle_seconds:
        recommended = 1 if current > 0 else 0
        if recommended:
            text += f", kept for {spec.idle_seconds:.0f} s after the last demand"
    may_start = _may_start(inputs, demand)
    if current == 0:
        # Nothing queues where nothing serves: an arrival rate, or a backlog above the threshold,
        # is enough.
        recommended = max(recommended, 1) if may_start else 0
        if active and not may_start:
            text += f", stays at zero up to {spec.activation_threshold:g} {demand.unit}"
    recommended = clamp(inputs, recommended)
    history = _recent_recommendations(inputs, recommended)
    state = replace(state, recommendations=history, busy_at=busy_at)
    observed_seconds = now - inputs.observing_since
    up_from = now - spec.scale_up_stabilization_seconds
    down_from = now - spec.scale_down_stabilization_seconds
    desired = current
    if recommended > current:
        up = min(r.desired for r in history if r.at >= up_from)
        if current == 0 and may_start:
            # Nothing serves: waiting for a window would only lengthen the outage.
            desired = min(recommended, spec.max_step_up)
        elif up > current and observed_seconds >= spec.scale_up_stabilization_seconds:
            desired = min(up, current + spec.max_step_up)
        else:
            text += ", held by the scale-up window"
    elif recommended < current:
        down = max(r.desired for r in history if r.at >= down_from)
        if down < current and observed_seconds >= spec.scale_down_stabilization_seconds:
            desired = max(down, current - spec.max_step_down)
        else:
            text += ", held by the scale-down window"
    return ScalingOutput(_decision(inputs, clamp(inputs, desired), text), state)
