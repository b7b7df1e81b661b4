"""The progress deadline: whether a new revision comes up, and if not, why.

ECS calls a deployment complete when its tasks run and pass their health checks. A worker that never
registers in Dynamo's discovery, or a frontend that never lists a model, passes both and serves no
request. A revision is therefore on probation until all of its replicas have stayed ready together
for one discovery lease. Then it is marked good on its service, and becomes the target of rollbacks.
A good revision is not assessed again: if it loses its registration, that is an outage and not a bad
rollout (`planning.healing`).
"""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.drain import seconds_after_sigterm, sets_drain
from ecs_dynamo.model.ecs.task_definition import containers_in
from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.service import good_arn
from ecs_dynamo.model.snapshot import Revision, Task, Unknown
from ecs_dynamo.planning.desired.component import ComponentState, RolloutFailure
from ecs_dynamo.planning.desired.declaration import same_besides_endpoints
from ecs_dynamo.planning.observed.facts import ObservedGraph
from ecs_dynamo.planning.observed.failure_reasons import EXPLANATIONS, lacks_capacity, reason_of
from ecs_dynamo.planning.observed.stopped_tasks import last_failure
from ecs_dynamo.planning.rollout.canary import MAX_BAKE_TIMES_WITHOUT_WORK, assess_canary
from ecs_dynamo.planning.rollout.protection import is_protected

FORGOTTEN_SECONDS = 2700.0
"""ECS keeps stopped tasks for an hour: before one that is older than this there may have been
others."""


def failed_tasks(state: ComponentState, since: float) -> list[Task]:
    """Return the stopped tasks of the revision in force that failed after ``since`` (UTC)."""
    service, stopped = state.service, state.observed.snapshot.stopped
    if service is None or isinstance(stopped, Unknown):
        return []
    return [
        t
        for t in stopped
        if t.task_definition_arn == service.task_definition_arn
        and (t.stopped_at or since) >= since
        and reason_of([t]) is not None
    ]


def assess_rollout(
    observed: ObservedGraph, state: ComponentState, wall: float
) -> RolloutFailure | None:
    """Return why the revision in force has failed, once its progress deadline has passed.

    The deadline counts from the last progress: the first task that got an instance, or the start of
    the newest replica that became ready. Insufficient capacity is not a failure: the rollout waits,
    and CapacityShort is set. A good revision that is deployed again, on another network, is
    assessed, too; there is then no revision to return to. ``wall`` is the time in UTC seconds.
    """
    service, current, primary = state.service, state.current, state.primary
    if (
        service is None
        or current is None
        or primary is None
        or primary.created_at is None
        or state.needs_rollout
        or state.desired == 0
        or (current.number == state.last_good and not _is_redeployed(state))
    ):
        return None
    ready = state.ready_new_tasks
    if len(ready) >= min(state.desired, service.desired):
        return None
    begun = _first_attempt(state, primary.created_at, wall)
    last_progress = max([begun, *(t.started_at or 0.0 for t in ready)])
    canary = assess_canary(state, observed.snapshot, wall)
    lost = canary is not None and canary.is_lost and bool(failed_tasks(state, primary.created_at))
    if not lost and wall - last_progress <= _allowed_seconds(observed, state):
        return None
    if _is_starved(state, primary.created_at) or _is_blameless(observed, state):
        return None
    reason = ConditionReason.CANARY_FAILED if lost else _reason(state, primary.created_at)
    return _failure(observed, state, reason)


def _first_attempt(state: ComponentState, deployed: float, wall: float) -> float:
    """Return when the first task of the rollout got an instance; waiting before is not its fault.

    ECS forgets stopped tasks after an hour, so after an old failure the first attempt is unknown,
    and the start of the deployment counts.
    """
    failed = failed_tasks(state, deployed)
    created = (t.created_at for t in (*state.new_tasks, *failed) if t.created_at is not None)
    is_forgotten = any((t.stopped_at or wall) < wall - FORGOTTEN_SECONDS for t in failed)
    return deployed if is_forgotten else max(deployed, min(created, default=deployed))


def _allowed_seconds(observed: ObservedGraph, state: ComponentState) -> float:
    """Return how long the rollout may take for its next progress.

    Each term is a time in which a healthy rollout makes no visible progress:

    - after a canary is ready, it bakes, for up to two bake times where it gets no request;
    - a new replica may need the slot of an old one that still finishes its requests, before ECS
      stops it and, where Dynamo has the drain time, after SIGTERM: ECS counts the capacity of a
      stopping task as free, and a task that is placed there stays PENDING;
    - old tasks are released only after new ones have stayed ready for a discovery lease.
    """
    graph, ready = observed.graph, state.ready_new_tasks
    spec = state.component.rollout
    allowed = spec.progress_deadline_seconds
    if ready and spec.canary is not None:
        allowed += MAX_BAKE_TIMES_WITHOUT_WORK * spec.canary.bake_seconds
    busy, now = state.observed.busy or frozenset(), observed.snapshot.observed_at
    if ready or any(t.arn in busy and is_protected(t, now) for t in state.old_tasks):
        allowed += graph.drain_seconds(state.component)
    if ready:
        allowed += max(state.observed.lease_seconds(graph, t) for t in ready)
    if sets_drain(graph, state.component) and any(_is_placed(t) for t in state.new_tasks):
        allowed += seconds_after_sigterm(graph, state.component)
    return allowed


def _is_placed(task: Task) -> bool:
    """Return whether the task has its place on an instance and has not started there."""
    return task.last_status == "PENDING" and task.desired_status == "RUNNING"


