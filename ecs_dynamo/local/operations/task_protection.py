"""Operations on the scale-in protection of tasks."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json, failure, invalid

DEFAULT_MINUTES = 120
MAX_MINUTES = 2880
DEPLOYMENT_BLOCKED_MESSAGE = (
    "The service has more protected tasks than the desired count of tasks for the service."
)
"""As worded in the ECS developer guide's page on task scale-in protection."""


def _description(task: Task, now: float) -> Json:
    protected = task.protected(now)
    return {
        "taskArn": task.arn,
        "protectionEnabled": protected,
        "expirationDate": task.protected_until if protected else None,
    }


def _tasks(context: Context, request: Json, limit: int) -> tuple[list[Task], list[Json]]:
    """Return the requested tasks, at most ``limit``, and a failure for each invalid one."""
    cluster = context.state.cluster(request["cluster"])
    names = request.get("tasks") or []
    if len(names) > limit:
        raise invalid(f"tasks can have at most {limit} items.")
    tasks, failures = [], []
    for name in names:
        task = context.state.task(cluster, name)
        if task is None:
            failures.append(failure(name))
        elif task.service is None or not task.alive:
            failures.append(failure(task.arn, "TASK_NOT_VALID"))
        else:
            tasks.append(task)
    return tasks, failures


@operation("UpdateTaskProtection")
def update_task_protection(context: Context, request: Json) -> Json:
    tasks, failures = _tasks(context, request, 10)
    minutes = request.get("expiresInMinutes", DEFAULT_MINUTES)
    if not 1 <= minutes <= MAX_MINUTES:
        raise invalid(f"expiresInMinutes must be between 1 and {MAX_MINUTES}")
    now, updated = context.state.now(), []
    for task in tasks:
        if request["protectionEnabled"] and _blocked(context, task, now):
            failures.append(failure(task.arn, "DEPLOYMENT_BLOCKED", DEPLOYMENT_BLOCKED_MESSAGE))
            continue
        task.protected_until = now + 60.0 * minutes if request["protectionEnabled"] else None
        updated.append(task)
    context.scheduler.wake()
    return {"protectedTasks": [_description(t, now) for t in updated], "failures": failures}


def _blocked(context: Context, task: Task, now: float) -> bool:
    """Whether protecting ``task`` would exceed the desired count of its service."""
    service = context.state.services.get((task.cluster, task.service or ""))
    if service is None:
        return False
    protected = {
        t.arn for t in context.state.service_tasks(service) if t.alive and t.protected(now)
    }
    return len(protected | {task.arn}) > service.desired


@operation("GetTaskProtection")
def get_task_protection(context: Context, request: Json) -> Json:
    tasks, failures = _tasks(context, request, 100)
    now = context.state.now()
    return {"protectedTasks": [_description(t, now) for t in tasks], "failures": failures}
