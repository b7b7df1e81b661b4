"""Why a new generation is withdrawn: it does not come up, or its workers die or hang.

ECS's circuit breaker watches deployments only. Replicas that are added later by the desired count
are started again indefinitely, so every step of an exchange is judged here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.exchange import GenerationFailure
from ecs_dynamo.model.snapshot import Task
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.failure_reasons import reason_of
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout.progress_deadline import failed_tasks

MIN_FAILURES = 3
"""Failed tasks after which a generation is withdrawn: the least number of ECS's circuit breaker
(ECS developer guide, "How the Amazon ECS deployment circuit breaker detects failures")."""
SILENT_LEASES = 1.5
"""A worker that answered before and has been silent for this many discovery leases hangs."""


def find_failure(
    observed: ObservedGraph, states: Iterable[ComponentState]
) -> GenerationFailure | None:
    """Return why the declared generation has failed; None if it has not, or nothing else serves.

    A generation that has been good before is not judged again: if it loses workers later, they are
    replaced.
    """
    generations = observed.graph.generations
    generation = generations.declared
    if generation is None or generations.target != generation or generations.previous is None:
        return None
    own = [s for s in states if s.component.generation == generation and s.service is not None]
    if all(s.last_good is not None for s in own):
        return None
    for state in own:
        failure = _failure_of(observed, state)
        if failure is not None:
            reason, message = failure
            return GenerationFailure(generation, reason, f"{state.component.origin}: {message}")
    return None


def _failure_of(
    observed: ObservedGraph, state: ComponentState
) -> tuple[ConditionReason, str] | None:
    if state.rollout_failure is not None:
        return state.rollout_failure.reason, state.rollout_failure.message
    primary, service = state.primary, state.service
    since = (primary.created_at if primary is not None else None) or 0.0
    failed = failed_tasks(state, since)
    threshold = max(MIN_FAILURES, math.ceil(service.desired / 2 if service is not None else 0))
    if len(failed) >= threshold or (state.rejected_by_ecs and failed):
        reason = reason_of(failed) or ConditionReason.CRASH_LOOP
        return reason, f"{len(failed)} of its tasks failed ({last_failure(failed)})"
    if state.rejected_by_ecs:
        return ConditionReason.ROLLOUT_FAILED, "ECS gave up on its deployment"
    hanging = _hanging_task(observed, state)
    if hanging is not None:
        seconds = observed.attribution.silent[hanging.arn].seconds
        return ConditionReason.NO_ANSWER, f"a worker has not answered for {seconds:.0f} s"
    return None


def _hanging_task(observed: ObservedGraph, state: ComponentState) -> Task | None:
    """Return a running worker that answered before and has been silent for too long."""
    for task in state.observed.running:
        silent = observed.attribution.silent.get(task.arn)
        lease = state.observed.lease_seconds(observed.graph, task)
        if silent is None or silent.last is None:
            continue
        if silent.seconds >= SILENT_LEASES * lease:
            return task
    return None