def _is_starved(state: ComponentState, deployed: float) -> bool:
    """Return whether the rollout only lacks capacity: no task was tried on an instance.

    Old tasks that are kept for a new one that is not ready use capacity, too. That is not a
    shortage, so a task that was tried and is not ready counts as a failure.
    """
    service = state.service
    ready = state.ready_new_tasks
    pending = [t for t in state.new_tasks if t.desired_status == "RUNNING" and t not in ready]
    tried = [t for t in pending if not t.awaits_capacity]
    lacking = service is not None and (lacks_capacity(service) or len(tried) < len(pending))
    return not tried and not failed_tasks(state, deployed) and lacking


def _is_blameless(observed: ObservedGraph, state: ComponentState) -> bool:
    """Return whether a dependency of the component is missing or could not be observed."""
    if state.content is None:  # No etcd, or no NATS, answers.
        return True
    if state.component.is_worker:
        return isinstance(observed.snapshot.registrations, Unknown)
    if not state.component.is_frontend:
        return False
    workers = (c for c in observed.components.values() if c.component.is_worker)
    return any(
        w.snapshot.service is not None
        and not isinstance(w.snapshot.service, Unknown)
        and w.snapshot.service.desired > 0
        and not w.readiness.ready
        for w in workers
    )


def _has_health_check(state: ComponentState) -> bool:
    content = state.current.content if state.current is not None else {}
    return any(c.get("healthCheck") and c.get("essential", True) for c in containers_in(content))


def _reason(state: ComponentState, deployed: float) -> ConditionReason:
    """Return the reason word of a rollout whose deadline has passed."""
    running = [t for t in state.new_tasks if t.last_status == "RUNNING"]
    stopped = reason_of(failed_tasks(state, deployed))
    if stopped is not None:
        return stopped
    if not running:
        return ConditionReason.NOT_RUNNING
    checked = _has_health_check(state)
    if any(t.health == "UNHEALTHY" or (checked and t.health != "HEALTHY") for t in running):
        return ConditionReason.HEALTH_CHECK_FAILED
    if state.component.is_worker:
        return ConditionReason.NEVER_REGISTERED
    if Role.FRONTEND in state.component.roles:
        return ConditionReason.NO_MODEL_LISTED
    return ConditionReason.NO_ANSWER


def _is_redeployed(state: ComponentState) -> bool:
    """Return whether the rollout leads to the same revision, for example on another network."""
    arn = state.service.task_definition_arn if state.service is not None else ""
    return any(t.task_definition_arn == arn for t in state.old_tasks)


def _last_good_revision(state: ComponentState) -> Revision | None:
    """Return the revision that is marked good; without a mark, one whose tasks are ready."""
    service, revisions = state.service, state.observed.snapshot.revisions
    if service is None:
        return None
    marked = revisions.get(good_arn(service) or "")
    if marked is not None and marked.content:  # Without content, it was deleted before it was read.
        return marked
    serving = state.observed.ready(state.old_tasks)
    known = (revisions.get(t.task_definition_arn) for t in serving)
    return max((r for r in known if r is not None), key=lambda r: r.number, default=None)


def _rollback_target(observed: ObservedGraph, state: ComponentState) -> Revision | None:
    """Return the revision to return to; None where another revision would not help."""
    target, current = _last_good_revision(state), state.current
    if target is None or state.component.member is not None:
        # The environment of an etcd member counts only at the first start of that very member.
        return None
    component, endpoints = state.component, observed.endpoints
    if current is not None and (
        target.arn == current.arn
        or same_besides_endpoints(component, target.content, current.content, endpoints)
    ):
        return None  # The two differ only in their endpoints, so the revision is not the cause.
    return target


def _failure(
    observed: ObservedGraph, state: ComponentState, reason: ConditionReason
) -> RolloutFailure:
    deadline = state.component.rollout.progress_deadline_seconds
    message = f"revision {state.fingerprint} was not ready within {deadline:.0f} s"
    if reason is ConditionReason.NOT_RUNNING:
        message = f"revision {state.fingerprint} was not running within {deadline:.0f} s"
    elif reason is ConditionReason.CANARY_FAILED:
        message = f"revision {state.fingerprint}"
    if reason is not ConditionReason.NOT_RUNNING:
        message = f"{message}: {EXPLANATIONS[reason]}"
    if reason in (
        ConditionReason.CRASH_LOOP,
        ConditionReason.START_FAILED,
        ConditionReason.HEALTH_CHECK_FAILED,
        ConditionReason.CANARY_FAILED,
    ):
        primary = state.primary
        deployed = (primary.created_at if primary else None) or 0.0
        detail = last_failure(failed_tasks(state, deployed))
        message = f"{message} ({detail})" if detail else message
    current, target = state.current, _rollback_target(observed, state)
    if current is not None and current.number == state.last_good:
        return RolloutFailure(
            reason,
            f"{message}. The revision was good before: correct its network, names or capacity "
            "providers. Its previous replicas are kept",
        )
    if target is None:
        return RolloutFailure(reason, f"{message}; there is no earlier good revision")
    return RolloutFailure(
        reason,
        f"{message}: back to {target.family}:{target.number}. Fix the task definition",
        target,
    )


def with_rollout_failure(
    observed: ObservedGraph, state: ComponentState, wall: float
) -> ComponentState:
    """Return ``state`` with the assessment of its rollout."""
    return replace(state, rollout_failure=assess_rollout(observed, state, wall))
