"""Which operations there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.scheduling.scheduler import Scheduler
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import Tasks
from ecs_dynamo.local.wire.protocol import Json


@dataclass(frozen=True, slots=True)
class Context:
    """What every operation works on."""

    state: State
    tasks: Tasks
    scheduler: Scheduler
    cloud_map: CloudMap


Handler = Callable[[Context, Json], Json]
OPERATIONS: dict[str, Handler] = {}


def operation(name: str) -> Callable[[Handler], Handler]:
    """Register a handler for the operation ``name`` (as ``CreateService``)."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[name] = handler
        return handler

    return register
