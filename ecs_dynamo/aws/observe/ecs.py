"""Observation of ECS and EC2: batched, paginated, concurrent and limited in time.

Each part is observed on its own: a part that fails becomes `Unknown`, and the rest is kept. The
batches are as large as the API allows: 10 services, 100 tasks or 100 container instances per call
(ECS API reference). The content of a revision never changes and is read once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.capacity import (
    count_daemons,
    describe_auto_scaling_groups,
    describe_providers,
    list_daemon_groups,
)
from ecs_dynamo.aws.observe.convert import to_task
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.instances import (
    Hosts,
    address_of,
)
from ecs_dynamo.aws.observe.old_revisions import old_revisions
from ecs_dynamo.aws.observe.pass_queries import Expansion, PassQueries
from ecs_dynamo.aws.observe.revisions import deleted_revision
from ecs_dynamo.aws.observe.tasks import (
    RunningTasks,
    count_finishing,
    match_with_service,
)
from ecs_dynamo.model.capacity import AutoScalingGroup, CapacityProvider
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, Component, Graph
from ecs_dynamo.model.service import (
    Service,
    good_arn,
)
from ecs_dynamo.model.snapshot import (
    RECENT_SECONDS,
    ClusterServices,
    ComponentSnapshot,
    ContainerInstance,
    Observed,
    Revision,
    Snapshot,
    Task,
    Unknown,
)

STOPPED_SECONDS = 3600.0
"""Time for which ECS describes a stopped task (ECS API reference, DescribeTasks)."""

T = TypeVar("T")
Json = dict[str, Any]


async def observe_ecs(
    aws: Aws, graph: Graph, now: float, timeout: float, cache: GraphCache
) -> Snapshot:
    """Return a snapshot of ECS and EC2; ``timeout`` bounds each part, in seconds.

    A failing part becomes `Unknown`. ``now`` is in UTC seconds.
    """
    _, snapshot = await observe_effective(aws, graph, now, timeout, cache, Expansion())
    return snapshot


async def observe_effective(
    aws: Aws, graph: Graph, now: float, timeout: float, cache: GraphCache, expansion: Expansion
) -> tuple[Graph, Snapshot]:
    """Return the effective graph, as ``expansion`` derives it, and a snapshot of its components."""
    queries = PassQueries(aws, graph, now, cache, timeout, expansion)
    try:
        return await _observe(queries)
    finally:
        await queries.close()


async def _observe(queries: PassQueries) -> tuple[Graph, Snapshot]:
    graph = queries.graph
    clusters = await queries.guard("DescribeClusters", queries.clusters())
    present = dict.fromkeys(graph.clusters, clusters) if isinstance(clusters, Unknown) else clusters
    live = [name for name in graph.clusters if present[name] is True]
    services, hosts, running, providers, groups = await asyncio.gather(
        _by_cluster(live, lambda c: queries.guard("services", queries.services(c))),
        _by_cluster(
            _ec2_clusters(graph, live), lambda c: queries.guard("instances", queries.hosts(c))
        ),
        _by_cluster(live, lambda c: queries.guard("tasks", queries.tasks(c))),
        _declared_providers(queries, live),
        _declared_groups(queries),
    )
    graph = queries.expansion.expand(graph, services, await queries.plain_revisions(services))
    queries.graph = graph
    hosts = await _complete(queries, hosts, running)
    instances: dict[str, Observed[tuple[ContainerInstance, ...]]] = {
        name: known if isinstance(known, Unknown) else known.instances
        for name, known in hosts.items()
    }
    raws = {n: tasks if isinstance(tasks, Unknown) else tasks.tasks for n, tasks in running.items()}
    for name in {g.cluster for g in graph.capacity.auto_scaling_groups if g.cluster in instances}:
        daemons = queries.guard("daemon services", list_daemon_groups(queries.aws, name))
        instances[name] = count_daemons(instances[name], raws[name], await daemons)
    parts = await asyncio.gather(
        *(
            _component(queries, component, present, services, hosts, running)
            for component in graph.components
        )
    )
    snapshot = Snapshot(
        graph=graph.name,
        observed_at=queries.now,
        components=dict(zip((c.name for c in graph.components), parts, strict=True)),
        clusters=present,
        container_instances=instances,
        orphans=_orphans(graph, present, services),
        providers=providers,
        groups=groups,
    )
    return graph, snapshot


async def _complete(
    queries: PassQueries,
    hosts: Mapping[str, Observed[Hosts]],
    running: Mapping[str, Observed[RunningTasks]],
) -> dict[str, Observed[Hosts]]:
    """Return ``hosts`` with all instances on which tasks run, listed or not."""
    completed: dict[str, Observed[Hosts]] = dict(hosts)
    for name, known in hosts.items():
        tasks = running[name]
        if not isinstance(known, Unknown) and not isinstance(tasks, Unknown):
            more = queries.hosts_of(name, known, tasks.tasks)
            completed[name] = await queries.guard("instances of tasks", more)
    return completed


async def _declared_providers(
    queries: PassQueries, live: Sequence[str]
) -> Observed[Mapping[str, CapacityProvider]]:
    names = {p.name for c in queries.graph.components for p in c.capacity_providers}
    if not names and not queries.graph.capacity.auto_scaling_groups:
        return {}
    query = describe_providers(queries.aws, queries.graph, live, queries.attached)
    kind, sightings = "capacity provider", queries.cache.sightings
    # Providers that only their cluster names are also remembered: they may size a group.
    providers = _none_lost(
        queries,
        kind,
        names | sightings.remembered(kind),
        await queries.guard("capacity providers", query),
    )
    if not isinstance(providers, Unknown):
        sightings.remember(providers, kind)
    return providers


async def _declared_groups(queries: PassQueries) -> Observed[Mapping[str, AutoScalingGroup]]:
    if not queries.graph.capacity.auto_scaling_groups:
        return {}
    sizes = queries.cache.sizes
    groups = await queries.guard(
        "Auto Scaling groups", describe_auto_scaling_groups(queries.aws, queries.graph, sizes)
    )
    names = {g.name for g in queries.graph.capacity.auto_scaling_groups}
    return _none_lost(queries, "Auto Scaling group", names, groups)


def _none_lost(
    queries: PassQueries, kind: str, names: Iterable[str], resources: Observed[Mapping[str, T]]
) -> Observed[Mapping[str, T]]:
    """Return ``resources``, or unknown if it lacks a resource that existed a moment ago."""
    sightings = queries.cache.sightings
    if isinstance(resources, Unknown):
        return resources
    for name in resources:
        sightings.confirm(kind, name)
    doubts = (sightings.doubt_absence(kind, name) for name in sorted(set(names) - set(resources)))
    doubt = next((d for d in doubts if d is not None), None)
    return Unknown(doubt) if doubt is not None else resources


def _ec2_clusters(graph: Graph, live: Sequence[str]) -> list[str]:
    return [
        n for n in live if any(c.cluster == n and c.launch_type == "EC2" for c in graph.components)
    ]


async def _by_cluster(names: Sequence[str], query: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    values = await asyncio.gather(*(query(name) for name in names))
    return dict(zip(names, values, strict=True))


def _orphans(
    graph: Graph,
    present: Mapping[str, Observed[bool]],
    services: Mapping[str, ClusterServices],
) -> Observed[tuple[Service, ...]]:
    declared = {(c.cluster, c.service) for c in graph.components}
    declared |= {(d.cluster, d.service) for d in graph.generations.dormant}
    orphans: list[Service] = []
    for cluster in graph.clusters:
        exists = present[cluster]
        if isinstance(exists, Unknown):
            return exists
        in_cluster = services.get(cluster, {})
        if isinstance(in_cluster, Unknown):
            return in_cluster
        orphans += [
            s
            for s in in_cluster.values()
            if isinstance(s, Service)
            and (cluster, s.name) not in declared
            and s.owned_by(graph.name)
            and s.status != "INACTIVE"
        ]
    return tuple(sorted(orphans, key=lambda s: s.name))


async def _component(
    queries: PassQueries,
    component: Component,
    present: Mapping[str, Observed[bool]],
    services: Mapping[str, ClusterServices],
    hosts: Mapping[str, Observed[Hosts]],
    running: Mapping[str, Observed[RunningTasks]],
) -> ComponentSnapshot:
    cluster = component.cluster
    exists = present[cluster]
    if isinstance(exists, Unknown):
        return ComponentSnapshot(service=exists, tasks=exists)
    if not exists:
        return ComponentSnapshot(service=None)
    in_cluster = services[cluster]
    service: Observed[Service | None] = (
        in_cluster if isinstance(in_cluster, Unknown) else in_cluster.get(component.service)
    )
    arns: set[str] = set()
    stopped: Observed[tuple[Task, ...]] = ()
    protected: Observed[Mapping[str, float]] = {}
    service, raws = await _tasks_of(queries, component, service, running[cluster])
    tasks: Observed[tuple[Task, ...]]
    if isinstance(raws, Unknown):
        tasks = raws
    else:
        known_hosts = hosts.get(cluster, Hosts())
        if isinstance(service, Service) and (
            len(service.deployments) > 1
            or service.running > service.desired
            or _any_on_draining(raws, known_hosts)
        ):
            protected = await queries.guard(
                "task protection", queries.protection(cluster, [t["taskArn"] for t in raws])
            )
        expiry = {} if isinstance(protected, Unknown) else protected
        addresses = {
            arn: address_of(arn, known_hosts, queries.cache.sightings)
            for t in raws
            if (arn := t.get("containerInstanceArn"))
        }
        tasks = tuple(to_task(t, addresses, expiry.get(t["taskArn"])) for t in raws)
        arns |= {t.task_definition_arn for t in tasks}
    if isinstance(service, Service):
        arns |= {service.task_definition_arn, *(d.task_definition_arn for d in service.deployments)}
        arns.add(good_arn(service) or "")
        if _may_have_failed(service, tasks, queries.now):
            stopped = await _stopped(queries, component)
    latest, revisions = await _revisions(queries, component, arns - {""}, service)
    old = await queries.guard(
        "old revisions",
        old_revisions(
            queries.aws,
            queries.cache.families,
            queries.revision,
            graph=queries.graph.name,
            component=component,
            service=service,
            services=services.values(),
            revisions=revisions,
            running=[r if isinstance(r, Unknown) else r.tasks for r in running.values()],
        ),
    )
    surplus = () if isinstance(old, Unknown) else old
    return ComponentSnapshot(
        *(service, tasks, stopped, latest, revisions),
        surplus=surplus,
        protection_unknown=protected.reason if isinstance(protected, Unknown) else None,
        finishing=count_finishing(queries.graph, running[cluster], component),
    )


async def _tasks_of(
    queries: PassQueries,
    component: Component,
    service: Observed[Service | None],
    running: Observed[RunningTasks],
) -> tuple[Observed[Service | None], Observed[list[Json]]]:
    """Return the component's service and tasks; the tasks are unknown if the two disagree."""
    group = f"service:{component.service}"
    if isinstance(running, Unknown):
        return service, running
    # A service of another owner is not changed, so its tasks need not agree with it.
    ours = isinstance(service, Service) and service.owned_by(queries.graph.name)
    if not isinstance(service, Service) or not ours or service.status == "INACTIVE":
        return service, [t for t in running.tasks if t.get("group") == group]
    matched = await queries.guard(
        "tasks",
        match_with_service(
            queries.aws, service, group, running, queries.cache.sightings, queries.now
        ),
    )
    return (service, matched) if isinstance(matched, Unknown) else matched


