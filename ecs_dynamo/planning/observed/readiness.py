"""How many replicas of a component are ready, not merely running.

Infrastructure and frontends are ready when they answered their probe (a frontend also lists a
model, as `/health` is happy with no worker at all). A worker is ready by its own evidence alone: it
answers at its system port, and Dynamo's discovery has the registration that it names there
(`attribution`). Nobody else's registration counts for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.dynamo.variables import LEASE_VARIABLE
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.plan import ReplicaCounts
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task, Unknown
from ecs_dynamo.planning.observed.attribution import (
    Attribution,
    attribute,
)
from ecs_dynamo.planning.observed.endpoints import PROBED_ROLES
from ecs_dynamo.planning.observed.lookup import (
    known_service,
    known_tasks,
)


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


def _candidates(
    graph: Graph, component: Component, snapshot: Snapshot, tasks: Iterable[Task] | None
) -> list[Task]:
    """Those that run and answer what their role is probed for, in ARN order."""
    seen = snapshot.components.get(component.name)
    if seen is None:
        return []
    serves = _serves_workers(graph)
    return sorted(
        (
            t
            for t in (known_tasks(seen) if tasks is None else tasks)
            if t.is_running and _probed(component, seen, t, needs_model=serves)
        ),
        key=lambda t: t.arn,
    )


def ready_tasks(
    graph: Graph,
    component: Component,
    snapshot: Snapshot,
    tasks: Iterable[Task] | None = None,
    *,
    proven: bool = False,
) -> tuple[Task, ...]:
    """The ready ones among ``tasks`` (all of the component's by default), in ARN order.

    ``proven``: only those that this very pass has shown to be ready. Without it a worker that was
    ready and is silent for a moment is still ready, and where discovery could not be read, so is
    every worker that runs: nothing must be taken for lost because it could not be seen.
    """
    candidates = _candidates(graph, component, snapshot, tasks)
    if not component.is_worker:
        return tuple(candidates)
    if isinstance(snapshot.registrations, Unknown):
        return () if proven else tuple(candidates)
    made = attribute(graph, snapshot)
    needed = discovery_components(component)
    return tuple(
        t
        for t in candidates
        if needed <= made.names.get(t.arn, frozenset()) and (not proven or t.arn in made.answered)
    )


def may_serve(
    graph: Graph, component: Component, snapshot: Snapshot, tasks: Iterable[Task]
) -> tuple[Task, ...]:
    """Those of ``tasks`` that are ready, or whose readiness is not known: they must be kept.

    A worker that does not answer may serve all the same (the daemon may be cut off from it) for as
    long as discovery has a registration that may be its own.
    """
    candidates = _candidates(graph, component, snapshot, tasks)
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        return tuple(candidates)
    made = attribute(graph, snapshot)
    ready = {t.arn for t in ready_tasks(graph, component, snapshot, candidates)}
    return tuple(t for t in candidates if t.arn in ready or _is_unknown(made, t))


def known_to_serve(
    graph: Graph, component: Component, snapshot: Snapshot, tasks: Iterable[Task]
) -> frozenset[str]:
    """ARNs of those of ``tasks`` that are ready, or are registered with another etcd than the one
    that was read, where an old side may still serve.

    Unlike `may_serve`, it excludes replicas that have never answered.
    """
    found = ready_tasks(graph, component, snapshot, tasks)
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        return frozenset(t.arn for t in found)
    listed = {r.lease_id for r in snapshot.registrations}
    said = attribute(graph, snapshot).said
    elsewhere = (a for a, p in said.items() if p.lease_ids and not p.lease_ids & listed)
    return frozenset(t.arn for t in found) | frozenset(elsewhere)


def _is_unknown(made: Attribution, task: Task) -> bool:
    silent = made.silent.get(task.arn)
    if silent is not None and silent.last is None:
        return True  # It has never told this daemon who it is.
    return any(task.arn in c.tasks and not c.fresh for c in made.claims)


def why_not_ready(graph: Graph, component: Component, snapshot: Snapshot) -> str | None:
    """What is known of why a running worker is not ready: its page, or its registration."""
    if not component.is_worker or isinstance(snapshot.registrations, Unknown):
        return None
    made = attribute(graph, snapshot)
    ready = {t.arn for t in ready_tasks(graph, component, snapshot)}
    for task in _candidates(graph, component, snapshot, None):
        if task.arn not in ready and task.arn in made.silent:
            return made.silent[task.arn].reason
    names = discovery_components(component)
    return next((why for r, why in made.unattributed if r.component in names), None)


def lease_seconds(graph: Graph, component: Component, seen: ComponentSnapshot, task: Task) -> float:
    """The discovery lease of the task's Dynamo process: for so long a registration may outlive the
    process that made it."""
    revision = seen.revisions.get(task.task_definition_arn)
    content = revision.content if revision is not None else {}
    told = environment_value(content, LEASE_VARIABLE, dynamo_containers(component).names) or ""
    return float(told) if told.isdecimal() and int(told) else float(graph.runtime.lease_seconds)


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
