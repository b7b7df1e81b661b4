"""From a raw wish to a desired count: windows, steps, bounds, and the way to and from zero.

The windows are those of the Kubernetes horizontal pod autoscaler: up to the smallest wish of the
scale-up window, down to the largest of the scale-down window. A fresh daemon has not seen the
window before it, so it looks for a whole one first: a restart never undoes the stabilization.
"""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.memory.scaling import (
    Recommendation,
    ScalingState,
)
from ecs_dynamo.model.plan import Decision
from ecs_dynamo.planning.scaling.demand import Demand
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput


def clamp(given: ScalingInput, count: int) -> int:
    """``count`` within [min, max]."""
    return min(max(count, given.spec.min), given.spec.max)


def _decision(given: ScalingInput, desired: int, text: str, stale: bool = False) -> Decision:
    return Decision(
        component=given.component,
        current=given.current,
        desired=desired,
        reason=f"{given.component} {given.current} -> {desired}: {text}",
        stale=stale,
    )


def hold(given: ScalingInput, state: ScalingState, text: str, stale: bool = False) -> ScalingOutput:
    """Keep the count (within the bounds)."""
    desired = clamp(given, given.current)
    return ScalingOutput(_decision(given, desired, text, stale), state)


def _trimmed(given: ScalingInput, raw: int) -> tuple[Recommendation, ...]:
    """The wishes inside the longer window, with this one."""
    spec = given.spec
    window = max(spec.scale_up_stabilization_seconds, spec.scale_down_stabilization_seconds)
    oldest = max(given.now - window, given.observing_since)
    past = given.state.recommendations
    drop = 0
    while drop < len(past) and past[drop].at < oldest:
        drop += 1
    return (*past[drop:], Recommendation(given.now, raw))


def _awake(given: ScalingInput, demand: Demand) -> bool:
    """Whether a component at zero has reason to start."""
    threshold = given.spec.activation_threshold
    if demand.replicas:
        return True
    if threshold > 0 and demand.queue is not None:
        return demand.queue > threshold
    return bool(demand.queue or demand.arrival_rate)


def settle(
    given: ScalingInput, state: ScalingState, demand: Demand, raw: int, text: str
) -> ScalingOutput:
    """The count to set for the wish ``raw``; ``text`` gives its numbers in words."""
    spec, now, current = given.spec, given.now, given.current
    active = bool(demand.queue or demand.arrival_rate or demand.replicas)
    busy_at = now if active else state.busy_at
    if busy_at is None:
        busy_at = given.observing_since
    if demand.incomplete:
        # A source that is silent may hide the larger demand: never below what runs.
        raw = max(raw, current)
        text += ", a signal is stale: not lowered"
    if spec.min == 0 and raw == 0 and now - busy_at < spec.idle_seconds:
        raw = 1 if current > 0 else 0
        text += f", kept for {spec.idle_seconds:.0f} s after the last demand" if raw else ""
    awake = _awake(given, demand)
    if current == 0:
        # Nothing queues where nothing serves: a rate, or more than the threshold, is enough.
        raw = max(raw, 1) if awake else 0
        if active and not awake:
            text += f", stays at zero up to {spec.activation_threshold:g} {demand.unit}"
    raw = clamp(given, raw)
    history = _trimmed(given, raw)
    state = replace(state, recommendations=history, busy_at=busy_at)
    watched = now - given.observing_since
    up_from = now - spec.scale_up_stabilization_seconds
    down_from = now - spec.scale_down_stabilization_seconds
    desired = current
    if raw > current:
        up = min(r.desired for r in history if r.at >= up_from)
        if current == 0 and awake:
            # Nothing serves: waiting for a window would only lengthen the outage.
            desired = min(raw, spec.max_step_up)
        elif up > current and watched >= spec.scale_up_stabilization_seconds:
            desired = min(up, current + spec.max_step_up)
        else:
            text += ", held by the scale-up window"
    elif raw < current:
        down = max(r.desired for r in history if r.at >= down_from)
        if down < current and watched >= spec.scale_down_stabilization_seconds:
            desired = max(down, current - spec.max_step_down)
        else:
            text += ", held by the scale-down window"
    return ScalingOutput(_decision(given, clamp(given, desired), text), state)
