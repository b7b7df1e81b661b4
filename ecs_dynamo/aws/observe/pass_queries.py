"""The queries of one pass to ECS: each raises if its answer is not certain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import (
    epoch,
    to_service,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.guard import guard
from ecs_dynamo.aws.observe.instances import (
    Hosts,
    describe_instances,
    with_instances_of,
)
from ecs_dynamo.aws.observe.revisions import deleted_revision, describe_revision
from ecs_dynamo.aws.observe.tasks import (
    TASKS_PER_CALL,
    RunningTasks,
    describe_tasks,
    fetch_tasks,
    list_tasks,
)
from ecs_dynamo.aws.pages import batches, read_all
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GENERATION, Graph
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    ClusterServices,
    Observed,
    Revision,
    Unknown,
)

SERVICES_PER_CALL = 10
"""Services in one DescribeServices (ECS API reference)."""

T = TypeVar("T")
Json = dict[str, Any]


def _declared_services(graph: Graph) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for component in graph.components:
        names.setdefault(component.cluster, set()).add(component.service)
    return names


@dataclass(frozen=True, slots=True)
class Expansion:
    """How the effective graph follows from the services, which is decided by planning.

    ``expected`` returns the services, by cluster, that are asked for by name. ``plain`` returns
    cluster and name of the services whose revisions ``expand`` needs. ``expand`` takes the graph,
    the services by cluster, and these revisions by ARN. By default the graph stays as it is.
    """

    expected: Callable[[Graph], Mapping[str, Collection[str]]] = _declared_services
    plain: Callable[[Graph], Iterable[tuple[str, str]]] = lambda _: ()
    expand: Callable[
        [Graph, Mapping[str, ClusterServices], Mapping[str, Revision]],
        Graph,
    ] = lambda graph, _services, _revisions: graph


class PassQueries:
    """The queries of one pass, and the answers that several components share.

    ``timeout`` bounds each part of the observation, in seconds; ``now`` is in UTC seconds. Queries
    raise `AwsError`; `guard` turns it into `Unknown`. ``graph`` is the declared one, and the
    effective one as soon as the services are known.
    """

    def __init__(
        self,
        aws: Aws,
        graph: Graph,
        now: float,
        cache: GraphCache,
        timeout: float,
        expansion: Expansion,
    ) -> None:
        self.expansion = expansion
        self.aws = aws
        self.now = now
        self.graph = graph
        self.cache = cache
        self.timeout = timeout
        self.attached: dict[str, Sequence[str] | None] = {}
        """Names of each cluster's capacity providers; None if the answer does not contain them."""
        self._stopped: dict[str, asyncio.Task[list[Json]]] = {}

    async def guard(self, part: str, query: Awaitable[T]) -> Observed[T]:
        """Return the answer of ``query``, or why it is unknown."""
        return await guard(part, query, self.timeout, self.aws)

    async def clusters(self) -> Mapping[str, Observed[bool]]:
        """Return for each declared cluster whether it exists and is ACTIVE."""
        names, sightings = list(self.graph.clusters), self.cache.sightings
        answer = await self.aws.call("ecs", "DescribeClusters", clusters=names)
        described = {
            name: cluster
            for cluster in answer["clusters"]
            for name in (cluster["clusterName"], cluster["clusterArn"])
        }
        self.attached = {n: cluster.get("capacityProviders") for n, cluster in described.items()}
        is_active: dict[str, Observed[bool]] = {}
        for name in names:
            is_active[name] = name in described and described[name]["status"] == "ACTIVE"
            if is_active[name]:
                sightings.confirm("cluster", name)
            elif name in described:
                sightings.confirm_gone("cluster", name)
            elif (doubt := sightings.doubt_absence("cluster", name)) is not None:
                is_active[name] = Unknown(doubt)
        return is_active

    async def services(self, cluster: str) -> Mapping[str, Observed[Service]]:
        """Return the cluster's services by name: the expected ones and possible orphans."""
        sightings = self.cache.sightings
        known = sightings.remembered("services", cluster)
        declared = known | set(self.expansion.expected(self.graph).get(cluster, ()))
        arns = await read_all(
            self.aws, "ecs", "ListServices", "serviceArns", cluster=cluster, maxResults=100
        )
        prefix = f"{self.graph.name}-"
        names = {resource_name(arn) for arn in arns}
        # Services are named after their graph, so only names with its prefix can be orphans.
        described = sorted(declared | {n for n in names if n.startswith(prefix)})
        services: dict[str, Observed[Service]] = {}
        answers = await asyncio.gather(
            *(
                self.aws.call(
                    "ecs",
                    "DescribeServices",
                    cluster=cluster,
                    services=batch,
                    include=["TAGS"],
                )
                for batch in batches(described, SERVICES_PER_CALL)
            )
        )
        for answer in answers:
            for failure in answer.get("failures", []):
                if failure.get("reason") != "MISSING":
                    raise AwsError(
                        "DescribeServices", str(failure.get("reason")), str(failure.get("arn"))
                    )
            for raw in answer["services"]:
                services[raw["serviceName"]] = to_service(raw, cluster)
        for name in declared:
            doubt = self._doubt_of(cluster, name, services.get(name), listed=name in names)
            if doubt is not None:
                services[name] = Unknown(doubt)
        # A generation's service is asked for by name from now on, as a list may omit it.
        own = (
            name
            for name, service in services.items()
            if isinstance(service, Unknown)
            or (service.status != "INACTIVE" and TAG_GENERATION in service.tags)
        )
        sightings.remember(own, "services", cluster)
        return services

    async def plain_revisions(
        self, services: Mapping[str, ClusterServices]
    ) -> Mapping[str, Revision]:
        """Return the revisions of workers without a generation, by ARN; unread ones are left out.

        One that was deleted before it was read has no content.
        """
        revisions: dict[str, Revision] = {}
        for cluster, name in self.expansion.plain(self.graph):
            in_cluster = services.get(cluster, {})
            service = None if isinstance(in_cluster, Unknown) else in_cluster.get(name)
            if not isinstance(service, Service) or service.status != "ACTIVE":
                continue
            arn = service.task_definition_arn
            answer = await self.guard("task definition", self.revision(arn))
            if answer is None:
                answer = deleted_revision(arn)
            if isinstance(answer, Revision):
                revisions[arn] = answer
        return revisions

    def _doubt_of(
        self, cluster: str, name: str, service: Observed[Service] | None, *, listed: bool
    ) -> str | None:
        """Return why the absence of a declared service is doubted; None if it is not."""
        sightings = self.cache.sightings
        if isinstance(service, Service):
            # ECS describes a deleted service as INACTIVE for a while before it forgets it.
            is_deleted = service.status == "INACTIVE"
            (sightings.confirm_gone if is_deleted else sightings.confirm)("service", cluster, name)
            return None
        if listed:
            return f"ListServices lists {name}, and DescribeServices reports that it does not exist"
        return sightings.doubt_absence("service", cluster, name)

    async def hosts(self, cluster: str) -> Hosts:
        """Return the cluster's container instances and their addresses."""
        return await describe_instances(
            self.aws, cluster, self.cache.sightings, tags=self._needs_tags(cluster)
        )

    async def hosts_of(self, cluster: str, known: Hosts, tasks: Sequence[Json]) -> Hosts:
        """Return ``known`` with the instances of ``tasks`` that no list showed."""
        needs_tags = self._needs_tags(cluster)
        return await with_instances_of(
            self.aws, cluster, self.cache.sightings, known, tasks, tags=needs_tags
        )

    def _needs_tags(self, cluster: str) -> bool:
        """Whether the tags of instances are needed: only to change Auto Scaling groups."""
        return any(g.cluster == cluster for g in self.graph.capacity.auto_scaling_groups)

    async def tasks(self, cluster: str) -> RunningTasks:
        """Return the cluster's tasks that are to run, and counts of those that end."""
        return await fetch_tasks(self.aws, cluster, self.cache.sightings, self.now)

    async def stopped(self, cluster: str) -> list[Json]:
        """Return the cluster's stopped tasks, read once for all of its components."""
        if cluster not in self._stopped:
            self._stopped[cluster] = asyncio.create_task(self._read_stopped(cluster))
        # One component's time limit must not cancel the read for the others.
        return await asyncio.shield(self._stopped[cluster])

    async def _read_stopped(self, cluster: str) -> list[Json]:
        arns = await list_tasks(self.aws, cluster, "STOPPED")
        return await describe_tasks(self.aws, cluster, arns)

    async def close(self) -> None:
        """Cancel the reads that are still running."""
        for task in self._stopped.values():
            task.cancel()
        await asyncio.gather(*self._stopped.values(), return_exceptions=True)

    async def protection(self, cluster: str, arns: Sequence[str]) -> Mapping[str, float]:
        """Return the expiry of each protected task, in UTC seconds.

        Called only during a rollout or a scale-in, or while tasks run on draining instances.
        """
        expiries: dict[str, float] = {}
        for batch in batches(arns, TASKS_PER_CALL):
            answer = await self.aws.call("ecs", "GetTaskProtection", cluster=cluster, tasks=batch)
            for raw in answer.get("protectedTasks", []):
                expires = epoch(raw.get("expirationDate"))
                if raw.get("protectionEnabled") and expires is not None:
                    expiries[raw["taskArn"]] = expires
        return expiries

    async def revision(self, name: str) -> Revision | None:
        """Return a revision by ARN, or the latest ACTIVE one of a family; None if there is none."""
        fresh, known = self.cache.fresh(name), self.cache.get(name)
        if fresh is not None:
            return fresh
        try:
            revision = await describe_revision(self.aws, name)
        except AwsError:
            if known is not None:
                return known  # Its content is unchanged, and most likely its status too.
            raise
        if revision is None and known is not None:
            # It was deleted. Its content is still known, and can be registered again.
            revision = replace(known, active=False)
        if revision is not None:
            self.cache.put(revision)
        return revision
