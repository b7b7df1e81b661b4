"""One look at ECS and EC2: batched, paginated, concurrent and time-limited.

Each part is looked at on its own: one that fails becomes `Unknown` in its place and the rest is
kept. The number of reads is what the batch limits allow: 10 services, 100 tasks, 100 container
instances a call (ECS API reference); revisions never change, so each is read once.
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
from ecs_dynamo.aws.observe.pass_queries import PassQueries
from ecs_dynamo.aws.observe.tasks import (
    RunningTasks,
    agreed,
)
from ecs_dynamo.common.arns import revision_number
from ecs_dynamo.model.capacity import AutoScalingGroup, CapacityProvider
from ecs_dynamo.model.graph import TAG_ROLLED_BACK, Component, Graph
from ecs_dynamo.model.service import (
    Service,
    good_arn,
)
from ecs_dynamo.model.snapshot import (
    RECENT_SECONDS,
    ComponentSnapshot,
    ContainerInstance,
    Observed,
    Revision,
    Snapshot,
    Task,
    Unknown,
)

STOPPED_SECONDS = 3600.0
"""For how long ECS tells of a stopped task (ECS API reference, DescribeTasks)."""

T = TypeVar("T")
Json = dict[str, Any]


async def observe_ecs(
    aws: Aws, graph: Graph, now: float, timeout: float, cache: GraphCache
) -> Snapshot:
    """A snapshot of ECS and EC2. ``timeout`` bounds each part, in seconds; it never raises."""
    look = PassQueries(aws, graph, now, cache, timeout)
    try:
        return await _observe(look)
    finally:
        await look.close()


async def _observe(look: PassQueries) -> Snapshot:
    graph = look.graph
    clusters = await look.guard("DescribeClusters", look.clusters())
    present = dict.fromkeys(graph.clusters, clusters) if isinstance(clusters, Unknown) else clusters
    live = [name for name in graph.clusters if present[name] is True]
    services, hosts, running, providers, groups = await asyncio.gather(
        _by_cluster(live, lambda c: look.guard("services", look.services(c))),
        _by_cluster(_ec2_clusters(graph, live), lambda c: look.guard("instances", look.hosts(c))),
        _by_cluster(live, lambda c: look.guard("tasks", look.tasks(c))),
        _declared_providers(look, live),
        _declared_groups(look),
    )
    hosts = await _complete(look, hosts, running)
    instances: dict[str, Observed[tuple[ContainerInstance, ...]]] = {
        name: one if isinstance(one, Unknown) else one.instances for name, one in hosts.items()
    }
    raws = {n: one if isinstance(one, Unknown) else one.tasks for n, one in running.items()}
    for name in {g.cluster for g in graph.capacity.auto_scaling_groups if g.cluster in instances}:
        daemons = look.guard("daemon services", list_daemon_groups(look.aws, name))
        instances[name] = count_daemons(instances[name], raws[name], await daemons)
    parts = await asyncio.gather(
        *(
            _component(look, component, present, services, hosts, running)
            for component in graph.components
        )
    )
    return Snapshot(
        graph=graph.name,
        observed_at=look.now,
        components=dict(zip((c.name for c in graph.components), parts, strict=True)),
        clusters=present,
        container_instances=instances,
        orphans=_orphans(graph, present, services),
        providers=providers,
        groups=groups,
    )


async def _complete(
    look: PassQueries,
    hosts: Mapping[str, Observed[Hosts]],
    running: Mapping[str, Observed[RunningTasks]],
) -> dict[str, Observed[Hosts]]:
    """With the instances that tasks run on, whether a list showed them or not."""
    made: dict[str, Observed[Hosts]] = dict(hosts)
    for name, found in hosts.items():
        tasks = running[name]
        if not isinstance(found, Unknown) and not isinstance(tasks, Unknown):
            more = look.hosts_of(name, found, tasks.tasks)
            made[name] = await look.guard("instances of tasks", more)
    return made


async def _declared_providers(
    look: PassQueries, live: Sequence[str]
) -> Observed[Mapping[str, CapacityProvider]]:
    names = {p.name for c in look.graph.components for p in c.capacity_providers}
    if not names and not look.graph.capacity.auto_scaling_groups:
        return {}
    asked = describe_providers(look.aws, look.graph, live, look.attached)
    kind, sightings = "capacity provider", look.cache.sightings
    # One that only its cluster names is missed as well: it may size a group.
    found = _none_lost(
        look,
        kind,
        names | sightings.remembered(kind),
        await look.guard("capacity providers", asked),
    )
    if not isinstance(found, Unknown):
        sightings.remember(found, kind)
    return found


async def _declared_groups(look: PassQueries) -> Observed[Mapping[str, AutoScalingGroup]]:
    if not look.graph.capacity.auto_scaling_groups:
        return {}
    sizes = look.cache.sizes
    found = await look.guard(
        "Auto Scaling groups", describe_auto_scaling_groups(look.aws, look.graph, sizes)
    )
    names = {g.name for g in look.graph.capacity.auto_scaling_groups}
    return _none_lost(look, "Auto Scaling group", names, found)


def _none_lost(
    look: PassQueries, kind: str, names: Iterable[str], found: Observed[Mapping[str, T]]
) -> Observed[Mapping[str, T]]:
    """``found``; unknown where something is missing that was there a moment ago."""
    sightings = look.cache.sightings
    if isinstance(found, Unknown):
        return found
    for name in found:
        sightings.confirm(kind, name)
    doubts = (sightings.doubt_absence(kind, name) for name in sorted(set(names) - set(found)))
    doubt = next((d for d in doubts if d is not None), None)
    return Unknown(doubt) if doubt is not None else found


def _ec2_clusters(graph: Graph, live: Sequence[str]) -> list[str]:
    return [
        n for n in live if any(c.cluster == n and c.launch_type == "EC2" for c in graph.components)
    ]


async def _by_cluster(names: Sequence[str], look: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    values = await asyncio.gather(*(look(name) for name in names))
    return dict(zip(names, values, strict=True))


def _orphans(
    graph: Graph,
    present: Mapping[str, Observed[bool]],
    services: Mapping[str, Observed[Mapping[str, Observed[Service]]]],
) -> Observed[tuple[Service, ...]]:
    declared = {(c.cluster, c.service) for c in graph.components}
    found: list[Service] = []
    for cluster in graph.clusters:
        exists = present[cluster]
        if isinstance(exists, Unknown):
            return exists
        seen = services.get(cluster, {})
        if isinstance(seen, Unknown):
            return seen
        found += [
            s
            for s in seen.values()
            if isinstance(s, Service)
            and (cluster, s.name) not in declared
            and s.owned_by(graph.name)
            and s.status != "INACTIVE"
        ]
    return tuple(sorted(found, key=lambda s: s.name))


async def _component(
    look: PassQueries,
    component: Component,
    present: Mapping[str, Observed[bool]],
    services: Mapping[str, Observed[Mapping[str, Observed[Service]]]],
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
    service, raws = await _tasks_of(look, component, service, running[cluster])
    tasks: Observed[tuple[Task, ...]]
    if isinstance(raws, Unknown):
        tasks = raws
    else:
        seen = hosts.get(cluster, Hosts())
        if isinstance(service, Service) and (
            len(service.deployments) > 1
            or service.running > service.desired
            or _any_leaves(raws, seen)
        ):
            protected = await look.guard(
                "task protection", look.protection(cluster, [t["taskArn"] for t in raws])
            )
        expiry = {} if isinstance(protected, Unknown) else protected
        addresses = {
            arn: address_of(arn, seen, look.cache.sightings)
            for t in raws
            if (arn := t.get("containerInstanceArn"))
        }
        tasks = tuple(to_task(t, addresses, expiry.get(t["taskArn"])) for t in raws)
        arns |= {t.task_definition_arn for t in tasks}
    if isinstance(service, Service):
        arns |= {service.task_definition_arn, *(d.task_definition_arn for d in service.deployments)}
        arns.add(good_arn(service) or "")
        if _may_have_failed(service, tasks, look.now):
            stopped = await _stopped(look, component)
    latest, revisions = await _revisions(look, component, arns - {""}, service)
    old = await look.guard(
        "old revisions",
        old_revisions(
            look.aws,
            look.cache.families,
            look.revision,
            graph=look.graph.name,
            component=component,
            service=service,
            revisions=revisions,
            running=[r if isinstance(r, Unknown) else r.tasks for r in running.values()],
        ),
    )
    surplus = () if isinstance(old, Unknown) else old
    return ComponentSnapshot(
        *(service, tasks, stopped, latest, revisions),
        surplus=surplus,
        protection_unknown=protected.reason if isinstance(protected, Unknown) else None,
    )


async def _tasks_of(
    look: PassQueries,
    component: Component,
    service: Observed[Service | None],
    running: Observed[RunningTasks],
) -> tuple[Observed[Service | None], Observed[list[Json]]]:
    """The component's service and tasks, where they agree with each other."""
    group = f"service:{component.service}"
    if isinstance(running, Unknown):
        return service, running
    # Another's service is left alone, whatever its tasks are.
    ours = isinstance(service, Service) and service.owned_by(look.graph.name)
    if not isinstance(service, Service) or not ours or service.status == "INACTIVE":
        return service, [t for t in running.tasks if t.get("group") == group]
    found = await look.guard(
        "tasks", agreed(look.aws, service, group, running, look.cache.sightings, look.now)
    )
    return (service, found) if isinstance(found, Unknown) else found


