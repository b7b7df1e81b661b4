"""Why a revision did not come up, in one word each and in words a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Task

CRASH_LOOP = "CrashLoop"
START_FAILED = "StartFailed"
HEALTH_CHECK = "HealthCheckFailed"
NEVER_REGISTERED = "NeverRegistered"
NO_MODEL = "NoModelListed"
NO_ANSWER = "NoAnswer"
NOT_RUNNING = "NotRunning"
CANARY_LOST = "CanaryFailed"
ROLLED_BACK = "RolledBack"
ROLLOUT_FAILED = "RolloutFailed"

WORDS: Mapping[str, str] = {
    CRASH_LOOP: "its tasks exited again and again",
    START_FAILED: "its tasks failed to start",
    HEALTH_CHECK: "its tasks failed their health check",
    NEVER_REGISTERED: "its tasks ran but never registered with Dynamo",
    NO_MODEL: "its tasks ran but never listed a model",
    NO_ANSWER: "its tasks ran but never answered",
    NOT_RUNNING: "its tasks were not running in time",
    CANARY_LOST: "its canary was ready and then failed",
    ROLLED_BACK: "by `ecs-dynamo rollback`",
}
"""What each reason word means, as the end of a sentence."""


_REBALANCING = ("unable to place a task in ", "to AZ Rebalance", "AZ balanced")
"""What marks an event of Availability Zone rebalancing (developer guide, "Amazon ECS Availability
Zone service rebalancing service event messages"): "is unable to place a task in (zone) because no
container instance met all of its requirements". It is about a task that is one too many anyway."""


def placement_failure(service: Service) -> str | None:
    """ECS's own words where it looks for a place in vain, by its latest event on placing tasks."""
    for event in service.events:
        if any(words in event for words in _REBALANCING):
            continue
        if "unable to place a task" in event:
            return event
        if "has started" in event or "steady state" in event:
            return None
    return None


def lacks_place(service: Service) -> bool:
    """ECS looks for a place in vain."""
    return placement_failure(service) is not None


def reason_of(stopped: Iterable[Task]) -> str | None:
    """The reason word that fits the newest of stopped tasks; None where none failed."""
    newest: tuple[float, str] | None = None
    for task in stopped:
        word = _reason(task)
        at = task.stopped_at or 0.0
        if word is not None and (newest is None or at >= newest[0]):
            newest = (at, word)
    return newest[1] if newest else None


def _reason(task: Task) -> str | None:
    if "health check" in (task.stopped_reason or ""):
        return HEALTH_CHECK
    return {"EssentialContainerExited": CRASH_LOOP, "TaskFailedToStart": START_FAILED}.get(
        task.stop_code or ""
    )
