"""Names of `ecs_dynamo.simulate.traces` under their earlier module."""

from ecs_dynamo.simulate.traces.families import GENERATORS
from ecs_dynamo.simulate.traces.reading import load_trace
from ecs_dynamo.simulate.traces.trace import Trace

__all__ = ["GENERATORS", "Trace", "load_trace"]
