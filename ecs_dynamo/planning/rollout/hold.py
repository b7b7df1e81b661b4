"""Holding a component back from its declared revision, because ECS or a person took it back.

What is held is the declaration, not one rendering of it: endpoints that move meanwhile are written
into the revision that runs, so a held component follows them as any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.graph import (
    TAG_ROLLED_BACK,
    TAG_ROLLED_BACK_FOR,
)
from ecs_dynamo.model.plan import Cause, Endpoints, Memory
from ecs_dynamo.model.snapshot import Task, Unknown
from ecs_dynamo.model.spec.service import NetworkSpec
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.declaration import repoint
from ecs_dynamo.planning.desired.fingerprint import fingerprint
from ecs_dynamo.planning.observed.failure_reasons import (
    CANARY_LOST,
    HEALTH_CHECK,
    ROLLED_BACK,
    ROLLOUT_FAILED,
    WORDS,
    reason_of,
)
from ecs_dynamo.planning.observed.stopped_tasks import last_failure


@dataclass(frozen=True, slots=True)
class Failures:
    """``remembered``: declarations not to be tried again. Of those that are still declared:
    ``told`` in a sentence, ``reasons`` in a word. ``causes``: what their tasks failed of."""

    remembered: Mapping[str, str]
    told: Mapping[str, str]
    reasons: Mapping[str, str]
    causes: Mapping[str, Cause]


def _failed_tasks(state: ComponentState) -> list[Task]:
    """The stopped tasks of the declared revision."""
    revision, stopped = state.matching_revision, state.observed.stopped
    if revision is None or isinstance(stopped, Unknown):
        return []
    return [t for t in stopped if t.task_definition_arn == revision.arn]


def _cause(state: ComponentState, memory: Memory) -> Cause | None:
    """What the tasks of the declared revision failed of, also when ECS has forgotten them."""
    failed = _failed_tasks(state)
    word, detail = reason_of(failed), last_failure(failed)
    if word is not None and detail is not None:
        return Cause(state.declared, word, detail)
    known = memory.causes.get(state.component.name)
    return known if known is not None and known.declared == state.declared else None


def _given_up(state: ComponentState, cause: Cause | None) -> str:
    """The reason word of a deployment that ECS itself gave up."""
    failed = {
        d.task_definition_arn: d.rollout_reason
        for d in (state.service.deployments if state.service else ())
        if d.rollout_state == "FAILED"
    }
    if cause is not None:
        return cause.word
    if any("health check" in text for text in failed.values()):
        return HEALTH_CHECK
    return ROLLOUT_FAILED


def find_failures(wanted: tuple[ComponentState, ...], memory: Memory) -> Failures:
    """Which declarations were given up, and why."""
    remembered = dict(memory.failed)
    told: dict[str, str] = {}
    reasons: dict[str, str] = {}
    causes: dict[str, Cause] = {}
    for one in wanted:
        name, service, verdict = one.component.name, one.service, one.rollout_failure
        cause = _cause(one, memory)
        if cause is not None:
            causes[name] = cause
        if one.rejected_by_ecs or one.rollback_target is not None:
            remembered[name] = one.declared
        if service is not None and service.tags.get(TAG_ROLLED_BACK) == one.declared:
            word = service.tags.get(TAG_ROLLED_BACK_FOR, ROLLED_BACK)
            why = WORDS.get(word, word)
            if word not in (ROLLED_BACK, CANARY_LOST):
                why = f"it missed its progress deadline: {why}"
            if word != ROLLED_BACK and cause is not None:
                why = f"{why}: {cause.detail}"
            reasons[name] = word
            told[name] = (
                f"rolled back ({why}); "
                "held until its declaration changes, or `ecs-dynamo rollback --clear`"
            )
        elif verdict is not None and verdict.rollback_target is not None:
            told[name], reasons[name] = verdict.message, verdict.reason
        elif remembered.get(name) == one.declared:
            reasons[name] = word = _given_up(one, cause)
            why = WORDS.get(word, "its tasks failed") + (f": {cause.detail}" if cause else "")
            told[name] = (
                f"ECS gave up on revision {one.fingerprint} of {one.component.family} "
                f"({why}); the former one is kept. Fix its task definition"
            )
    return Failures(remembered, told, reasons, causes)


def hold(state: ComponentState, endpoints: Endpoints) -> ComponentState:
    """``one`` with what runs now as what is wanted, at the present endpoints."""
    current, service = state.rollback_target or state.current, state.service
    if service is not None:
        network = service.settings.network or NetworkSpec()
        state = replace(state, component=replace(state.component, network=network))
    if current is None or state.content is None or not current.content:
        return replace(state, content=None, fingerprint=None)
    content = current.content
    if not state.component.is_infrastructure:
        names = dynamo_containers(state.component).names
        content = repoint(content, endpoints, names)
    same = content is current.content and current.fingerprint is not None
    return replace(
        state, content=content, fingerprint=current.fingerprint if same else fingerprint(content)
    )
