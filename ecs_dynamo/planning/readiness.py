"""How many replicas of a component are ready, not merely running.

Infrastructure and frontends are ready when they answered their probe (a frontend also lists a
model, as `/health` is happy with no worker at all); workers when Dynamo's discovery has their
instance. In host mode several tasks share an address, so registrations are counted, not matched
one by one; in bridge mode a worker registers the address that it sees inside its container, so
registrations with an address that no known task has are counted for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ecs_dynamo.model.graph import Component, Graph, NetworkMode, Role
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task, Unknown
from ecs_dynamo.planning.endpoints import PROBED_ROLES
from ecs_dynamo.planning.ports import SYSTEM_PORT_VARIABLE
from ecs_dynamo.planning.seen import environment_value, known_service, known_tasks

SERVED_ENDPOINT = "generate"
"""The endpoint through which a Dynamo worker takes requests."""


def discovery_components(component: Component) -> frozenset[str]:
    """Dynamo's names for what the component registers (Dynamo 1.6.1: `backend`, `prefill`)."""
    names = set()
    if Role.PREFILL in component.roles:
        names.add("prefill")
    if component.roles & {Role.DECODE, Role.WORKER}:
        names.add("backend")
    return frozenset(names)


def worker_urls(graph: Graph, snapshot: Snapshot) -> dict[str, str]:
    """The system port of each running worker, by task ARN, where it is known.

    Dynamic ports (0), as of several workers on one host, and mapped ones (bridge) are not.
    """
    found: dict[str, str] = {}
    for component in graph.components:
        seen = snapshot.components.get(component.name)
        if seen is None or not component.is_worker or component.network_mode is NetworkMode.BRIDGE:
            continue
        for task in known_tasks(seen):
            revision = seen.revisions.get(task.task_definition_arn)
            port = environment_value(revision.content, SYSTEM_PORT_VARIABLE) if revision else None
            if task.is_running and task.private_ip and port and port.isdecimal() and int(port):
                found[task.arn] = f"http://{task.private_ip}:{port}"
    return found


def _probed(component: Component, seen: ComponentSnapshot, task: Task, needs_model: bool) -> bool:
    for role in PROBED_ROLES:
        if role not in component.roles:
            continue
        probe = seen.probes.get((task.arn, role))
        if probe is None or not probe.healthy:
            return False
        if role is Role.FRONTEND and needs_model and not probe.models:
            return False
    return True


def _serves_workers(graph: Graph) -> bool:
    return any(c.is_worker and c.replicas > 0 for c in graph.components)


def ready_tasks(
    graph: Graph, component: Component, snapshot: Snapshot, tasks: Iterable[Task] | None = None
) -> tuple[Task, ...]:
    """The ready ones among ``tasks`` (all of the component's by default), in ARN order."""
    seen = snapshot.components.get(component.name)
    if seen is None:
        return ()
    candidates = sorted(
        (
            t
            for t in (known_tasks(seen) if tasks is None else tasks)
            if t.is_running and _probed(component, seen, t, needs_model=_serves_workers(graph))
        ),
        key=lambda t: t.arn,
    )
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        # Registrations that could not be read must not turn a serving worker into a lost one.
        return tuple(candidates)
    free: Counter[tuple[str, str | None]] = Counter(
        (r.component, r.address)
        for r in snapshot.registrations
        if r.namespace == graph.namespace and r.endpoint == SERVED_ENDPOINT
    )
    addresses = {t.private_ip for s in snapshot.components.values() for t in known_tasks(s)}
    bridged = component.network_mode is NetworkMode.BRIDGE
    inside = sorted({a for _, a in free if a is not None and a not in addresses}) if bridged else []
    ready = []
    for task in candidates:
        own = (task.private_ip, None, *inside)
        keys = [
            next(((name, address) for address in own if free[name, address] > 0), None)
            for name in sorted(discovery_components(component))
        ]
        if all(key is not None for key in keys):
            free.subtract(key for key in keys if key is not None)
            ready.append(task)
    return tuple(ready)


def count_replicas(graph: Graph, component: Component, snapshot: Snapshot) -> ReplicaCounts:
    """Desired, running and ready replicas of ``component``."""
    seen = snapshot.components.get(component.name)
    if seen is None:
        return ReplicaCounts(component.replicas, 0, 0)
    service = known_service(seen)
    return ReplicaCounts(
        desired=service.desired if service else component.replicas,
        running=sum(task.is_running for task in known_tasks(seen)),
        ready=len(ready_tasks(graph, component, snapshot)),
    )
