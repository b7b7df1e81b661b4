"""How a component's tasks are found, or find others, by DNS names that outlive the tasks."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_dynamo.model.service_settings import ServiceConnect


@dataclass(frozen=True, slots=True)
class ServiceNames:
    """How a service's tasks are found, or find others. None: not declared, and left as it is.

    ``registry`` is the ARN of the Cloud Map service that its tasks are registered in.
    """

    registry: str | None = None
    connect: ServiceConnect | None = None
