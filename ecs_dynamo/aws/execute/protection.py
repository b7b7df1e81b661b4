"""Task scale-in protection."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.pages import batches
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import ProtectTasks

_log = structlog.get_logger(__name__)

TASKS_PER_CALL = 10
"""Tasks in one UpdateTaskProtection (ECS API reference)."""


async def protect_tasks(aws: Aws, action: ProtectTasks) -> None:
    """Protect tasks or release them; tasks that have ended meanwhile are left out.

    Raises `AwsError`, also for a running task that ECS does not protect.
    """
    expiry = {"expiresInMinutes": action.minutes} if action.minutes is not None else {}
    for batch in batches(action.tasks, TASKS_PER_CALL):
        answer = await aws.call(
            "ecs",
            "UpdateTaskProtection",
            cluster=action.cluster,
            tasks=batch,
            protectionEnabled=action.minutes is not None,
            **expiry,
        )
        failures = {str(f.get("arn")): f for f in answer.get("failures", [])}
        for arn in await _running(aws, action.cluster, failures) if failures else ():
            code, detail = str(failures[arn].get("reason")), failures[arn].get("detail") or ""
            raise AwsError("UpdateTaskProtection", code, f"{arn}: {detail}".rstrip(": "))


async def _running(aws: Aws, cluster: str, arns: Iterable[str]) -> list[str]:
    """Return the ARNs of tasks that have not ended.

    UpdateTaskProtection answers with HTTP 200 and ``failures``: MISSING and TASK_NOT_VALID for
    tasks that have ended, which no longer need protection, but also DEPLOYMENT_BLOCKED where the
    service has more protected tasks than its desired count (ECS developer guide, task scale-in
    protection; "API failure reasons"). The reason may be one that is not known here, so the tasks
    are described.
    """
    failed = list(arns)
    answer = await aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=failed)
    ended = {
        resource_name(task["taskArn"])
        for task in answer["tasks"]
        if "STOPPED" in (task.get("desiredStatus"), task.get("lastStatus"))
    }
    ended |= {
        resource_name(str(failure.get("arn")))
        for failure in answer.get("failures", [])
        if failure.get("reason") == "MISSING"
    }
    running = [arn for arn in failed if resource_name(arn) not in ended]
    _log.info("tasks have ended and need no protection", count=len(failed) - len(running))
    return running
