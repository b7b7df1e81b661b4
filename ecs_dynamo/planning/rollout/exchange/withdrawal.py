"""A generation that was withdrawn: it is on hold until the declaration changes."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.plan import Memory
from ecs_dynamo.planning.desired.context import Failures
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.failure_reasons import EXPLANATIONS


def with_withdrawal(observed: ObservedGraph, failures: Failures, memory: Memory) -> Failures:
    """Return ``failures`` with those of all workers whose declared generation was withdrawn.

    The ``memory`` knows why its tasks failed, for longer than ECS does.
    """
    graph = observed.graph
    generations = graph.generations
    reason = generations.withdrawn
    if reason is None or generations.target == generations.declared:
        return failures
    why = EXPLANATIONS.get(reason, reason)
    known = memory.withdrawal
    if known is not None and known.generation == generations.declared:
        why = known.message
    message = (
        f"generation {generations.declared} is withdrawn ({why}); "
        f"generation {generations.target or generations.previous} serves. It is on hold until a "
        "worker's declaration changes or `ecs-dynamo rollback --clear` is run"
    )
    names = [c.name for c in graph.components if c.is_worker and not c.declared_name]
    return replace(
        failures,
        messages={**failures.messages, **dict.fromkeys(names, message)},
        reasons={**failures.reasons, **dict.fromkeys(names, reason)},
    )
