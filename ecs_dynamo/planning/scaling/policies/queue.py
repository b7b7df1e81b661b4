"""Scaling from queue depth alone: as many replicas as keep the depth at ``target`` for each.

The rule is that of the Kubernetes horizontal pod autoscaler (desired = ceil(current * value /
target value), with tolerance and stabilization windows), on a backlog instead of a utilisation, so
the ratio is simply depth / target. Its price: it sees demand only once it queues; it knows
nothing of cold starts.
"""

from __future__ import annotations

import math

from ecs_dynamo.planning.scaling.demand import Demand, read_demand
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.stabilization import (
    hold,
    settle,
)


def wish(given: ScalingInput, demand: Demand) -> tuple[int, str]:
    """The raw count for a queue depth, and its numbers in words."""
    spec, depth = given.spec, demand.queue or 0.0
    wanted = demand.replicas or 0.0
    near = given.current > 0 and abs(depth / (spec.target * given.current) - 1) <= spec.tolerance
    raw = given.current if near else math.ceil(depth / spec.target)
    text = f"{depth:g} {demand.unit} queued, target {spec.target:g} per replica"
    if wanted:
        text += f", the planner wants {wanted:g}"
    raw = max(raw, math.ceil(wanted))
    return raw, f"{text}, wants {raw}"


def queue_policy(given: ScalingInput) -> ScalingOutput:
    """Decide from the largest fresh queue depth; hold where every signal is stale or missing."""
    demand = read_demand(given)
    if demand.why_not is not None:
        return hold(given, given.state, demand.why_not, stale=True)
    raw, text = wish(given, demand)
    return settle(given, given.state, demand, raw, text)
