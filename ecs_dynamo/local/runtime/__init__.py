"""Containers as processes: what a task definition's container becomes without a container engine.

There is no isolation, except that connections to bridge containers of other instances are refused
(`fence`): a process sees the whole machine. The price is paid for what it gives: real etcd, NATS
and Dynamo on a laptop or in CI, with nothing to install but wheels.
"""

from ecs_dynamo.local.runtime.images import CannotPullContainerError, ImageTable, ImageTableError
from ecs_dynamo.local.runtime.launch import (
    ContainerLaunch,
    ContainerStatus,
    HealthCheck,
    TaskLaunch,
)
from ecs_dynamo.local.runtime.task import TaskProcess

__all__ = [
    "CannotPullContainerError",
    "ContainerLaunch",
    "ContainerStatus",
    "HealthCheck",
    "ImageTable",
    "ImageTableError",
    "TaskLaunch",
    "TaskProcess",
]
