"""Why a component's replicas are not known for certain.

An unobserved part looks like an absent one: with its container instances unknown, a task in host or
bridge mode has no address, so no registration and no work, and would be released. While anything is
unknown that a rollout relies on, no rollout starts and nothing is released. Actions that keep
replicas, or add some, continue.
"""

from __future__ import annotations

from ecs_dynamo.model.graph import Component, NetworkMode
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.observed.lookup import known_service, known_tasks, short_id


def uncertainty(component: Component, snapshot: Snapshot) -> str | None:
    """Return what ECS and EC2 did not report of the component's replicas; None if all is known."""
    observed = snapshot.components.get(component.name)
    if observed is None or known_service(observed) is None:
        return None
    if observed.protection_unknown is not None:
        return f"the protection of its tasks could not be observed: {observed.protection_unknown}"
    on_instances = component.launch_type is LaunchType.EC2
    instances = snapshot.container_instances.get(component.cluster)
    if on_instances and isinstance(instances, Unknown):
        return f"its container instances could not be observed: {instances.reason}"
    if component.network_mode is not NetworkMode.AWSVPC:
        for task in known_tasks(observed):
            if task.is_running and task.address_unknown is not None:
                task_id = short_id(task.arn)
                return f"the address of its task {task_id} is not known: {task.address_unknown}"
    return None


def unread_registrations(component: Component, snapshot: Snapshot) -> str | None:
    """Return why the registrations of a component's running workers are unknown, if they are."""
    registrations = snapshot.registrations
    observed = snapshot.components.get(component.name)
    if not component.is_worker or observed is None or not isinstance(registrations, Unknown):
        return None
    if not any(t.is_running for t in known_tasks(observed)):
        return None
    return f"its registrations could not be read: {registrations.reason}"
