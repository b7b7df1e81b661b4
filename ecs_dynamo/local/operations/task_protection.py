"""Task scale-in protection."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.wire.protocol import Json, failure, invalid

DEFAULT_MINUTES = 120
MOST_MINUTES = 2880
BLOCKED = "The service has more protected tasks than the desired count of tasks for the service."
"""After the ECS developer guide's page on task scale-in protection."""


def _shape(task: Task, now: float) -> Json:
    protected = task.protected(now)
    return {
        "taskArn": task.arn,
        "protectionEnabled": protected,
        "expirationDate": task.protected_until if protected else None,
    }


def _tasks(context: Context, request: Json, most: int) -> tuple[list[Task], list[Json]]:
    cluster = context.state.cluster(request["cluster"])
    names = request.get("tasks") or []
    if len(names) > most:
        raise invalid(f"tasks can have at most {most} items.")
    found, failures = [], []
    for name in names:
        task = context.state.task(cluster, name)
        if task is None:
            failures.append(failure(name))
        elif task.service is None or not task.alive:
            failures.append(failure(task.arn, "TASK_NOT_VALID"))
        else:
            found.append(task)
    return found, failures


@operation("UpdateTaskProtection")
def update_protection(context: Context, request: Json) -> Json:
    found, failures = _tasks(context, request, 10)
    minutes = request.get("expiresInMinutes", DEFAULT_MINUTES)
    if not 1 <= minutes <= MOST_MINUTES:
        raise invalid(f"expiresInMinutes must be between 1 and {MOST_MINUTES}")
    now, done = context.state.now(), []
    for task in found:
        if request["protectionEnabled"] and _blocked(context, task, now):
            failures.append(failure(task.arn, "DEPLOYMENT_BLOCKED", BLOCKED))
            continue
        task.protected_until = now + 60.0 * minutes if request["protectionEnabled"] else None
        done.append(task)
    context.scheduler.wake()
    return {"protectedTasks": [_shape(t, now) for t in done], "failures": failures}


def _blocked(context: Context, task: Task, now: float) -> bool:
    """With ``task`` more tasks of its service would be protected than are desired."""
    service = context.state.services.get((task.cluster, task.service or ""))
    if service is None:
        return False
    held = {t.arn for t in context.state.service_tasks(service) if t.alive and t.protected(now)}
    return len(held | {task.arn}) > service.desired


@operation("GetTaskProtection")
def get_protection(context: Context, request: Json) -> Json:
    found, failures = _tasks(context, request, 100)
    now = context.state.now()
    return {"protectedTasks": [_shape(t, now) for t in found], "failures": failures}
