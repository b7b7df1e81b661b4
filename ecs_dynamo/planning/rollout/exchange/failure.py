"""Why a new generation is withdrawn: it does not come up, or its workers die or hang.

ECS's circuit breaker watches deployments only. Replicas that are added later by the desired count
are started again indefinitely, so every step of an exchange is judged here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.generations import GenerationFailure
from ecs_dynamo.model.plan import Memory
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.failure_reasons import reason_of
from ecs_dynamo.planning.observed.lookup import short_id
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout.progress_deadline import failed_tasks

MIN_FAILURES = 3
"""Failed tasks after which a generation is withdrawn: the least number of ECS's circuit breaker
(ECS developer guide, "How the Amazon ECS deployment circuit breaker detects failures")."""
LOST_SECONDS = 5.0
"""A worker that was ready, and has not been for this long, is lost. Readiness itself allows for
pages that are silent for a moment."""


def find_failure(
    observed: ObservedGraph,
    states: Iterable[ComponentState],
    unready_since: Mapping[str, float],
    monotonic: float,
) -> GenerationFailure | None:
    """Return why the declared generation has failed; None if it has not, or nothing else serves.

    ``unready_since``: see `unready_workers`, in ``monotonic`` seconds. A generation
    that has been good before is not judged again: if it loses workers later, they are replaced.
    """
    generations = observed.graph.generations
    generation = generations.declared
    if generation is None or generations.target != generation or generations.previous is None:
        return None
    own = [s for s in states if s.component.generation == generation and s.service is not None]
    if all(s.last_good is not None for s in own):
        return None
    for state in own:
        failure = _failure_of(state, unready_since, monotonic)
        if failure is not None:
            reason, message = failure
            return GenerationFailure(generation, reason, f"{state.component.origin}: {message}")
    return None


def _failure_of(
    state: ComponentState, unready_since: Mapping[str, float], monotonic: float
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
    lost = _lost_task(state, unready_since, monotonic)
    if lost is not None:
        task, seconds = lost
        return (
            ConditionReason.NO_ANSWER,
            f"its task {short_id(task.arn)} was ready, and has not been for {seconds:.0f} s",
        )
    return None


def _lost_task(
    state: ComponentState, unready_since: Mapping[str, float], monotonic: float
) -> tuple[Task, float] | None:
    """Return a running worker that was ready and is not for too long, and for how many seconds."""
    for task in state.observed.running:
        since = unready_since.get(task.arn)
        if since is not None and monotonic - since >= LOST_SECONDS:
            return task, monotonic - since
    return None


def unready_workers(
    observed: ObservedGraph, memory: Memory, monotonic: float
) -> Mapping[str, float]:
    """Return since when running workers that were ready are not any longer, by task ARN.

    While discovery cannot be read, what is known stays as it is.
    """
    if isinstance(observed.snapshot.registrations, Unknown):
        return memory.unready_since
    before = memory.ready_since.keys() | memory.unready_since.keys()
    return {
        task.arn: memory.unready_since.get(task.arn, monotonic)
        for facts in observed.components.values()
        if facts.component.is_worker
        for task in facts.running
        if task.arn in before and task.arn not in facts.readiness.may_serve
    }