def _may_have_failed(service: Service, tasks: Observed[tuple[Task, ...]], now: float) -> bool:
    """Whether stopped tasks may tell something: some are missing, a rollout was taken back, by ECS
    or by this daemon, or a task is young, so that it may stand for one that has ended.
    """
    if service.running < service.desired or any(
        d.running < d.desired or d.rollout_state == "FAILED" for d in service.deployments
    ):
        return True
    taken_back = service.rolled_back_at
    if TAG_ROLLED_BACK in service.tags or (
        taken_back is not None and now - taken_back < STOPPED_SECONDS
    ):
        return True
    return isinstance(tasks, Unknown) or any(
        t.created_at is not None and now - t.created_at < RECENT_SECONDS for t in tasks
    )


def _any_leaves(own: Sequence[Json], seen: Observed[Hosts]) -> bool:
    """Some of the tasks are on an instance that is DRAINING."""
    if isinstance(seen, Unknown):
        return False
    leaving = {i.arn for i in seen.instances if i.status == "DRAINING"}
    return any(t.get("containerInstanceArn") in leaving for t in own)


async def _stopped(look: PassQueries, component: Component) -> Observed[tuple[Task, ...]]:
    found = await look.guard("stopped tasks", look.stopped(component.cluster))
    if isinstance(found, Unknown):
        return found
    group = f"service:{component.service}"
    return tuple(to_task(t, {}, None) for t in found if t.get("group") == group)


