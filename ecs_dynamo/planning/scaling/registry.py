"""The scaling policies by name: one line each."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.planning.scaling.policy import Policy
from ecs_dynamo.planning.scaling.queue import queue_policy

POLICIES: Mapping[str, Policy] = {
    "queue": queue_policy,
}
