"""Accessors for observations of which some parts may be unknown."""

from __future__ import annotations

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.service import Deployment, Service
from ecs_dynamo.model.snapshot import ComponentSnapshot, Revision, Task, Unknown


def known_tasks(observed: ComponentSnapshot) -> tuple[Task, ...]:
    """Return the component's tasks; none if they are unknown."""
    return () if isinstance(observed.tasks, Unknown) else observed.tasks


def short_id(arn: str) -> str:
    """Return the first characters of a task's id, as messages show it."""
    return resource_name(arn)[:8]


def known_service(observed: ComponentSnapshot) -> Service | None:
    """Return the component's live service; None if it is unknown, absent or INACTIVE."""
    service = observed.service
    if service is None or isinstance(service, Unknown) or service.status == "INACTIVE":
        return None
    return service


def known_revisions(observed: ComponentSnapshot) -> tuple[Revision, ...]:
    """Return the revisions that are in use, and the latest of the family where it is known."""
    latest = (observed.revision,) if isinstance(observed.revision, Revision) else ()
    return (*observed.revisions.values(), *latest)


def primary_deployment(service: Service) -> Deployment | None:
    """Return the deployment in force."""
    return next((d for d in service.deployments if d.status == "PRIMARY"), None)


def in_force(service: Service, task: Task) -> bool:
    """Return whether the task belongs to the deployment in force, so that ECS will not replace it.

    The task's revision alone does not show this: a service that was set back to an earlier
    revision, or deployed again on another network, runs tasks of two deployments of one revision.
    """
    if task.task_definition_arn != service.task_definition_arn:
        return False
    primary = primary_deployment(service)
    return primary is None or task.deployment is None or task.deployment == primary.id
