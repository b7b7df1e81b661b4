"""Containers as processes: runs the containers of task definitions without a container engine.

Processes are not isolated: each sees the whole machine. The only exception is that connections to
bridge containers of other instances are refused (`fence`). In return, real etcd, NATS, and Dynamo
run on a laptop or in CI, with nothing to install but wheels.
"""

from ecs_dynamo.local.runtime.images import CannotPullContainerError, ImageTable, ImageTableError
from ecs_dynamo.local.runtime.launch import (
    METADATA_VARIABLE,
    ContainerLaunch,
    ContainerStatus,
    HealthCheck,
    TaskLaunch,
)
from ecs_dynamo.local.runtime.task import TaskProcess

__all__ = [
    "METADATA_VARIABLE",
    "CannotPullContainerError",
    "ContainerLaunch",
    "ContainerStatus",
    "HealthCheck",
    "ImageTable",
    "ImageTableError",
    "TaskLaunch",
    "TaskProcess",
]
