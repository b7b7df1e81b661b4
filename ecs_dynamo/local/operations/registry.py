"""The registry of operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.scheduling.scheduler import Scheduler
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import TaskManager
from ecs_dynamo.local.wire.protocol import Json


@dataclass(frozen=True, slots=True)
class Context:
    """The objects that operations work on."""

    state: State
    tasks: TaskManager
    scheduler: Scheduler
    cloud_map: CloudMap


Operation = Callable[[Context, Json], Json]
OPERATIONS: dict[str, Operation] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register the decorated function as the operation ``name``, for example ``CreateService``."""

    def register(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return register
