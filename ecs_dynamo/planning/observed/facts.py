"""The facts that follow from one snapshot, each derived exactly once per pass.

`observe_graph` is the only place that turns a raw snapshot into facts. The rules of a pass read
`ObservedGraph` and never derive readiness, attribution, endpoints or membership themselves.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import Endpoints, ReplicaCounts
from ecs_dynamo.model.service import Deployment, Service
from ecs_dynamo.model.snapshot import ComponentSnapshot, Revision, Snapshot, Task, Unknown
from ecs_dynamo.planning.observed.attribution import Attribution, attribute, worker_namespaces
from ecs_dynamo.planning.observed.certainty import uncertainty, unread_registrations
from ecs_dynamo.planning.observed.endpoints import (
    injected_endpoints,
    reachable_endpoints,
    with_service_names,
)
from ecs_dynamo.planning.observed.etcd_membership import Membership, find_membership
from ecs_dynamo.planning.observed.lookup import (
    in_force,
    known_service,
    known_tasks,
    primary_deployment,
)
from ecs_dynamo.planning.observed.reachability import unreachable
from ecs_dynamo.planning.observed.readiness import Readiness, assess_readiness, lease_seconds
from ecs_dynamo.planning.observed.routing import Routing, assess_routing


@dataclass(frozen=True, slots=True)
class ObservedComponent:
    """The facts about one component. The fields without ``init`` follow from ``snapshot``."""

    component: Component
    snapshot: ComponentSnapshot
    readiness: Readiness = field(default_factory=Readiness)
    busy: frozenset[str] | None = None
    """ARNs of running tasks with pending requests; None if this is unknown. Where a registration
    may belong to several tasks, all of them count as busy."""
    served: frozenset[str] | None = None
    """ARNs of running tasks from which a frontend has had an answer; None if this is unknown."""
    draining: frozenset[str] = frozenset()
    """ARNs of running tasks on container instances in the state DRAINING."""
    uncertainty: str | None = None
    """The part that ECS or EC2 did not report; None if all is known."""
    namespaces: frozenset[str] = frozenset()
    """Dynamo namespaces in which its workers register."""
    unread_registrations: str | None = None
    """Why the registrations of its running workers are unknown; None if they are known."""
    service: Service | None = field(init=False)
    """The live service; None if it is unknown, absent or INACTIVE."""
    tasks: tuple[Task, ...] = field(init=False)
    primary: Deployment | None = field(init=False)
    """The deployment in force."""
    current: Revision | None = field(init=False)
    """The revision that the service is set to."""
    new_tasks: tuple[Task, ...] = field(init=False)
    """Tasks of the deployment in force."""
    old_tasks: tuple[Task, ...] = field(init=False)
    """Running tasks that ECS will replace: of another revision or an earlier deployment."""

    def __post_init__(self) -> None:
        service, tasks = known_service(self.snapshot), known_tasks(self.snapshot)
        new: list[Task] = []
        old: list[Task] = []
        current = None
        if service is not None:
            current = self.snapshot.revisions.get(service.task_definition_arn)
            for task in tasks:
                if in_force(service, task):
                    new.append(task)
                elif task.is_running:
                    old.append(task)
        primary = primary_deployment(service) if service is not None else None
        # The class is frozen, so the derived fields are set as dataclasses themselves do it.
        for name, value in {
            "service": service,
            "tasks": tasks,
            "primary": primary,
            "current": current,
            "new_tasks": tuple(new),
            "old_tasks": tuple(old),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def running(self) -> tuple[Task, ...]:
        """The running tasks of the live service, those of the deployment in force first."""
        return tuple(t for t in (*self.new_tasks, *self.old_tasks) if t.is_running)

    @property
    def draining_tasks(self) -> tuple[Task, ...]:
        """The running tasks of the live service on draining instances."""
        return tuple(t for t in self.running if t.arn in self.draining)

    def ready(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """Return the ready ones of ``tasks``, in ARN order."""
        return _among(tasks, self.readiness.ready)

    def proven_ready(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        """Return those of ``tasks`` that this pass has shown to be ready, in ARN order."""
        return _among(tasks, self.readiness.proven)

    @property
    def counts(self) -> ReplicaCounts:
        """Desired, running and ready replicas."""
        return ReplicaCounts(
            desired=self.service.desired if self.service else self.component.replicas,
            running=sum(task.is_running for task in self.tasks),
            ready=len(self.readiness.ready),
        )

    def lease_seconds(self, graph: Graph, task: Task) -> float:
        """Return the discovery lease of a task's Dynamo process, in seconds."""
        return lease_seconds(graph, self.component, self.snapshot, task)


