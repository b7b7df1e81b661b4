"""The scaling policies by the class of their parameters: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecs_dynamo.model.spec.scaling import QueueScaling, ScalingSpec, SloScaling, StaticScaling
from ecs_dynamo.planning.scaling.policies.queue import queue_policy
from ecs_dynamo.planning.scaling.policies.slo import slo_policy
from ecs_dynamo.planning.scaling.policies.static import static_policy
from ecs_dynamo.planning.scaling.policy import Policy, ScalingInput, ScalingOutput

POLICIES: Mapping[type[ScalingSpec], Policy[Any]] = {
    SloScaling: slo_policy,
    QueueScaling: queue_policy,
    StaticScaling: static_policy,
}


def decide(inputs: ScalingInput[ScalingSpec]) -> ScalingOutput:
    """Decide by the policy whose parameters ``inputs.spec`` holds."""
    return POLICIES[type(inputs.spec)](inputs)
