"""What must not be done while a component's replicas are not known for certain.

A part that could not be observed looks like an absent one: with its container instances unknown, a
task of host or bridge mode has no address, no registration and so no work, and would be let go. So
while anything is unknown that a rollout relies on, none starts and nothing is released. What keeps
replicas, or adds some, goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.graph import Component, Graph, NetworkMode
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec.service import LaunchType
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
    short_id,
)

NOT_OBSERVED = "NotObserved"
"""The reason word of what could not be observed."""


def uncertainty(component: Component, snapshot: Snapshot) -> str | None:
    """What of the component's replicas is not known, as a sentence; None where all is."""
    seen = snapshot.components.get(component.name)
    if seen is None or known_service(seen) is None:
        return None
    if seen.protection_unknown is not None:
        return f"the protection of its tasks could not be observed: {seen.protection_unknown}"
    on_instances = component.launch_type is LaunchType.EC2
    instances = snapshot.container_instances.get(component.cluster)
    if on_instances and isinstance(instances, Unknown):
        return f"its container instances could not be observed: {instances.reason}"
    if component.network_mode is not NetworkMode.AWSVPC:
        for task in known_tasks(seen):
            if task.is_running and task.address_unknown is not None:
                shown = short_id(task.arn)
                return f"the address of its task {shown} is not known: {task.address_unknown}"
    return None


def _unread(component: Component, snapshot: Snapshot) -> str | None:
    """Why the registrations of the component's running replicas are not known."""
    found, seen = snapshot.registrations, snapshot.components.get(component.name)
    if not component.is_worker or seen is None or not isinstance(found, Unknown):
        return None
    if not any(t.is_running for t in known_tasks(seen)):
        return None
    return f"its registrations could not be read: {found.reason}"


@dataclass(frozen=True, slots=True)
class Doubts:
    """Why components are not known for certain, by name. ``unseen``: as ECS and EC2 do not tell.
    ``unread``: as etcd does not, which must keep nobody from repairing etcd itself."""

    unseen: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def all(self) -> Mapping[str, str]:
        """All of them."""
        return {**self.unread, **self.unseen}


NO_DOUBTS = Doubts()


def find_doubts(
    graph: Graph, snapshot: Snapshot, obstacles: Mapping[str, tuple[str, str]]
) -> Doubts:
    """What is not known of the graph's components."""
    unseen = {name: text for name, (word, text) in obstacles.items() if word == NOT_OBSERVED}
    unread: dict[str, str] = {}
    for component in graph.components:
        if (why := uncertainty(component, snapshot)) is not None:
            unseen.setdefault(component.name, why)
        if (why := _unread(component, snapshot)) is not None:
            unread[component.name] = why
    return Doubts(unseen, unread)