def _among(tasks: Iterable[Task], arns: Container[str]) -> tuple[Task, ...]:
    return tuple(sorted((t for t in tasks if t.arn in arns), key=lambda t: t.arn))


@dataclass(frozen=True, slots=True)
class ObservedGraph:
    """Everything that is known of a graph in one pass."""

    graph: Graph
    snapshot: Snapshot
    components: Mapping[str, ObservedComponent]
    """By name; a component that the snapshot lacks is left out."""
    attribution: Attribution
    membership: Membership
    """The members of the etcd cluster; without slots if the graph has none."""
    injected: Mapping[str, Endpoints]
    """The endpoints in the current revision of each dependant's service, by component."""
    endpoints: Endpoints
    """The endpoints that dependants should have."""
    reachable: Endpoints
    """The addresses at which the daemon itself reaches etcd and NATS."""
    unreachable: str | None
    """The message that no task can be reached at all; None if one can."""

    def ready(self, component: str) -> frozenset[str]:
        """Return the ARNs of the component's ready tasks."""
        observed = self.components.get(component)
        return observed.readiness.ready if observed is not None else frozenset()

    def counts(self, component: Component) -> ReplicaCounts:
        """Return desired, running and ready replicas of a component."""
        observed = self.components.get(component.name)
        return ReplicaCounts(component.replicas, 0, 0) if observed is None else observed.counts

    def routing(self, component: Component, settled: frozenset[str]) -> Routing | None:
        """Return whether frontends route to the component's replicas; see `assess_routing`."""
        return assess_routing(component, self.snapshot, self.attribution, settled)


def observe_graph(graph: Graph, snapshot: Snapshot) -> ObservedGraph:
    """Derive all facts from a snapshot."""
    attribution = attribute(graph, snapshot)
    membership = find_membership(graph, snapshot)
    injected = injected_endpoints(graph, snapshot)
    reachable = reachable_endpoints(graph, snapshot, injected, membership)
    draining = _draining_instances(snapshot)
    return ObservedGraph(
        graph=graph,
        snapshot=snapshot,
        components={
            c.name: _observe_component(graph, c, snapshot, attribution, draining)
            for c in graph.components
            if c.name in snapshot.components
        },
        attribution=attribution,
        membership=membership,
        injected=injected,
        endpoints=with_service_names(graph, reachable),
        reachable=reachable,
        unreachable=unreachable(snapshot),
    )


def _draining_instances(snapshot: Snapshot) -> frozenset[str]:
    """Return the ARNs of the observed container instances in the state DRAINING."""
    return frozenset(
        instance.arn
        for instances in snapshot.container_instances.values()
        if not isinstance(instances, Unknown)
        for instance in instances
        if instance.status == "DRAINING"
    )


def _observe_component(
    graph: Graph,
    component: Component,
    snapshot: Snapshot,
    attribution: Attribution,
    draining: frozenset[str],
) -> ObservedComponent:
    observed = snapshot.components[component.name]
    running = [t for t in known_tasks(observed) if t.is_running]
    busy, served = snapshot.busy, snapshot.served
    namespaces = worker_namespaces(graph, component, observed)
    holders = partial(_with_leases, snapshot, attribution, running, namespaces)
    return ObservedComponent(
        component=component,
        snapshot=observed,
        readiness=assess_readiness(graph, component, snapshot, attribution, namespaces),
        busy=None if isinstance(busy, Unknown) else holders({k for k, v in busy.items() if v > 0}),
        served=None if isinstance(served, Unknown) else holders(served),
        draining=frozenset(t.arn for t in running if t.container_instance_arn in draining),
        uncertainty=uncertainty(component, snapshot),
        namespaces=namespaces,
        unread_registrations=unread_registrations(component, snapshot),
    )


def _with_leases(
    snapshot: Snapshot,
    attribution: Attribution,
    tasks: Iterable[Task],
    namespaces: Container[str],
    leases: Container[int],
) -> frozenset[str] | None:
    """Return the ARNs of ``tasks`` that may hold one of ``leases``; None if this is unknown.

    ``namespaces`` are those in which the tasks register.
    """
    if isinstance(snapshot.registrations, Unknown):
        return None
    holders = {
        arn for c in attribution.claims if c.registration.lease_id in leases for arn in c.tasks
    }
    if any(r.lease_id in leases and r.namespace in namespaces for r, _ in attribution.unattributed):
        # It may belong to a worker that has never reported its leases.
        holders |= {arn for arn, page in attribution.silent.items() if page.last is None}
    return frozenset(t.arn for t in tasks if t.arn in holders)
