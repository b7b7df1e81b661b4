"""Stopping one task of a service of the graph's own, so that ECS replaces it."""

from __future__ import annotations

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import StopTask

_log = structlog.get_logger(__name__)

REASON_LENGTH = 255
"""Characters that StopTask takes as the reason (ECS API reference); DescribeTasks tells it."""


async def stop_task(aws: Aws, action: StopTask) -> bool:
    """Stop the task, unless it ends already. Raises `AwsError`, also where it is not the service's.

    The caller has seen that the service is the graph's own. ECS names the service of a task in its
    group; the rights over tasks are bound to the tags that they have from it.
    """
    answer = await aws.call("ecs", "DescribeTasks", cluster=action.cluster, tasks=[action.task])
    found = next((t for t in answer["tasks"] if t["taskArn"] == action.task), None)
    if found is None or "STOPPED" in (found["desiredStatus"], found["lastStatus"]):
        _log.info("task has ended by itself", task=action.task)
        return False
    group = f"service:{action.service}"
    if found.get("group") != group:
        raise AwsError(
            "StopTask", "Foreign", f"{action.task} is of {found.get('group')}, not of {group}"
        )
    await aws.call(
        "ecs",
        "StopTask",
        cluster=action.cluster,
        task=action.task,
        reason=action.why[:REASON_LENGTH],
    )
    return True
