"""The operations, a file a resource. Each is ``(Context, parameters) -> answer``."""

from ecs_dynamo.local.handlers import (  # noqa: F401 (importing registers the operations)
    capacity,
    clusters,
    instances,
    protection,
    services,
    tags,
    task_definitions,
    tasks,
)
from ecs_dynamo.local.handlers.registry import OPERATIONS, Context

__all__ = ["OPERATIONS", "Context"]
