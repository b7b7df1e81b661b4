"""One look at ECS and EC2: batched, paginated, concurrent and time-limited.

Each part is looked at on its own: one that fails becomes `Unknown` in its place and the rest is
kept. The number of reads is what the batch limits allow: 10 services, 100 tasks, 100 container
instances a call (ECS API reference); revisions never change, so each is read once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from ecs_dynamo.aws.capacity import (
    InstanceSizes,
    count_daemons,
    daemon_groups,
    look_at_groups,
    look_at_providers,
)
from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.convert import (
    epoch,
    to_container_instance,
    to_revision,
    to_service,
    to_task,
)
from ecs_dynamo.aws.families import Families, old_revisions
from ecs_dynamo.aws.pages import read_all
from ecs_dynamo.model.capacity import AutoScalingGroup, CapacityProvider
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_FINGERPRINT, TAG_ROLLED_BACK, Component, Graph
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    ContainerInstance,
    Observed,
    Revision,
    Service,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.stops import RECENT_SECONDS
from ecs_dynamo.planning.wanted import good_arn

SERVICES_A_CALL = 10
TASKS_A_CALL = 100
INSTANCES_A_CALL = 100
STOPPED_SECONDS = 3600.0
"""For how long ECS tells of a stopped task (ECS API reference, DescribeTasks)."""

T = TypeVar("T")
Json = dict[str, Any]


class RevisionCache:
    """Task definition revisions by ARN. They are immutable, but may lack our tag while ECS's tag
    index settles, so only tagged ones and foreign ones already read with tags are kept."""

    def __init__(self) -> None:
        self._known: dict[str, Revision] = {}
        self.families = Families()
        self.sizes = InstanceSizes()

    def get(self, arn: str) -> Revision | None:
        return self._known.get(arn)

    def put(self, revision: Revision) -> None:
        if TAG_FINGERPRINT in revision.tags:
            self._known[revision.arn] = revision

    def forget(self, arn: str) -> None:
        """It was deregistered or deleted, or is none of ours."""
        self._known.pop(arn, None)
        self.families.forget(arn)

    def latest(self, family: str) -> Revision | None:
        """The newest known revision of a family."""
        own = [r for r in self._known.values() if r.family == family]
        return max(own, key=lambda r: r.number, default=None)


def _batches(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


class _Look:
    """The state of one look: what was asked already in this pass."""

    def __init__(
        self, aws: Aws, graph: Graph, now: float, cache: RevisionCache, timeout: float
    ) -> None:
        self.aws = aws
        self.now = now
        self.graph = graph
        self.cache = cache
        self.timeout = timeout

    async def guard(self, what: str, look: Awaitable[T]) -> Observed[T]:
        """What ``look`` gives, or why it is not known."""
        self.aws.last_error = None
        try:
            async with asyncio.timeout(self.timeout):
                return await look
        except AwsError as error:
            return Unknown(str(error))
        except TimeoutError:
            why = f" ({self.aws.last_error})" if self.aws.last_error else ""
            return Unknown(f"{what} took longer than {self.timeout:g} s{why}")

    async def clusters(self) -> Mapping[str, bool]:
        names = list(self.graph.clusters)
        answer = await self.aws.call("ecs", "DescribeClusters", clusters=names)
        active = {
            word
            for c in answer.get("clusters", [])
            if c.get("status") == "ACTIVE"
            for word in (c["clusterName"], c["clusterArn"])
        }
        return {name: name in active for name in names}

    async def services(self, cluster: str) -> Mapping[str, Service]:
        """Every live service of the cluster by name: the declared and those to look for orphans."""
        declared = {c.service for c in self.graph.components if c.cluster == cluster}
        arns = await read_all(
            self.aws, "ecs", "ListServices", "serviceArns", cluster=cluster, maxResults=100
        )
        prefix = f"{self.graph.name}-"
        names = {arn.rsplit("/", 1)[-1] for arn in arns}
        # Services are named after their graph, so that only names with its prefix can be orphans.
        wanted = sorted(declared | {n for n in names if n.startswith(prefix)})
        found: dict[str, Service] = {}
        answers = await asyncio.gather(
            *(
                self.aws.call(
                    "ecs",
                    "DescribeServices",
                    cluster=cluster,
                    services=list(batch),
                    include=["TAGS"],
                )
                for batch in _batches(wanted, SERVICES_A_CALL)
            )
        )
        for answer in answers:
            for failure in answer.get("failures", []):
                if failure.get("reason") != "MISSING":
                    raise AwsError(
                        "DescribeServices", str(failure.get("reason")), str(failure.get("arn"))
                    )
            for raw in answer.get("services", []):
                found[raw["serviceName"]] = to_service(raw, cluster)
        return found

    async def instances(self, cluster: str) -> tuple[ContainerInstance, ...]:
        arns = await read_all(
            self.aws,
            "ecs",
            "ListContainerInstances",
            "containerInstanceArns",
            cluster=cluster,
            maxResults=100,
        )
        if not arns:
            return ()
        sized = any(g.cluster == cluster for g in self.graph.capacity.auto_scaling_groups)
        tagged: Json = {"include": ["TAGS"]} if sized else {}
        answers = await asyncio.gather(
            *(
                self.aws.call(
                    *("ecs", "DescribeContainerInstances"),
                    cluster=cluster,
                    containerInstances=list(b),
                    **tagged,
                )
                for b in _batches(arns, INSTANCES_A_CALL)
            )
        )
        raws = [raw for answer in answers for raw in answer.get("containerInstances", [])]
        ids = sorted({r["ec2InstanceId"] for r in raws if r.get("ec2InstanceId")})
        addresses: dict[str, str | None] = {}
        for batch in _batches(ids, INSTANCES_A_CALL):
            answer = await self.aws.call("ec2", "DescribeInstances", InstanceIds=list(batch))
            for reservation in answer.get("Reservations", []):
                for instance in reservation.get("Instances", []):
                    addresses[instance["InstanceId"]] = instance.get("PrivateIpAddress")
        return tuple(
            to_container_instance(raw, addresses.get(raw.get("ec2InstanceId", ""))) for raw in raws
        )

    async def tasks(self, cluster: str, status: str) -> list[Json]:
        arns = await read_all(
            self.aws,
            "ecs",
            "ListTasks",
            "taskArns",
            cluster=cluster,
            desiredStatus=status,
            maxResults=100,
        )
        answers = await asyncio.gather(
            *(
                self.aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=list(batch))
                for batch in _batches(arns, TASKS_A_CALL)
            )
        )
        return [raw for answer in answers for raw in answer.get("tasks", [])]

    async def protection(self, cluster: str, arns: Sequence[str]) -> Mapping[str, float]:
        """Expiry of each protected task. Asked only while a service rolls or scales in."""
        found: dict[str, float] = {}
        for batch in _batches(arns, TASKS_A_CALL):
            answer = await self.aws.call(
                "ecs", "GetTaskProtection", cluster=cluster, tasks=list(batch)
            )
            for raw in answer.get("protectedTasks", []):
                expires = epoch(raw.get("expirationDate"))
                if raw.get("protectionEnabled") and expires is not None:
                    found[raw["taskArn"]] = expires
        return found

    async def revision(self, name: str) -> Revision | None:
        """A revision by ARN, or the latest ACTIVE one of a family; None where there is none."""
        known = self.cache.get(name)
        if known is not None:
            return known
        try:
            answer = await self.aws.call(
                "ecs", "DescribeTaskDefinition", taskDefinition=name, include=["TAGS"]
            )
        except AwsError as error:
            if error.code == "ClientException":  # ECS's word for "no such task definition"
                return None
            raise
        found = to_revision(answer["taskDefinition"], answer.get("tags", []))
        self.cache.put(found)
        return found


async def observe_ecs(
    aws: Aws, graph: Graph, now: float, timeout: float, cache: RevisionCache
) -> Snapshot:
    """A snapshot of ECS and EC2. ``timeout`` bounds each part, in seconds; it never raises."""
    look = _Look(aws, graph, now, cache, timeout)
    clusters = await look.guard("DescribeClusters", look.clusters())
    present: Mapping[str, Observed[bool]] = (
        dict.fromkeys(graph.clusters, clusters) if isinstance(clusters, Unknown) else clusters
    )
    live = [name for name in graph.clusters if present[name] is True]
    services, instances, running, providers, groups = await asyncio.gather(
        _by_cluster(live, lambda c: look.guard("services", look.services(c))),
        _by_cluster(
            _ec2_clusters(graph, live), lambda c: look.guard("instances", look.instances(c))
        ),
        _by_cluster(live, lambda c: look.guard("tasks", look.tasks(c, "RUNNING"))),
        _declared_providers(look, live),
        _declared_groups(look),
    )
    for name in {g.cluster for g in graph.capacity.auto_scaling_groups if g.cluster in instances}:
        daemons = look.guard("daemon services", daemon_groups(aws, name))
        instances[name] = count_daemons(instances[name], running[name], await daemons)
    parts = await asyncio.gather(
        *(
            _component(look, component, present, services, instances, running)
            for component in graph.components
        )
    )
    return Snapshot(
        graph=graph.name,
        observed_at=now,
        components=dict(zip((c.name for c in graph.components), parts, strict=True)),
        clusters=present,
        container_instances=instances,
        orphans=_orphans(graph, present, services),
        providers=providers,
        groups=groups,
    )


async def _declared_providers(
    look: _Look, live: Sequence[str]
) -> Observed[Mapping[str, CapacityProvider]]:
    if not any(c.capacity_providers for c in look.graph.components):
        return {}
    return await look.guard("capacity providers", look_at_providers(look.aws, look.graph, live))


async def _declared_groups(look: _Look) -> Observed[Mapping[str, AutoScalingGroup]]:
    if not look.graph.capacity.auto_scaling_groups:
        return {}
    sizes = look.cache.sizes
    return await look.guard("Auto Scaling groups", look_at_groups(look.aws, look.graph, sizes))


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
    services: Mapping[str, Observed[Mapping[str, Service]]],
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
            if (cluster, s.name) not in declared
            and s.owned_by(graph.name)
            and s.status != "INACTIVE"
        ]
    return tuple(sorted(found, key=lambda s: s.name))


async def _component(
    look: _Look,
    component: Component,
    present: Mapping[str, Observed[bool]],
    services: Mapping[str, Observed[Mapping[str, Service]]],
    instances: Mapping[str, Observed[tuple[ContainerInstance, ...]]],
    running: Mapping[str, Observed[list[Json]]],
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
    raw = running[cluster]
    arns: set[str] = set()
    tasks: Observed[tuple[Task, ...]]
    stopped: Observed[tuple[Task, ...]] = ()
    if isinstance(raw, Unknown):
        tasks = raw
    else:
        own = [t for t in raw if t.get("group") == f"service:{component.service}"]
        seen = instances.get(cluster, ())
        ips = {} if isinstance(seen, Unknown) else {i.arn: i.private_ip for i in seen}
        if isinstance(service, Service) and (
            len(service.deployments) > 1
            or service.running > service.desired
            or _any_leaves(own, seen)
        ):
            protected = await look.guard(
                "task protection", look.protection(cluster, [t["taskArn"] for t in own])
            )
        else:
            protected = {}
        expiry: Mapping[str, float] = {} if isinstance(protected, Unknown) else protected
        tasks = tuple(to_task(t, ips, expiry.get(t["taskArn"])) for t in own)
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
            running=running.values(),
        ),
    )
    surplus = () if isinstance(old, Unknown) else old
    return ComponentSnapshot(service, tasks, stopped, latest, revisions, surplus=surplus)


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


def _any_leaves(own: Sequence[Json], seen: Observed[tuple[ContainerInstance, ...]]) -> bool:
    """Some of the tasks are on an instance that is DRAINING."""
    if isinstance(seen, Unknown):
        return False
    leaving = {i.arn for i in seen if i.status == "DRAINING"}
    return any(t.get("containerInstanceArn") in leaving for t in own)


async def _stopped(look: _Look, component: Component) -> Observed[tuple[Task, ...]]:
    found = await look.guard("stopped tasks", look.tasks(component.cluster, "STOPPED"))
    if isinstance(found, Unknown):
        return found
    group = f"service:{component.service}"
    return tuple(to_task(t, {}, None) for t in found if t.get("group") == group)


async def _revisions(
    look: _Look, component: Component, arns: set[str], service: Observed[Service | None]
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
    current = revisions.get(service.task_definition_arn) if isinstance(service, Service) else None
    known = look.cache.latest(component.family)
    settled = isinstance(service, Service) and service.rolled_back_at is None
    if settled and current is not None and known is not None and known.number <= current.number:
        return current, revisions
    return await look.guard("task definition", look.revision(component.family)), revisions
