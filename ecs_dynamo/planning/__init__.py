"""Deciding: pure functions over frozen values. No I/O, no clock, no randomness, no logging."""

from ecs_dynamo.planning.describe import (
    describe,
    describe_action,
)
from ecs_dynamo.planning.down import down
from ecs_dynamo.planning.observed.endpoints import (
    probe_targets,
    resolve_endpoints,
)
from ecs_dynamo.planning.planner import plan

__all__ = ["describe", "describe_action", "down", "plan", "probe_targets", "resolve_endpoints"]
