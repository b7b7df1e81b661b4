"""The declared count, whatever is measured; schedules may still lift or lower it."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.stabilization import (
    clamp,
    hold,
)


def static_policy(given: ScalingInput) -> ScalingOutput:
    """The count of the graph file within the bounds."""
    count = clamp(given, given.declared)
    return hold(replace(given, current=count), given.state, "static")
