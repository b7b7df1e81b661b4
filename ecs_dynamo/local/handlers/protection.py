"""Task scale-in protection."""

from __future__ import annotations

from ecs_dynamo.local.handlers.registry import Context, operation
from ecs_dynamo.local.protocol import Json, failure, invalid
from ecs_dynamo.local.state import Task

DEFAULT_MINUTES = 120
MOST_MINUTES = 2880


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
    now = context.state.now()
    for task in found:
        task.protected_until = now + 60.0 * minutes if request["protectionEnabled"] else None
    context.scheduler.wake()
    return {"protectedTasks": [_shape(t, now) for t in found], "failures": failures}


@operation("GetTaskProtection")
def get_protection(context: Context, request: Json) -> Json:
    found, failures = _tasks(context, request, 100)
    now = context.state.now()
    return {"protectedTasks": [_shape(t, now) for t in found], "failures": failures}
