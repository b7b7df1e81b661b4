"""What must not be done while a component's replicas are not known for certain.

A part that could not be observed looks like an absent one: with its container instances unknown, a
task of host or bridge mode has no address, no registration and so no work, and would be let go. So
while anything is unknown that a rollout relies on, none starts and nothing is released. What keeps
replicas, or adds some, goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ecs_dynamo.model.graph import Component, Graph, NetworkMode
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    HoldService,
    ProtectTasks,
    RegisterTaskDefinition,
    StopTask,
    UpdateService,
)
from ecs_dynamo.model.snapshot import Snapshot, Unknown
from ecs_dynamo.model.spec import LaunchType
from ecs_dynamo.planning.seen import known_service, known_tasks, short_id

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


def _shortens(action: ProtectTasks, snapshot: Snapshot) -> bool:
    """It lets some of the tasks go, now or earlier than before."""
    if action.minutes is None:
        return True
    until = snapshot.observed_at + action.minutes * 60.0
    seen = snapshot.components[action.component]
    return any(
        t.arn in action.tasks and (t.protected_until or 0.0) > until for t in known_tasks(seen)
    )


def _only_more(action: UpdateService, snapshot: Snapshot) -> UpdateService | None:
    """Of a change of a service just the replicas that it adds."""
    service = known_service(snapshot.components[action.component])
    if service is None or action.desired is None or action.desired <= service.desired:
        return None
    return UpdateService(
        component=action.component,
        reason=f"replicas {service.desired} -> {action.desired}",
        cluster=action.cluster,
        service=action.service,
        desired=action.desired,
    )


def without_releases(
    actions: Iterable[AnyAction], graph: Graph, snapshot: Snapshot, unsure: Mapping[str, str]
) -> list[AnyAction]:
    """``actions`` without those that release, or begin to replace, replicas of ``unsure`` ones.

    The last word on a plan, whichever rule an action comes from.
    """
    servers = {c.name for c in graph.components if c.member is not None}
    kept: list[AnyAction] = []
    for action in actions:
        if isinstance(action, ChangeMembership) and servers & set(unsure):
            continue  # A member that is not seen is not gone.
        if action.component not in unsure or action.component not in snapshot.components:
            kept.append(action)
        elif isinstance(action, UpdateService):
            more = _only_more(action, snapshot)
            kept += [more] if more is not None else []
        elif isinstance(action, ProtectTasks):
            kept += [] if _shortens(action, snapshot) else [action]
        elif isinstance(action, StopTask):
            continue
        elif isinstance(action, RegisterTaskDefinition | HoldService):
            service = known_service(snapshot.components[action.component])
            kept += [action] if service is None else []
        else:
            kept.append(action)
    return kept
