"""Decisions: pure functions over frozen values, without I/O, clock, randomness or logging.

`planner.plan` reads from top to bottom: observed facts, desired states, then an ordered tuple of
rules, each of which reads one context and returns the plan with its additions.
"""

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
