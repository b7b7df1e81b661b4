"""Scaling from queue depth: as many replicas as keep the depth at ``target`` for each.

The rule is that of the Kubernetes horizontal pod autoscaler (desired = ceil(current * value /
target value), with tolerance and stabilization windows), on a backlog instead of a utilisation, so
the ratio is simply depth / target. Its price: it sees demand only once it queues; it knows
nothing of cold starts.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.plan import Decision, Recommendation
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput


def _held(given: ScalingInput, reason: str, stale: bool) -> ScalingOutput:
    spec = given.spec
    desired = min(max(given.current, spec.min), spec.max)
    return ScalingOutput(
        Decision(
            component=given.component,
            current=given.current,
            desired=desired,
            reason=f"{given.component} {given.current} -> {desired}: {reason}",
            stale=stale,
        ),
        _within(given),
    )


def _within(given: ScalingInput) -> tuple[Recommendation, ...]:
    """History inside the longer window, and never from before observation began."""
    spec = given.spec
    window = max(spec.scale_up_stabilization_seconds, spec.scale_down_stabilization_seconds)
    oldest = max(given.now - window, given.observing_since)
    return tuple(r for r in given.history if r.at >= oldest)


def queue_policy(given: ScalingInput) -> ScalingOutput:
    """Decide from the largest fresh queue depth; hold where every signal is stale or missing."""
    spec = given.spec
    fresh = [s for s in given.signals if s.age(given.now) <= spec.max_signal_age_seconds]
    if not fresh:
        ages = [s.age(given.now) for s in given.signals]
        what = f"newest signal is {min(ages):.0f} s old" if ages else "no signal"
        return _held(
            given, f"held, {what} (at most {spec.max_signal_age_seconds:.0f} s)", stale=True
        )
    signal = max(fresh, key=lambda s: s.value)
    allowed = spec.target * max(given.current, 1)
    if given.current > 0 and abs(signal.value / allowed - 1.0) <= spec.tolerance:
        raw = given.current
    else:
        raw = math.ceil(signal.value / spec.target)
    raw = min(max(raw, spec.min), spec.max)
    history = (*_within(given), Recommendation(given.now, raw))

    up_from = given.now - spec.scale_up_stabilization_seconds
    down_from = given.now - spec.scale_down_stabilization_seconds
    up = min(r.desired for r in history if r.at >= up_from)
    down = max(r.desired for r in history if r.at >= down_from)
    numbers = (
        f"{signal.value:g} {signal.unit} queued, target {spec.target:g} per replica, wants {raw}"
    )
    # A fresh daemon has not seen the window before it: it must look for a whole one first, in
    # either direction, or a restart would undo the stabilization.
    seen_up = given.now - given.observing_since >= spec.scale_up_stabilization_seconds
    seen_down = given.now - given.observing_since >= spec.scale_down_stabilization_seconds
    desired = given.current
    if up > given.current:
        if seen_up:
            desired = min(up, given.current + spec.max_step_up)
        else:
            numbers += ", held until the scale-up window was observed"
    elif down < given.current:
        if seen_down:
            desired = max(down, given.current - spec.max_step_down)
        else:
            numbers += ", held until the scale-down window was observed"
    elif raw != given.current:
        numbers += ", held by the stabilization window"
    desired = min(max(desired, spec.min), spec.max)
    return ScalingOutput(
        Decision(
            component=given.component,
            current=given.current,
            desired=desired,
            reason=f"{given.component} {given.current} -> {desired}: {numbers}",
        ),
        history,
    )
