"""The operations, one file per resource. Each is a function ``(Context, parameters) -> answer``."""

from ecs_dynamo.local.operations import (  # noqa: F401 (importing registers the operations)
    capacity_providers,
    clusters,
    container_instances,
    services,
    tags,
    task_definitions,
    task_protection,
    tasks,
)
from ecs_dynamo.local.operations.registry import OPERATIONS, Context

__all__ = ["OPERATIONS", "Context"]