async def _revisions(
    look: PassQueries, component: Component, arns: set[str], service: Observed[Service | None]
) -> tuple[Observed[Revision | None], Mapping[str, Revision]]:
    """The family's latest revision and every referenced one.

    While the service's own revision is the newest that we know, ECS is not asked for the latest:
    only this daemon registers into the family, and a stale answer costs one extra revision. After
    a rollback by ECS the newest is what failed, and must be known to be left alone.
    """
    names = sorted(arns)
    answers = await asyncio.gather(
        *(look.guard("task definition", look.revision(arn)) for arn in names)
    )
    revisions = {r.arn: r for r in answers if isinstance(r, Revision)}
    if isinstance(service, Service):
        own = service.task_definition_arn
        if dict(zip(names, answers, strict=True)).get(own, own) is None:
            # It was deleted before anybody read it: all that is known is that it must be replaced.
            number = revision_number(own)
            revisions[own] = Revision(own, component.family, number, content={}, active=False)
    current = revisions.get(service.task_definition_arn) if isinstance(service, Service) else None
    known = look.cache.latest(component.family)
    settled = isinstance(service, Service) and service.rolled_back_at is None
    if (
        settled
        and current is not None
        and current.active
        and known is not None
        and known.number <= current.number
    ):
        return current, revisions
    return await look.guard("task definition", look.revision(component.family)), revisions
