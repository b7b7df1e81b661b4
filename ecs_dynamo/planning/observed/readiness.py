"""Which replicas of a component are ready, not merely running.

An infrastructure replica is ready when it answered its probe; a frontend must also list a model,
because its `/health` succeeds without any worker. A worker is ready by its own evidence alone: it
answers at its system port, and Dynamo's discovery contains the registration that its page names
(`attribution`). The registration of another process never counts for it.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.registration import discovery_components
from ecs_dynamo.model.dynamo.variables import LEASE_VARIABLE
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, Role
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Task, Unknown
from ecs_dynamo.planning.observed.attribution import Attribution
from ecs_dynamo.planning.observed.endpoints import PROBED_ROLES
from ecs_dynamo.planning.observed.lookup import known_tasks

_NO_TASKS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Readiness:
    """ARNs of a component's ready tasks, with different treatments of missing evidence.

    ``ready``: a worker that was ready and has been silent for a moment still is, and so is every
    running worker while discovery cannot be read: a missing observation is not a lost replica.
    ``proven``: shown to be ready by this pass.
    ``may_serve``: ready, or of unknown readiness. These tasks must be kept: an unreachable worker
    may still serve as long as discovery has a registration that may be its own.
    ``known_to_serve``: ready, or registered with another etcd than the one that was read, where an
    old side may still serve. Unlike ``may_serve`` it excludes replicas that have never answered.
    ``why_not``: a known cause why a running worker is not ready.
    """

    ready: frozenset[str] = _NO_TASKS
    proven: frozenset[str] = _NO_TASKS
    may_serve: frozenset[str] = _NO_TASKS
    known_to_serve: frozenset[str] = _NO_TASKS
    why_not: str | None = None


def assess_readiness(
    graph: Graph,
    component: Component,
    snapshot: Snapshot,
    attribution: Attribution,
    namespaces: Container[str],
) -> Readiness:
    """Return the readiness of all tasks of a component; called once per component and pass.

    ``namespaces`` are the Dynamo namespaces in which its workers register.
    """
    observed = snapshot.components.get(component.name)
    if observed is None:
        return Readiness()
    needs_model = any(c.is_worker and c.replicas > 0 for c in graph.components)
    candidates = sorted(
        t.arn
        for t in known_tasks(observed)
        if t.is_running and _answers_probes(component, observed, t, needs_model=needs_model)
    )
    running = frozenset(candidates)
    if not component.is_worker:
        return Readiness(running, running, running, running)
    registrations = snapshot.registrations
    if isinstance(registrations, Unknown):
        return Readiness(running, _NO_TASKS, running, running)
    names = discovery_components(component)
    ready = frozenset(
        arn for arn in running if names <= attribution.names.get(arn, frozenset[str]())
    )
    listed = {r.lease_id for r in registrations}
    elsewhere = frozenset(
        t.arn
        for t in known_tasks(observed)
        if (page := attribution.pages.get(t.arn)) is not None
        and page.lease_ids
        and not page.lease_ids & listed
    )
    unconfirmed = {arn for c in attribution.claims if not c.is_fresh for arn in c.tasks}
    # A silent worker that has never reported its leases to this daemon may be registered, too.
    unconfirmed |= {arn for arn, page in attribution.silent.items() if page.last is None}
    silent = (arn for arn in candidates if arn not in ready and arn in attribution.silent)
    first_silent = next(silent, None)
    why_not = (
        attribution.silent[first_silent].reason
        if first_silent is not None
        else next(
            (
                why
                for r, why in attribution.unattributed
                if r.component in names and r.namespace in namespaces
            ),
            None,
        )
    )
    return Readiness(
        ready=ready,
        proven=ready & attribution.answered,
        may_serve=ready | (running & unconfirmed),
        known_to_serve=ready | elsewhere,
        why_not=why_not,
    )


def _answers_probes(
    component: Component, observed: ComponentSnapshot, task: Task, *, needs_model: bool
) -> bool:
    """Return whether the task answered the probe of each of its roles that is probed."""
    for role in PROBED_ROLES:
        if role not in component.roles:
            continue
        probe = observed.probes.get((task.arn, role))
        if probe is None or not probe.healthy:
            return False
        if role is Role.FRONTEND and needs_model and not probe.models:
            return False
    return True


def lease_seconds(
    graph: Graph, component: Component, observed: ComponentSnapshot, task: Task
) -> float:
    """Return the discovery lease of the task's Dynamo process, in seconds.

    A registration may outlive the process that made it by this time.
    """
    revision = observed.revisions.get(task.task_definition_arn)
    content = revision.content if revision is not None else {}
    names = dynamo_containers(component).names
    text = environment_value(content, LEASE_VARIABLE, names) or ""
    is_set = text.isdecimal() and int(text) > 0
    return float(text) if is_set else float(graph.runtime.lease_seconds)
