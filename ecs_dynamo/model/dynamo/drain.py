"""How long Dynamo's processes finish requests after SIGTERM, and the ``stopTimeout`` for that.

Dynamo 1.6.1 (its source, and measured):

- A worker of vLLM, SGLang or TensorRT-LLM unregisters and serves its running requests for the grace
  period, which it waits for even without any request; 5 s without the variable
  (``common/utils/graceful_shutdown.py``). vLLM then aborts what is left (``vllm/handlers.py``).
- Every process then waits for running requests for at most the runtime timeout; 900 s without the
  variable. The mock engine of Dynamo has no other drain: it does not read the grace period.
- A frontend completes the responses that have begun, and exits at once if there are none. The HTTP
  timeout, 5 s without the variable, ends its first stage only.
- The HTTP and the runtime timeout are whole numbers. Any other value is ignored, without a message.

ECS sends SIGKILL after ``stopTimeout``. Its valid values are 2 to 120 s on Fargate. On EC2 no
maximum is documented, and without a value the agent's ``ECS_CONTAINER_STOP_TIMEOUT`` applies, or
else 30 s (ECS API reference, ContainerDefinition).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ecs_dynamo.model.dynamo.variables import (
    GRACE_VARIABLE,
    HTTP_DRAIN_VARIABLE,
    RUNTIME_DRAIN_VARIABLE,
)
from ecs_dynamo.model.generations import frontend_prefix
from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.spec.service import LaunchType

STOP_MARGIN_SECONDS = 10
"""By how much ``stopTimeout`` exceeds the drain: the engine stops and the process exits."""
MAX_FARGATE_STOP_SECONDS = 120
MAX_FARGATE_DRAIN_SECONDS = MAX_FARGATE_STOP_SECONDS - STOP_MARGIN_SECONDS
DEFAULT_STOP_SECONDS = 30
"""ECS's ``stopTimeout`` where neither the task definition nor an agent sets another."""


def sets_drain(graph: Graph, component: Component) -> bool:
    """Return whether the drain time is rendered into the component's task definition.

    It is where the component declares one, and where generations are in force. Elsewhere the
    content stays as it was before this existed: additional variables would roll every replica of
    every running graph at an upgrade.
    """
    has_prefix = frontend_prefix(graph.namespace, graph.generations.mode) is not None
    return (
        component.drain_seconds is not None
        or component.generation is not None
        or (component.is_frontend and has_prefix)
    )


def drain_variables(component: Component) -> tuple[str, ...]:
    """Return the variables that the processes of the component's roles obey."""
    workers = (GRACE_VARIABLE,) if component.is_worker else ()
    frontends = (HTTP_DRAIN_VARIABLE,) if component.is_frontend else ()
    return (*workers, *frontends, RUNTIME_DRAIN_VARIABLE)


def seconds_after_sigterm(graph: Graph, component: Component) -> int:
    """Return the whole seconds in which a replica finishes its requests after SIGTERM.

    That is the drain time, but at most what Fargate allows.
    """
    drain = math.ceil(graph.drain_seconds(component))
    if component.launch_type is LaunchType.FARGATE:
        return min(drain, MAX_FARGATE_DRAIN_SECONDS)
    return drain


def drain_environment(graph: Graph, component: Component) -> dict[str, str]:
    """Return the variables of the component's drain time; empty if it is not rendered."""
    if not sets_drain(graph, component):
        return {}
    seconds = str(seconds_after_sigterm(graph, component))
    return dict.fromkeys(drain_variables(component), seconds)


def parse_seconds(name: str, text: str) -> float | None:
    """Return the seconds that Dynamo reads from a variable; None if it ignores the value.

    Only the grace period may have a fraction.
    """
    if name != GRACE_VARIABLE:
        return float(text) if text.isascii() and text.isdigit() else None
    try:
        seconds = float(text)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def with_stop_timeout(
    graph: Graph, component: Component, container: dict[str, Any]
) -> dict[str, Any]:
    """Return a rendered container whose ``stopTimeout`` exceeds each of its drain variables.

    A larger value of the user is kept. On Fargate the result is at most its maximum.
    """
    if not sets_drain(graph, component):
        return container
    needed = required_stop_timeout(component, container)
    own = container.get("stopTimeout")
    timeout = max(DEFAULT_STOP_SECONDS if own is None else own, needed)
    return {**container, "stopTimeout": timeout}


def required_stop_timeout(component: Component, container: Mapping[str, Any]) -> int:
    """Return the ``stopTimeout`` that the container's drain variables need, in seconds."""
    variables = drain_variables(component)
    entries = {e.get("name"): e.get("value", "") for e in container.get("environment") or ()}
    values = (parse_seconds(name, entries[name]) for name in variables if name in entries)
    longest = max((value for value in values if value is not None), default=0.0)
    needed = math.ceil(longest) + STOP_MARGIN_SECONDS
    is_fargate = component.launch_type is LaunchType.FARGATE
    return min(needed, MAX_FARGATE_STOP_SECONDS) if is_fargate else needed
