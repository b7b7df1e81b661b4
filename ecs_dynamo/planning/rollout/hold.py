"""Holds: a component keeps its running revision because ECS or a person rolled back another one.

A hold applies to the declaration, not to one rendering of it: endpoints that move meanwhile are
written into the running revision, so a component on hold follows them like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, TAG_ROLLED_BACK_FOR
from ecs_dynamo.model.plan import Cause, Endpoints, Memory
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.context import Failures
from ecs_dynamo.planning.desired.declaration import with_endpoints
from ecs_dynamo.planning.observed.failure_reasons import EXPLANATIONS, reason_of
from ecs_dynamo.planning.observed.stopped_tasks import last_failure


def _stopped_tasks(state: ComponentState) -> list[Task]:
    """Return the stopped tasks of the declared revision."""
    revision, stopped = state.matching_revision, state.observed.snapshot.stopped
    if revision is None or isinstance(stopped, Unknown):
        return []
    return [t for t in stopped if t.task_definition_arn == revision.arn]


def _cause(state: ComponentState, memory: Memory) -> Cause | None:
    """Return why the tasks of the declared revision failed.

    The memory keeps the cause for longer than ECS keeps stopped tasks.
    """
    stopped = _stopped_tasks(state)
    reason, detail = reason_of(stopped), last_failure(stopped)
    if reason is not None and detail is not None:
        return Cause(state.declared, reason, detail)
    known = memory.causes.get(state.name)
    return known if known is not None and known.declared == state.declared else None


def _reason_of_ecs(state: ComponentState, cause: Cause | None) -> str:
    """Return the reason word for a deployment that ECS itself gave up."""
    if cause is not None:
        return cause.word
    deployments = state.service.deployments if state.service else ()
    failed = [d.rollout_reason for d in deployments if d.rollout_state == "FAILED"]
    if any("health check" in text for text in failed):
        return ConditionReason.HEALTH_CHECK_FAILED
    return ConditionReason.ROLLOUT_FAILED


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    message: str


def _failure(
    state: ComponentState, cause: Cause | None, remembered: Mapping[str, str]
) -> _Failure | None:
    """Return why a component is on hold; None if it is not."""
    service, failure = state.service, state.rollout_failure
    if service is not None and service.tags.get(TAG_ROLLED_BACK) == state.declared:
        return _rolled_back(service.tags.get(TAG_ROLLED_BACK_FOR), cause)
    if failure is not None and failure.rollback_target is not None:
        return _Failure(failure.reason, failure.message)
    if remembered.get(state.name) == state.declared:
        reason = _reason_of_ecs(state, cause)
        why = EXPLANATIONS.get(reason, "its tasks failed") + (f": {cause.detail}" if cause else "")
        return _Failure(
            reason,
            f"ECS gave up on revision {state.fingerprint} of {state.component.family} "
            f"({why}); the previous revision is kept. Fix the task definition",
        )
    return None


def _rolled_back(tagged_reason: str | None, cause: Cause | None) -> _Failure:
    """Return the failure of a declaration that the service's tags put on hold."""
    reason = ConditionReason.ROLLED_BACK if tagged_reason is None else tagged_reason
    why = EXPLANATIONS.get(reason, reason)
    if reason not in (ConditionReason.ROLLED_BACK, ConditionReason.CANARY_FAILED):
        why = f"it missed its progress deadline: {why}"
    if reason != ConditionReason.ROLLED_BACK and cause is not None:
        why = f"{why}: {cause.detail}"
    return _Failure(
        reason,
        f"rolled back ({why}); on hold until its declaration changes or "
        "`ecs-dynamo rollback --clear` is run",
    )


def find_failures(states: tuple[ComponentState, ...], memory: Memory) -> Failures:
    """Return which declarations failed or were rolled back, and why."""
    rejected = (s for s in states if s.rejected_by_ecs or s.rollback_target is not None)
    remembered = {**memory.failed, **{s.name: s.declared for s in rejected}}
    causes = {s.name: cause for s in states if (cause := _cause(s, memory)) is not None}
    failures = {
        s.name: failure
        for s in states
        if (failure := _failure(s, causes.get(s.name), remembered)) is not None
    }
    return Failures(
        remembered=remembered,
        messages={name: failure.message for name, failure in failures.items()},
        reasons={name: failure.reason for name, failure in failures.items()},
        causes=causes,
    )


def put_on_hold(state: ComponentState, endpoints: Endpoints) -> ComponentState:
    """Return ``state`` with the running revision as the desired one, at the current endpoints."""
    current, service = state.rollback_target or state.current, state.service
    if service is not None and state.component.settings.network is not None:
        settings = replace(state.component.settings, network=service.settings.network)
        state = replace(state, component=replace(state.component, settings=settings))
    if current is None or state.content is None or not current.content:
        return replace(state, content=None, fingerprint=None)
    content = current.content
    if not state.component.is_infrastructure:
        names = dynamo_containers(state.component).names
        content = with_endpoints(content, endpoints, names)
    same = content is current.content and current.fingerprint is not None
    digest = current.fingerprint if same else fingerprint(content)
    return replace(state, content=content, fingerprint=digest)
