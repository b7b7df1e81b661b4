"""The declared count, whatever is measured. Schedules may still raise or lower it."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.spec.scaling import StaticScaling
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.stabilization import clamp, hold


def static_policy(inputs: ScalingInput[StaticScaling]) -> ScalingOutput:
    """Return the count of the graph file within the bounds."""
    count = clamp(inputs, inputs.declared)
    return hold(replace(inputs, current=count), inputs.state, "static")
