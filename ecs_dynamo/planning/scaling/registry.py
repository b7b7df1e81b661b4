"""The scaling policies by name: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.planning.scaling.policy import Policy
from ecs_dynamo.planning.scaling.queue import queue_policy
from ecs_dynamo.planning.scaling.slo import slo_policy
from ecs_dynamo.planning.scaling.static import static_policy

POLICIES: Mapping[str, Policy] = {
    "slo": slo_policy,
    "queue": queue_policy,
    "static": static_policy,
}