def _may_have_failed(service: Service, tasks: Observed[tuple[Task, ...]], now: float) -> bool:
    """Whether stopped tasks may show a failure.

    They may if tasks are missing, if ECS or this daemon rolled a deployment back, or if a task is
    young, so that it may replace one that has ended.
    """
    if service.running < service.desired or any(
        d.running < d.desired or d.rollout_state == "FAILED" for d in service.deployments
    ):
        return True
    rolled_back_at = service.rolled_back_at
    if TAG_ROLLED_BACK in service.tags or (
        rolled_back_at is not None and now - rolled_back_at < STOPPED_SECONDS
    ):
        return True
    return isinstance(tasks, Unknown) or any(
        t.created_at is not None and now - t.created_at < RECENT_SECONDS for t in tasks
    )


def _any_on_draining(tasks: Sequence[Json], hosts: Observed[Hosts]) -> bool:
    """Whether some of the tasks are on an instance that is DRAINING."""
    if isinstance(hosts, Unknown):
        return False
    draining = {i.arn for i in hosts.instances if i.status == "DRAINING"}
    return any(t.get("containerInstanceArn") in draining for t in tasks)


async def _stopped(queries: PassQueries, component: Component) -> Observed[tuple[Task, ...]]:
    tasks = await queries.guard("stopped tasks", queries.stopped(component.cluster))
    if isinstance(tasks, Unknown):
        return tasks
    group = f"service:{component.service}"
    return tuple(to_task(t, {}, None) for t in tasks if t.get("group") == group)


