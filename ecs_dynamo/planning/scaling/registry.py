"""The scaling policies by name: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.planning.scaling.policies.queue import queue_policy
from ecs_dynamo.planning.scaling.policies.slo import slo_policy
from ecs_dynamo.planning.scaling.policies.static import static_policy
from ecs_dynamo.planning.scaling.policy import Policy

POLICIES: Mapping[str, Policy] = {
    "slo": slo_policy,
    "queue": queue_policy,
    "static": static_policy,
}
