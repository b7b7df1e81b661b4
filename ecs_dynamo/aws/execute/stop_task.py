"""Stop a single task, so that ECS replaces it."""

from __future__ import annotations

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import StopTask

_log = structlog.get_logger(__name__)

MAX_REASON_LENGTH = 255
"""Maximum length of StopTask's reason, in characters (ECS API reference)."""


async def stop_task(aws: Aws, action: StopTask) -> bool:
    """Stop a task of a service unless it has ended or is stopping; whether it was stopped.

    The caller has checked that the graph owns the service. A task's group names its service.
    Raises `AwsError`, also if the task belongs to another service.
    """
    answer = await aws.call("ecs", "DescribeTasks", cluster=action.cluster, tasks=[action.task])
    task = next((t for t in answer["tasks"] if t["taskArn"] == action.task), None)
    if task is None or "STOPPED" in (task["desiredStatus"], task["lastStatus"]):
        _log.info("task has already ended", task=action.task)
        return False
    group = f"service:{action.service}"
    if task.get("group") != group:
        raise AwsError(
            "StopTask", "Foreign", f"{action.task} belongs to {task.get('group')}, not to {group}"
        )
    await request_stop(aws, action.cluster, action.task, action.why)
    return True


async def request_stop(aws: Aws, cluster: str, task: str, reason: str) -> None:
    """Stop a task without a check of its owner. Raises `AwsError`."""
    await aws.call("ecs", "StopTask", cluster=cluster, task=task, reason=reason[:MAX_REASON_LENGTH])
