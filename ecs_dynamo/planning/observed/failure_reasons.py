"""Why a revision did not come up: reason words, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Task

EXPLANATIONS: Final[Mapping[str, str]] = {
    ConditionReason.CRASH_LOOP: "its tasks exited again and again",
    ConditionReason.START_FAILED: "its tasks failed to start",
    ConditionReason.HEALTH_CHECK_FAILED: "its tasks failed their health check",
    ConditionReason.NEVER_REGISTERED: "its tasks ran but never registered with Dynamo",
    ConditionReason.NO_MODEL_LISTED: "its tasks ran but never listed a model",
    ConditionReason.NO_ANSWER: "its tasks ran but never answered",
    ConditionReason.NOT_RUNNING: "its tasks were not running in time",
    ConditionReason.CANARY_FAILED: "its canary was ready and then failed",
    ConditionReason.ROLLED_BACK: "by `ecs-dynamo rollback`",
}
"""Meaning of each reason word, as the end of a sentence."""

_REBALANCING: Final = ("unable to place a task in ", "to AZ Rebalance", "AZ balanced")
"""Marks of an event of Availability Zone rebalancing (developer guide, "Amazon ECS Availability
Zone service rebalancing service event messages"): "is unable to place a task in (zone) because no
container instance met all of its requirements". It concerns an additional task, so nothing is
short."""


def placement_failure(service: Service) -> str | None:
    """Return ECS's own message if its latest event on placing tasks is a failure."""
    for event in service.events:
        if any(words in event for words in _REBALANCING):
            continue
        if "unable to place a task" in event:
            return event
        if "has started" in event or "steady state" in event:
            return None
    return None


def lacks_capacity(service: Service) -> bool:
    """Return whether ECS finds no instance for a task of the service."""
    return placement_failure(service) is not None


def reason_of(stopped: Iterable[Task]) -> ConditionReason | None:
    """Return the reason word of the newest stopped task that failed; None if none failed."""
    newest: tuple[float, ConditionReason] | None = None
    for task in stopped:
        reason = _reason(task)
        stopped_at = task.stopped_at or 0.0
        if reason is not None and (newest is None or stopped_at >= newest[0]):
            newest = (stopped_at, reason)
    return newest[1] if newest else None


def _reason(task: Task) -> ConditionReason | None:
    if "health check" in (task.stopped_reason or ""):
        return ConditionReason.HEALTH_CHECK_FAILED
    return {
        "EssentialContainerExited": ConditionReason.CRASH_LOOP,
        "TaskFailedToStart": ConditionReason.START_FAILED,
    }.get(task.stop_code or "")
