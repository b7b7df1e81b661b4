"""Scaling from the queue depth alone: as many replicas as keep ``target`` requests for each.

This is the rule of the Kubernetes horizontal pod autoscaler (desired = ceil(current * value /
target value), with tolerance and stabilization windows), applied to a backlog instead of a
utilization, so the ratio is simply depth / target. Its price is that it notices demand only once
requests queue, and that it knows nothing of cold starts.
"""

from __future__ import annotations

import math

from ecs_dynamo.model.spec.scaling import QueueScaling, SloScaling
from ecs_dynamo.planning.scaling.demand import read_demand
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.stabilization import hold, stabilize


def recommend(inputs: ScalingInput[QueueScaling | SloScaling], demand: Demand) -> tuple[int, str]:
    """Return the raw count for a queue depth, and a text that gives its numbers."""
    spec, depth = inputs.spec, demand.queue or 0.0
    planned = demand.replicas or 0.0
    near = inputs.current > 0 and abs(depth / (spec.target * inputs.current) - 1) <= spec.tolerance
    count = inputs.current if near else math.ceil(depth / spec.target)
    text = f"{depth:g} {demand.unit} queued, target {spec.target:g} per replica"
    if planned:
        text += f", the planner wants {planned:g}"
    count = max(count, math.ceil(planned))
    return count, f"{text}, wants {count}"


def queue_policy(inputs: ScalingInput[QueueScaling]) -> ScalingOutput:
    """Decide from the largest fresh queue depth; hold if every signal is stale or missing."""
    demand = read_demand(inputs)
    if demand.why_stale is not None:
        return hold(inputs, inputs.state, demand.why_stale, stale=True)
    count, text = recommend(inputs, demand)
    return stabilize(inputs, inputs.state, demand, count, text)