async def _revisions(
    queries: PassQueries, component: Component, arns: set[str], service: Observed[Service | None]
) -> tuple[Observed[Revision | None], Mapping[str, Revision]]:
    """Return the family's latest revision and every referenced one.

    While the service's own revision is the newest known one, the latest is not requested: only
    this daemon registers revisions of the family, and a stale answer costs one extra revision.
    After a rollback by ECS the newest revision is the one that failed, and must be recognized.
    """
    names = sorted(arns)
    answers = await asyncio.gather(
        *(queries.guard("task definition", queries.revision(arn)) for arn in names)
    )
    revisions = {r.arn: r for r in answers if isinstance(r, Revision)}
    if isinstance(service, Service):
        own = service.task_definition_arn
        if dict(zip(names, answers, strict=True)).get(own, own) is None:
            revisions[own] = deleted_revision(own)  # It is only known that it must be replaced.
    current = revisions.get(service.task_definition_arn) if isinstance(service, Service) else None
    known = queries.cache.latest(component.family)
    is_undisturbed = isinstance(service, Service) and service.rolled_back_at is None
    if is_undisturbed and current is not None and current.active and known is not None:
        if component.generation is not None:
            # Generations share a family, so the newest revision may well be another generation's.
            return known, revisions
        if known.number <= current.number:
            return current, revisions
    return await queries.guard("task definition", queries.revision(component.family)), revisions
