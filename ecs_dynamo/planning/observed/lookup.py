"""Looking things up in what was seen, where a part of it may be unknown."""

from __future__ import annotations

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.service import (
    Deployment,
    Service,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Task,
    Unknown,
)


def known_tasks(seen: ComponentSnapshot) -> tuple[Task, ...]:
    """The component's tasks; empty where they are unknown."""
    return () if isinstance(seen.tasks, Unknown) else seen.tasks


def short_id(arn: str) -> str:
    """The first characters of a task's id, as messages show it."""
    return resource_name(arn)[:8]


def known_service(seen: ComponentSnapshot) -> Service | None:
    """The component's live service; None where it is unknown, absent or INACTIVE."""
    service = seen.service
    if service is None or isinstance(service, Unknown) or service.status == "INACTIVE":
        return None
    return service


def primary_deployment(service: Service) -> Deployment | None:
    """The deployment in force."""
    return next((d for d in service.deployments if d.status == "PRIMARY"), None)


def in_force(service: Service, task: Task) -> bool:
    """Whether the task is one of the deployment in force, and not one that ECS will replace.

    Its revision alone does not tell: a service that was set back to a former revision, or deployed
    again on another network, runs tasks of two deployments of one revision.
    """
    if task.task_definition_arn != service.task_definition_arn:
        return False
    primary = primary_deployment(service)
    return primary is None or task.deployment is None or task.deployment == primary.id
